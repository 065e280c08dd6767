"""Avro bodies, each one record without its schema, to the columns of a dataset.

A record is resolved by its fields' names: what the dataset names goes to its column when it fits, everything else to
``_extra``. Logical types mean what ``formats/avro.py`` says; instants keep all their digits. A field that is null is an
absent one.
"""

from __future__ import annotations

import io
from copy import deepcopy
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, cast
from uuid import UUID

import fastavro
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logflume.block import reasons
from logflume.errors import Poison
from logflume.formats.avro import plain
from logflume.formats.conform import conform, schema
from logflume.formats.instants import TYPE
from logflume.formats.parsed import BadLine, Parsed
from logflume.model import Dataset, FieldType

_NANOSECONDS: Final = {"timestamp-millis": 1_000_000, "timestamp-micros": 1_000, "timestamp-nanos": 1}
_MOST_NS: Final = 2**63 - 1
_EASY: Final = frozenset({"null", "boolean", "int", "long", "string", "enum"})
"""Types whose values are JSON's as they come; floats may be NaN, the others are other objects."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BodyReader:
    """Reads bodies that were written by one schema; it keeps nothing between calls.

    Each body is either a row or one ``BadLine``, whatever its bytes are.
    """

    def __init__(self, ds: Dataset, writer: dict[str, Any]) -> None:
        """``writer``: a schema of ``formats.avro_schema.parsed``."""
        self._ds = ds
        self._schema = schema(ds)
        self._writer = deepcopy(writer)
        self._instants: dict[str, int] = {}
        self._careful: list[str] = []
        known = {field.name for field in ds.fields}
        self._unknown = [field["name"] for field in writer["fields"] if field["name"] not in known]
        for field in self._writer["fields"]:
            unit = _instant_unit(field["type"])
            if unit and field["name"] in known and ds.field(field["name"]).type is FieldType.TIMESTAMP:
                field["type"] = _as_number(field["type"])
                self._instants[field["name"]] = _NANOSECONDS[unit]
            elif not _is_easy(field["type"]):
                self._careful.append(field["name"])

    def parse(self, bodies: list[bytes]) -> Parsed:
        """Return the records of ``bodies`` as rows."""
        records: list[dict[str, Any]] = []
        rows: list[int] = []
        bad: list[BadLine] = []
        for at, body in enumerate(bodies):
            try:
                records.append(self._record(body))
                rows.append(at)
            except Poison as poison:
                bad.append(BadLine(at, body, poison.reason, poison.detail))
        columns = {name: _instants(records, name, unit) for name, unit in self._instants.items()}
        batch = conform(records, self._ds) if records else pa.RecordBatch.from_pylist([], schema=self._schema)
        for name, column in columns.items():
            batch = batch.set_column(self._schema.get_field_index(name), self._schema.field(name), column)
        return Parsed(batch, np.array(rows, np.int32), bad)

    def _record(self, body: bytes) -> dict[str, Any]:
        file = io.BytesIO(body)
        try:
            record: Any = fastavro.schemaless_reader(file, self._writer, None)
        except UnicodeDecodeError as failure:
            raise Poison(reasons.NOT_UTF8, str(failure)[:300]) from failure
        except Exception as failure:  # fastavro raises whatever a broken body leads it to
            raise Poison(reasons.NOT_AVRO, f"{type(failure).__name__}: {str(failure)[:300]}") from failure
        if file.tell() != len(body):
            raise Poison(reasons.NOT_AVRO, f"{len(body) - file.tell()} bytes are left behind the record")
        for name in self._careful:
            record[name] = _value(record[name])
        for name in self._unknown:
            if record[name] is None:
                del record[name]
        return cast("dict[str, Any]", record)


def _value(value: Any) -> Any:
    """Return what Avro gave as a JSON value; ``Poison`` for what JSON lacks."""
    if type(value) is dict:
        return {name: _value(item) for name, item in value.items()}
    if type(value) is list:
        return [_value(item) for item in value]
    if type(value) is float and value - value != 0.0:
        raise Poison(reasons.NOT_FINITE, f"{value} is no JSON number")
    if isinstance(value, datetime | date | time | bytes | Decimal | UUID):
        return plain(value)
    return value


def _instants(records: list[dict[str, Any]], name: str, unit: int) -> pa.Array:
    """Take an instant out of ``records`` as a column; one that nanoseconds can't reach stays, as text."""
    values = [record.pop(name) for record in records]
    missing: npt.NDArray[np.bool_] = np.array([value is None for value in values], bool)
    numbers = np.array([value or 0 for value in values], np.int64)
    far = np.abs(numbers.astype(np.float64)) >= _MOST_NS / unit
    for at in np.flatnonzero(far).tolist():
        records[at][name] = _spelled(values[at], unit)
    missing |= far
    return pa.array(np.where(far, 0, numbers) * unit, pa.int64(), mask=missing).cast(TYPE)


def _spelled(value: int, unit: int) -> str:
    microseconds, rest = divmod(value * unit, 1000)
    try:
        if not rest:
            return (_EPOCH + timedelta(microseconds=microseconds)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        pass
    return f"{value} times {unit} ns since 1970"


def _instant_unit(kind: Any) -> str | None:
    """Return the logical type of an instant, alone or in a union with null; None for any other type."""
    if isinstance(kind, list):
        others = [branch for branch in kind if branch != "null"]
        return _instant_unit(others[0]) if len(others) == 1 else None
    if isinstance(kind, dict) and kind.get("type") == "long" and kind.get("logicalType") in _NANOSECONDS:
        return str(kind["logicalType"])
    return None


def _as_number(kind: Any) -> Any:
    """Return an instant's type without its meaning: the same bytes read as a number."""
    if isinstance(kind, list):
        return [branch if branch == "null" else "long" for branch in kind]
    return "long"


def _is_easy(kind: Any) -> bool:
    """Whether every value of a type is a JSON value as fastavro gives it."""
    if isinstance(kind, list):
        return all(_is_easy(branch) for branch in kind)
    if isinstance(kind, dict):
        if "logicalType" in kind:
            return False
        inner = {"array": "items", "map": "values"}.get(kind["type"]) if isinstance(kind["type"], str) else "type"
        return _is_easy(kind[inner]) if inner else kind["type"] in _EASY
    return kind in _EASY
