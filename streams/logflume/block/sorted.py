"""A sorted block: rows of one dataset, tenant after tenant, and the ingest ranges that they cover (DESIGN §5, §6a).

Only the sorter writes these; a block that is not as it should be is ``Refused``, never skipped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from logflume.block.schema import EXTRA, RECEIVED, SOURCE
from logflume.block.wire import VERSION, VERSION_HEADER, Headers, read_stream, write_stream
from logflume.errors import Refused

Coordinate = tuple[int, int]
"""(offset, row) in one ingest partition; they compare as tuples do."""

_META: Final = b"logflume"
_CODEC: Final = pa.Codec("lz4")
_ALWAYS: Final = (RECEIVED, *SOURCE)
_SYSTEM: Final = (*_ALWAYS, EXTRA)
_BROKEN: Final = (
    pa.ArrowException,
    OSError,
    ValueError,
    KeyError,
    TypeError,
    struct.error,
    MemoryError,
    NotImplementedError,
)
"""What reading bytes raises that are no stream, or none of ours."""


@dataclass(frozen=True, slots=True)
class Source:
    """A range of one ingest partition that a sorted block covers, both ends included.

    ``previous`` is the end of this session's range before it for this sorted partition, or None for its first.
    """

    topic_id: str
    partition: int
    first: Coordinate
    last: Coordinate
    previous: Coordinate | None


@dataclass(frozen=True, slots=True)
class Runs:
    """Whose rows a sorted block holds: ``rows[i]`` consecutive rows of ``tenants[i]``, tenants ascending."""

    tenants: list[str]
    rows: list[int]

    def only(self, mask: npt.NDArray[np.bool_]) -> Runs:
        """Return the runs of the rows where ``mask`` (one bool a row) is true; a run without rows is left out."""
        starts = np.cumsum([0, *self.rows[:-1]])
        kept = np.add.reduceat(mask, starts, dtype=np.int64).tolist()
        return Runs([tenant for tenant, rows in zip(self.tenants, kept, strict=True) if rows], [r for r in kept if r])


@dataclass(frozen=True, slots=True)
class SortedMeta:
    """What a sorted block says of itself: its dataset, the sorter's session, what it covers, and its runs.

    ``generation`` is the newest configuration by which an edge took one of its rows; 0: none of them says.
    """

    dataset: str
    session: str
    sources: tuple[Source, ...]
    runs: Runs
    generation: int = 0


def encode_sorted(batch: pa.RecordBatch, meta: SortedMeta) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return the value (lz4) and the headers of the Kafka message that carries ``batch`` (``sorted_schema``)."""
    value = write_stream(batch, _CODEC, {_META: orjson.dumps(_to_json(meta))})
    headers = [
        (VERSION_HEADER, str(VERSION).encode()),
        ("dataset", meta.dataset.encode()),
        ("rows", str(batch.num_rows).encode()),
    ]
    return value, headers


def decode_sorted(value: bytes, headers: Headers) -> tuple[SortedMeta, pa.RecordBatch]:
    """Return a sorted block's metadata and rows.

    Raises:
        Refused: it is of an unknown version, or not what a sorter writes.
    """
    version = dict(headers or ()).get(VERSION_HEADER)
    if version != str(VERSION).encode():
        raise Refused(f"sorted block of version {version!r}; this release reads {VERSION}")
    try:
        batch, metadata = read_stream(value)
        batch.validate()
        meta = _from_json(orjson.loads(metadata[_META]))
    except _BROKEN as error:
        raise Refused(f"not a sorted block: {type(error).__name__}: {str(error)[:300]}") from error
    for field in _SYSTEM:
        if batch.schema.get_field_index(field.name) < 0 or batch.schema.field(field.name).type != field.type:
            raise Refused(f"a sorted block without its column {field.name}: {field.type}")
    if any(batch.column(field.name).null_count for field in _ALWAYS):
        raise Refused("a sorted block with a row that lacks its arrival or its source")
    said = dict(headers).get("rows")
    if said != str(batch.num_rows).encode():
        raise Refused(f"a sorted block of {batch.num_rows} rows whose header says {said!r:.40}")
    _check_runs(meta.runs, batch.num_rows)
    return meta, batch


def _check_runs(runs: Runs, rows: int) -> None:
    if len(runs.tenants) != len(runs.rows) or sum(runs.rows) != rows or any(count <= 0 for count in runs.rows):
        raise Refused(f"a sorted block of {rows} rows whose runs hold {sum(runs.rows)}")
    if any(a >= b for a, b in zip(runs.tenants, runs.tenants[1:], strict=False)):
        raise Refused("a sorted block whose runs are not in the order of their tenants")


def _to_json(meta: SortedMeta) -> dict[str, Any]:
    return {
        "dataset": meta.dataset,
        "session": meta.session,
        "sources": [
            {
                "topic_id": source.topic_id,
                "partition": source.partition,
                "first": source.first,
                "last": source.last,
                "previous": source.previous,
            }
            for source in meta.sources
        ],
        "tenants": meta.runs.tenants,
        "rows": meta.runs.rows,
    } | ({"generation": meta.generation} if meta.generation else {})


def _from_json(value: dict[str, Any]) -> SortedMeta:
    sources = tuple(
        Source(
            topic_id=str(source["topic_id"]),
            partition=int(source["partition"]),
            first=_coordinate(source["first"]),
            last=_coordinate(source["last"]),
            previous=None if source["previous"] is None else _coordinate(source["previous"]),
        )
        for source in value["sources"]
    )
    runs = Runs([str(name) for name in value["tenants"]], [int(count) for count in value["rows"]])
    return SortedMeta(str(value["dataset"]), str(value["session"]), sources, runs, _generation(value))


def _coordinate(pair: list[int]) -> Coordinate:
    offset, row = map(int, pair)
    if not (0 <= offset < 2**63 and 0 <= row < 2**31):
        raise ValueError(f"no coordinate: {pair}")
    return offset, row


def _generation(value: dict[str, Any]) -> int:
    generation = int(value.get("generation", 0))
    if not 0 <= generation < 2**63:
        raise ValueError(f"no generation: {generation}")
    return generation
