"""Avro schemas that are safe to read by, those of the datasets among them, and their fingerprints.

fastavro reads what a schema asks for, and some schemas ask for more than a message holds: arrays of nothing, a million
items in no bytes; records within themselves, as deep as there are bytes, until the stack ends and the process with it.
``checked`` refuses these before a byte is read.
"""

from __future__ import annotations

import json
from typing import Any, Final

import fastavro

from logflume.block import reasons
from logflume.errors import Poison
from logflume.model import Dataset, FieldType

MARKER: Final = b"\xc3\x01"
"""How a value in Avro's single-object encoding begins; 8 bytes of fingerprint follow (Avro specification)."""
FINGERPRINT_BYTES: Final = 8

_MOST_DEPTH: Final = 64
_VALUES_A_BYTE: Final = 3
"""How many values a byte may make inside arrays and maps: two records around one boolean, no more."""
_MOST_FREE_VALUES: Final = 10_000
"""Beyond what its bytes pay for, in one record: nulls, and records of nothing but nulls."""
_TYPES: Final[dict[FieldType, Any]] = {
    FieldType.STRING: "string",
    FieldType.INT: "long",
    FieldType.FLOAT: "double",
    FieldType.BOOL: "boolean",
    FieldType.TIMESTAMP: {"type": "long", "logicalType": "timestamp-micros"},
    FieldType.MAP: {"type": "map", "values": "string"},
    FieldType.STRINGS: {"type": "array", "items": "string"},
    FieldType.INTS: {"type": "array", "items": "long"},
}
_LEAST_BYTES: Final = {"null": 0, "float": 4, "double": 8}
"""Of primitive types other than these, a value takes one byte at least."""


def of_dataset(ds: Dataset) -> str:
    """Return the text of the schema by which producers may write records of ``ds``; every field may be null."""
    fields = [
        {"name": field.name, "type": ["null", _TYPES[field.type]], "default": None}
        | ({"doc": field.description} if field.description else {})
        for field in ds.fields
    ]
    head = {"type": "record", "name": ds.name, "namespace": "logflume.datasets", "doc": ds.description}
    lines = ",\n".join(f"    {json.dumps(field, ensure_ascii=False)}" for field in fields)
    start = json.dumps(head, ensure_ascii=False, indent=2).removesuffix("\n}")
    return f'{start},\n  "fields": [\n{lines}\n  ]\n}}\n'


def fingerprint(schema: Any) -> bytes:
    """Return the CRC-64-AVRO of a schema's canonical form, as it stands in the single-object encoding."""
    return bytes.fromhex(fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def parsed(text: str | bytes, named: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of ``text`` for fastavro to read by; ``named`` holds the types that it refers to.

    Raises:
        Poison: it is no Avro schema of a record, or none that is safe to read by.
    """
    schema = added(text, named if named is not None else {})
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise _refused("a record is wanted")
    return schema


def added(text: str | bytes, named: dict[str, Any]) -> Any:
    """Read the schema of ``text``, of any type, and add the types that it names to ``named``; ``Poison`` as above."""
    try:
        return checked(json.loads(text), named)
    except ValueError as failure:
        raise _refused(f"it is no JSON: {str(failure)[:200]}") from failure


def checked(schema: Any, named: dict[str, Any] | None = None) -> Any:
    """Return ``schema`` as fastavro parses it, when it is safe to read by; else raise ``Poison``."""
    types = named if named is not None else {}
    try:
        found = fastavro.parse_schema(schema, named_schemas=types)
    except Exception as failure:  # fastavro raises whatever a wrong schema leads it to
        raise _refused(f"it is no Avro schema: {type(failure).__name__}: {str(failure)[:200]}") from failure
    if _Weight(types).of(found) > _MOST_FREE_VALUES:
        raise _refused(f"a record has more than {_MOST_FREE_VALUES} values that take no bytes")
    return found


class _Weight:
    """How many values reading a type can make beyond ``_VALUES_A_BYTE`` times its bytes, at worst."""

    def __init__(self, named: dict[str, Any]) -> None:
        self._named = named
        self._known: dict[str, int] = {}
        self._open: set[str] = set()
        self._depth = 0

    def of(self, schema: Any) -> int:
        if isinstance(schema, str):
            return self._named_type(schema) if schema in self._named else self._primitive(schema)
        if isinstance(schema, list):
            return max((self.of(branch) for branch in schema), default=0) - _VALUES_A_BYTE
        kind = schema["type"]
        if not isinstance(kind, str):
            return self.of(kind)
        if kind in ("record", "error"):
            return self._record(schema)
        if kind in ("array", "map"):
            return self._items(schema["items" if kind == "array" else "values"], is_map=kind == "map")
        if kind == "fixed":
            return 1 - _VALUES_A_BYTE * min(int(schema["size"]), 1)
        return self._named_type(kind) if kind in self._named else self._primitive(kind)

    def _named_type(self, name: str) -> int:
        if name in self._open:
            raise _refused(f"{name} holds itself: such a value may be nested without an end")
        if name not in self._known:
            self._known[name] = self.of(self._named[name])
        return self._known[name]

    def _primitive(self, kind: str) -> int:
        return 1 - _VALUES_A_BYTE * _LEAST_BYTES.get(kind, 1)

    def _record(self, schema: Any) -> int:
        name = schema["name"]
        if name in self._open:
            raise _refused(f"{name} holds itself: such a value may be nested without an end")
        self._open.add(name)
        self._deeper()
        weight = 1 + sum(self.of(field["type"]) for field in schema["fields"])
        self._depth -= 1
        self._open.discard(name)
        return weight

    def _items(self, schema: Any, *, is_map: bool) -> int:
        self._deeper()
        weight = self.of(schema) + (1 - _VALUES_A_BYTE if is_map else 0)
        self._depth -= 1
        if weight > 0:
            raise _refused("an array or a map holds items of many values in few bytes")
        return 1 - _VALUES_A_BYTE  # the byte that ends it

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise _refused(f"it is nested deeper than {_MOST_DEPTH} records, arrays and maps")


def _refused(why: str) -> Poison:
    return Poison(reasons.UNKNOWN_SCHEMA, f"no values are read by this schema: {why}")
