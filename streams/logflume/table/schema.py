"""The columns of a tenant's table, and what happens when its dataset has changed since it was made.

A dataset's new field becomes a new column, null in older files; a field that went stays as a column; a field of another
type is refused, since the rows at rest can't change.
"""

from __future__ import annotations

from functools import lru_cache

import orjson
import pyarrow as pa
from deltalake import DeltaTable
from deltalake import Field as DeltaField
from deltalake import Schema as DeltaSchema

from logflume.errors import Refused
from logflume.model.dataset import Dataset

DATE = "_date"
"""Partition column: the UTC date under which a row is filed, that of its time field, or of its arrival."""

TIMESTAMP = pa.timestamp("us", tz="UTC")
"""Delta's timestamps hold microseconds."""

OWN = (
    pa.field("_received", TIMESTAMP),
    pa.field("_extra", pa.string()),
    pa.field("_src_topic", pa.string()),
    pa.field("_src_partition", pa.int32()),
    pa.field("_src_offset", pa.int64()),
    pa.field("_src_row", pa.int32()),
)
"""Logflume's own columns, after the dataset's fields."""

_COORDINATES = ("_src_partition", "_src_offset", "_src_row")

_REFUSED_PROPERTIES = {
    "delta.setTransactionRetentionDuration": "it hides how far a table has come, and rows would be stored twice",
}
WRITER_VERSION = 2  # of the Delta protocol: what tables are made with, and what the commits of log.py keep to


@lru_cache(maxsize=256)
def file_schema(dataset: Dataset) -> pa.Schema:
    """Return the columns of a data file: the dataset's fields in its order, then Logflume's own."""
    fields = [f.with_type(TIMESTAMP) if pa.types.is_timestamp(f.type) else f for f in dataset.schema]
    return pa.schema([*fields, *OWN])


def bounded(dataset: Dataset) -> list[str]:
    """Return the columns whose bounds the log holds for each file, to skip files by: times and coordinates."""
    return [f.name for f in file_schema(dataset) if f.type == TIMESTAMP or f.name in _COORDINATES]


def delta_schema(dataset: Dataset) -> DeltaSchema:
    """Return the schema of a new table: a file's columns and the partition."""
    return DeltaSchema.from_arrow(file_schema(dataset).append(pa.field(DATE, pa.date32())))


@lru_cache(maxsize=256)
def delta_json(dataset: Dataset) -> str:
    """Return ``delta_schema`` as a log spells it."""
    return delta_schema(dataset).to_json()


def check(table: DeltaTable, where: str) -> None:
    """Raise ``Refused`` when the table is none that Logflume's commits keep whole. ``where`` names it."""
    metadata, protocol = table.metadata(), table.protocol()
    for name, why in _REFUSED_PROPERTIES.items():
        if name in metadata.configuration:
            raise Refused(f"{where} has the property {name}: {why}. Unset it.")
    if metadata.partition_columns != [DATE]:
        raise Refused(f"{where} is partitioned by {metadata.partition_columns}, not by {DATE}: it is not Logflume's")
    if protocol.min_writer_version > WRITER_VERSION or protocol.writer_features:
        features = ", ".join(protocol.writer_features or ()) or "none named"
        raise Refused(
            f"{where} asks of its writers version {protocol.min_writer_version} of Delta's protocol (features: "
            f"{features}); Logflume writes version {WRITER_VERSION}. Make the table anew without them."
        )


def missing(dataset: Dataset, table: DeltaTable, where: str) -> list[DeltaField]:
    """Return the dataset's columns that the table lacks; ``Refused`` when one has another type there."""
    wanted = _types(delta_schema(dataset))
    have = _types(table.schema())
    for name, type in wanted.items():
        if name in have and have[name] != type:
            raise Refused(
                f"{where}: the column {name} is {_spell(have[name])} there, and {_spell(type)} in the dataset "
                f"{dataset.name}. A field's type can't change: take another name, or move the table away."
            )
    return [
        DeltaField.from_json(orjson.dumps(f).decode()) for f in _fields(delta_schema(dataset)) if f["name"] not in have
    ]


def _fields(schema: DeltaSchema) -> list[dict[str, object]]:
    fields: list[dict[str, object]] = orjson.loads(schema.to_json())["fields"]
    return fields


def _types(schema: DeltaSchema) -> dict[str, object]:
    """Types by column; whether a nested value may be null is left out, since engines differ there."""
    return {str(f["name"]): _bare(f["type"]) for f in _fields(schema)}


def _bare(type: object) -> object:
    if not isinstance(type, dict):
        return type
    return {key: _bare(value) for key, value in type.items() if not key.endswith("ontainsNull")}


def _spell(type: object) -> str:
    return type if isinstance(type, str) else orjson.dumps(type).decode()
