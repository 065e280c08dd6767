"""Filters as data: ``{"where": {"and": [{"key": …, "operator": …, "value": …}, {"or": […]}]}}``, made to SQL.

What matches passes. A field that a row lacks equals nothing, so that ``!eq``, ``!contains`` and their like match it.
The operators are those of Logpush, by the type of the field:

| types | operators |
|---|---|
| string, int, bool, timestamp | ``eq`` ``!eq`` |
| int, float, timestamp | ``lt`` ``leq`` ``gt`` ``geq`` |
| string | ``startsWith`` ``endsWith`` ``contains``, and each with ``!`` |
| array | ``contains`` ``!contains`` |
| string, int | ``in`` ``!in`` |
| any | ``isNull`` ``!isNull``, which have no ``value``: the row lacks the field, or has it |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final

import pyarrow as pa

from logflume.errors import Refused
from logflume.model.dataset import Dataset
from logflume.table.schema import file_schema

MOST_CONDITIONS: Final = 200
IS_NULL: Final = "isNull"
_MOST_DEPTH: Final = 20
_COMPARED: Final = {"lt": "<", "leq": "<=", "gt": ">", "geq": ">="}
_TEXTS: Final[Mapping[str, Callable[[str, str], str]]] = {
    "startsWith": lambda field, text: f"starts_with({field}, {text})",
    "endsWith": lambda field, text: f"ends_with({field}, {text})",
    "contains": lambda field, text: f"(strpos({field}, {text}) > 0)",
}


def condition(filter: object, dataset: Dataset) -> str:
    """Return the SQL condition that ``filter`` means; empty when it has none. Raises ``Refused``, naming the place."""
    if not filter:
        return ""
    if not isinstance(filter, dict) or set(filter) != {"where"}:
        raise Refused('a filter is an object with one member, "where"')
    return _Reading(dataset).group(filter["where"], "where", 0)


def quoted(text: str) -> str:
    """Return a text as a literal of SQL: the only place where one is made."""
    return "'" + text.replace("'", "''") + "'"


class _Reading:
    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._types = {field.name: field.type for field in file_schema(dataset)}
        self._count = 0

    def group(self, found: object, where: str, depth: int) -> str:
        if not isinstance(found, dict):
            raise Refused(f"{where}: an object is wanted")
        if depth > _MOST_DEPTH:
            raise Refused(f"{where}: nested more than {_MOST_DEPTH} deep")
        for word in ("and", "or"):
            if word in found:
                if len(found) > 1:
                    raise Refused(f'{where}: "{word}" stands alone in its object')
                parts = found[word]
                if not isinstance(parts, list) or not parts:
                    raise Refused(f"{where}.{word}: a list of conditions is wanted")
                texts = [self.group(part, f"{where}.{word}[{at}]", depth + 1) for at, part in enumerate(parts)]
                return f"({f' {word.upper()} '.join(texts)})"
        return self._one(found, where)

    def _one(self, found: Mapping[str, Any], where: str) -> str:
        self._count += 1
        if self._count > MOST_CONDITIONS:
            raise Refused(f"{where}: a filter has at most {MOST_CONDITIONS} conditions")
        if not {"key", "operator"} <= set(found) <= {"key", "operator", "value"}:
            raise Refused(f'{where}: a condition has "key", "operator" and "value", or is an "and" or an "or"')
        key, operator = found["key"], found["operator"]
        if not isinstance(key, str) or key not in self._types:
            near = get_close_matches(str(key), self._types, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise Refused(f"{where}.key: {self._dataset.name} has no field {str(key)[:80]!r}{hint}")
        if not isinstance(operator, str):
            raise Refused(f"{where}.operator: a text is wanted")
        bare = operator.removeprefix("!")
        negated = bare != operator
        if ("value" in found) == (bare == IS_NULL):
            raise Refused(f"{where}: {operator[:40]!r} has {'no' if bare == IS_NULL else 'a'} value")
        if bare == IS_NULL:
            return f'("{key}" IS {"NOT " if negated else ""}NULL)'
        value = found["value"]
        text = self._positive(key, bare, value, negated, where)
        if text is None:
            raise Refused(f"{where}.operator: {key} is {self._types[key]}, and has no operator {operator[:40]!r}")
        return f'(NOT {text} OR "{key}" IS NULL)' if negated else text

    def _positive(self, key: str, operator: str, value: object, negated: bool, where: str) -> str | None:
        """The condition without its ``!``; None when the field's type has no such operator."""
        type, field = self._types[key], f'"{key}"'
        text, list_ = pa.types.is_string(type), pa.types.is_list(type)
        plain = text or pa.types.is_boolean(type) or pa.types.is_timestamp(type) or _is_number(type)
        if operator == "eq" and plain:
            return f"({field} = {_literal(value, type, where)})"
        if operator in _COMPARED and not negated and (_is_number(type) or pa.types.is_timestamp(type)):
            return f"({field} {_COMPARED[operator]} {_literal(value, type, where)})"
        if operator in _TEXTS and text:
            return _TEXTS[operator](field, _literal(value, type, where))
        if operator == "contains" and list_:
            return f"array_has({field}, {_literal(value, type.value_type, where)})"
        if operator == "in" and (text or pa.types.is_integer(type)):
            if not isinstance(value, list) or not value or len(value) > MOST_CONDITIONS:
                raise Refused(f"{where}.value: a list of 1 to {MOST_CONDITIONS} values is wanted")
            return f"({field} IN ({', '.join(_literal(each, type, where) for each in value)}))"
        return None


def _is_number(type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type) or pa.types.is_floating(type))


def _literal(value: object, type: pa.DataType, where: str) -> str:
    if pa.types.is_string(type) and isinstance(value, str):
        return quoted(value)
    if pa.types.is_boolean(type) and isinstance(value, bool):
        return str(value).lower()
    if pa.types.is_timestamp(type):
        return f"TIMESTAMP '{instant(value, where).isoformat(timespec='microseconds')}'"
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    if whole and _is_number(type):
        return str(value)
    if pa.types.is_floating(type) and isinstance(value, float) and math.isfinite(value):
        return repr(value)
    raise Refused(f"{where}.value: {value!r:.80} is no {type}")


def instant(value: object, where: str) -> datetime:
    """Return the time that a filter's value means; raises ``Refused``, naming ``where`` it stands."""
    try:
        if isinstance(value, str):
            at = datetime.fromisoformat(value)
            return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1e9, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise Refused(f"{where}.value: {value!r:.80} is no time such as 2026-11-29T10:00:00Z, nor nanoseconds since 1970")
