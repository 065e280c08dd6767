"""An Arrow table of any columns in the columns of a dataset: what fits goes straight, the rest is read as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from logflume.block import reasons
from logflume.errors import Poison
from logflume.formats import JsonParser
from logflume.model import Dataset

_EXTRA = "_extra"
_CELLS_AT_ONCE = 100_000


def conformed(table: pa.Table | pa.RecordBatch, dataset: Dataset) -> pa.RecordBatch:
    """Return ``table``'s rows in the dataset's fields and ``_extra``.

    A column goes straight if it has a field's name and its type, or one that casts to it without loss. All others are
    turned to JSON and read as such: a column of unknown name, or of another type, ends in ``_extra`` unless JSON's
    rules let it into its field. A null in a column that is not the dataset's counts as absent. Raises ``Poison`` for
    what JSON can't hold (binary, NaN), for invalid UTF-8 and for a column name that stands twice.
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    names = table.column_names
    wanted = [*dataset.schema, pa.field(_EXTRA, pa.string())]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Poison(reasons.NOT_JSON, f"two columns are named {twice!r}")
    straight: dict[str, pa.Array] = {}
    for field in dataset.schema:
        if field.name in names:
            column = _fitting(table.column(field.name), field)
            if column is not None:
                straight[field.name] = column
    rest = [name for name in names if name not in straight]
    read = _read_as_json(table.select(rest), dataset) if rest and table.num_rows else None
    columns = []
    for field in wanted:
        column = straight.get(field.name)
        if column is None:
            column = read.column(field.name) if read is not None else pa.nulls(table.num_rows, field.type)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=[*dataset.schema.names, _EXTRA])


def _fitting(column: pa.ChunkedArray, field: pa.Field) -> pa.Array | None:
    """The column in the field's type, or None when that would not be the same value to JSON."""
    have, want = _kind(column.type), _kind(field.type)
    if have is None or (have != want and (have, want) != ("int", "float")):
        return None
    try:
        column = column.combine_chunks() if column.type == field.type else column.cast(field.type).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None  # such as an unsigned integer past 2^63, or an instant that nanoseconds can't reach
    array = pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        raise Poison(reasons.NOT_UTF8, f"column {field.name}: {error}") from error
    if pa.types.is_floating(field.type) and pc.any(pc.invert(pc.is_finite(array))).as_py():
        raise Poison(reasons.NOT_FINITE, f"column {field.name} holds NaN or infinities; use null")
    return array


def _kind(type: pa.DataType) -> object:
    """What a type is to JSON; columns of equal kinds may be cast."""
    of = pa.types
    if of.is_dictionary(type):
        return _kind(type.value_type)
    if of.is_map(type):
        return ("map", _kind(type.key_type), _kind(type.item_type))
    if of.is_list(type) or of.is_large_list(type) or of.is_fixed_size_list(type):
        return ("list", _kind(type.value_type))
    if of.is_timestamp(type):
        return "instant" if type.tz else None
    kinds = {
        "string": of.is_string(type) or of.is_large_string(type) or of.is_string_view(type),
        "int": of.is_integer(type),
        "float": of.is_floating(type),
        "bool": of.is_boolean(type),
    }
    return next((kind for kind, is_it in kinds.items() if is_it), None)


def as_lines(table: pa.Table | pa.RecordBatch) -> bytes:
    """Return rows as lines of JSON, for a table that ``conformed`` refuses: so each bad row costs only itself.

    What JSON can't hold is spelled so that the row is refused (``NaN``), bytes are text of one character a byte.
    """
    if isinstance(table, pa.RecordBatch):
        table = pa.Table.from_batches([table])
    dumps = json.JSONEncoder(default=_text, separators=(",", ":")).encode
    return b"".join(dumps(_present(record)).encode() + b"\n" for record in _records(table))


def _read_as_json(table: pa.Table, dataset: Dataset) -> pa.RecordBatch:
    try:
        lines = [orjson.dumps(_present(record)) + b"\n" for record in _records(table)]
    except (TypeError, ValueError, KeyError) as error:
        raise Poison(reasons.NOT_JSON, f"columns {', '.join(table.column_names)}: {error}") from error
    parsed = JsonParser(dataset).parse(b"".join(lines))
    if parsed.bad:
        bad = parsed.bad[0]
        raise Poison(bad.reason, f"row {bad.row} of columns {', '.join(table.column_names)}: {bad.detail}")
    return parsed.batch


def _records(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows as objects, few at a time: they take many times the memory of columns."""
    for at, name in enumerate(table.column_names):
        if pa.types.is_timestamp(table.column(name).type):
            table = table.set_column(at, name, _spelled(table.column(name)))
    step = max(1, _CELLS_AT_ONCE // max(1, table.num_columns))
    for start in range(0, table.num_rows, step):
        yield from table.slice(start, step).to_pylist(maps_as_pydicts="strict")


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _present(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}


def _spelled(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants as RFC 3339 to the column's own precision; a time without zone is no instant and gets no ``Z``."""
    zone = "Z" if column.type.tz else ""
    utc = column.cast(pa.timestamp(column.type.unit, tz="UTC" if zone else None))
    return pc.strftime(utc, format=f"%Y-%m-%dT%H:%M:%S{zone}")
