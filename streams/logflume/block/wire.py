"""A block as a Kafka message: one Arrow record batch, zstd, and headers that are readable without decoding it.

``decode`` takes bytes from any Kafka client: whatever they are, it returns a batch that is safe to compute on, or
raises ``Poison``. Version N reads N-1; the format in words is ``docs/block.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from logflume.block import extra, reasons
from logflume.block.schema import EXTRA, RECEIVED, TENANT, ingest_schema, without_empty
from logflume.block.weight import check_weight
from logflume.errors import Poison
from logflume.model import Dataset, FieldType, arrow_type

VERSION: Final = 1
VERSION_HEADER: Final = "logflume-block"
SPOOL_HEADER: Final = "spool"
"""What a message was called in the spool of an edge, so that the edge finds it again."""
BARRIER_HEADER: Final = "logflume-barrier"
"""On a message without a value that an edge put there to read up to; everybody else passes over it."""
MOST_ROWS: Final = 100_000
"""25 times the rows of an ordinary block: a sparse block of more would blow up when its columns are filled."""
MOST_BYTES: Final = 64_000_000
"""Decompressed. The topic's limit is 4 MB compressed and logs compress 4 to 10 times; 16 is for the odd one."""

_CODEC: Final = pa.Codec("zstd", compression_level=1)
_ALWAYS: Final = (TENANT.name, RECEIVED.name)
_TYPES: Final = frozenset(arrow_type(kind) for kind in FieldType)

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Header:
    """What a block says of itself in its Kafka headers.

    ``edge``, ``epoch`` (that edge's start) and ``seq`` (1, 2, 3 …) name it; ``bytes`` are those of the rows as they
    came; ``first_time`` and ``last_time`` are the range of ``_received``, nanoseconds since 1970 UTC. ``generation`` is
    the configuration by which the edge took the rows; 0: it does not say.
    """

    dataset: str
    edge: str
    epoch: int
    seq: int
    rows: int
    bytes: int
    first_time: int
    last_time: int
    generation: int = 0


def encode(batch: pa.RecordBatch, header: Header) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return the value and the headers of the Kafka message that carries ``batch`` (columns of ``ingest_schema``)."""
    if batch.num_rows != header.rows or batch.num_rows > MOST_ROWS:
        raise ValueError(f"a block of {batch.num_rows} rows (header: {header.rows}, at most {MOST_ROWS})")
    # An empty column would cost two zstd contexts, 40 µs, here and again at the reader.
    return write_stream(without_empty(batch, _ALWAYS), _CODEC), _headers(header)


def is_block(headers: Headers | None) -> bool:
    """Whether a message says that it carries a block, of any version; plain records have no such header."""
    return any(name == VERSION_HEADER for name, _ in headers or ())


def is_barrier(headers: Sequence[tuple[str, bytes | None]] | None) -> bool:
    """Whether a message says nothing but how far an edge looks for its own (docs/spool.md)."""
    return any(name == BARRIER_HEADER for name, _ in headers or ())


def decode(value: bytes, headers: Headers, ds: Dataset) -> tuple[Header, pa.RecordBatch]:
    """Return a block's header and its rows with exactly the columns of ``ingest_schema(ds)``.

    Fields that the block lacks are null; fields that ``ds`` does not name move to ``_extra``. Every value is valid
    UTF-8, every ``_extra`` a JSON object, every row has a time of arrival and a tenant. Whether that name may be a
    tenant's is not asked here, as one such row must not cost the others: the reader checks it row by row.

    Raises:
        Poison: anything is wrong with it; the reason is one of ``logflume.block.reasons``.
    """
    header = read_header(headers)
    if header.dataset != ds.name:
        raise Poison(reasons.DATASET, f"a block of {header.dataset!r} where {ds.name} is expected")
    try:
        batch = _read(value)
    except (pa.ArrowException, OSError, ValueError, struct.error, MemoryError, NotImplementedError) as error:
        raise Poison(reasons.ARROW, f"{type(error).__name__}: {str(error)[:300]}") from error
    if batch.num_rows != header.rows:
        raise Poison(reasons.ROWS, f"its header says {header.rows} rows, it has {batch.num_rows}")
    return header, _conformed(_checked(batch), ds)


def read_header(headers: Headers) -> Header:
    """Return what the Kafka headers say; ``Poison`` when one is missing, malformed or of an unknown version."""
    found = dict(headers)
    version = found.get(VERSION_HEADER)
    if version != str(VERSION).encode():
        raise Poison(reasons.VERSION, f"block version {version!r}; this release reads {VERSION}")
    return Header(
        dataset=_text(found, "dataset"),
        edge=_text(found, "edge"),
        epoch=_number(found, "epoch"),
        seq=_number(found, "seq"),
        rows=_number(found, "rows"),
        bytes=_number(found, "bytes"),
        first_time=_number(found, "first-time"),
        last_time=_number(found, "last-time"),
        generation=_number(found, "generation") if "generation" in found else 0,
    )


def write_stream(batch: pa.RecordBatch, codec: pa.Codec, metadata: dict[bytes, bytes] | None = None) -> bytes:
    """Return one batch as an Arrow IPC stream, its buffers compressed, with custom metadata on the batch."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch, custom_metadata=metadata)
    result: bytes = sink.getvalue().to_pybytes()
    return result


def read_stream(value: bytes) -> tuple[pa.RecordBatch, dict[bytes, bytes]]:
    """Return the only batch of an Arrow IPC stream and its custom metadata; errors are pyarrow's, or ``ValueError``."""
    options = pa.ipc.IpcReadOptions(use_threads=False, ensure_alignment=pa.ipc.Alignment.DataTypeSpecific)
    with pa.ipc.open_stream(pa.py_buffer(value), options=options) as reader:
        try:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            raise ValueError("a stream without a batch") from None
        try:
            reader.read_next_batch()
        except StopIteration:
            return batch, dict(metadata or {})
    raise ValueError("a stream of more than one batch")


def _read(value: bytes) -> pa.RecordBatch:
    buffer = pa.py_buffer(value)
    with pa.ipc.open_stream(buffer) as reader:
        _check_columns(reader.schema)  # before a buffer is read: exotic types never get that far
    check_weight(buffer, MOST_BYTES)
    batch, _ = read_stream(value)
    if batch.num_rows > MOST_ROWS:
        raise Poison(reasons.OVERSIZE, f"{batch.num_rows} rows; a block has {MOST_ROWS} at most")
    batch.validate(full=True)
    return batch


def _check_columns(schema: pa.Schema) -> None:
    if len(set(schema.names)) != len(schema.names):
        raise Poison(reasons.COLUMNS, "two columns have the same name")
    system = {field.name: field.type for field in (TENANT, RECEIVED, EXTRA)}
    for name in _ALWAYS:
        if name not in schema.names:
            raise Poison(reasons.COLUMNS, f"there is no column {name}")
    for field in schema:
        expected = system.get(field.name)
        if field.type != expected if expected is not None else field.type not in _TYPES:
            wanted = expected or "one of docs/block.md's types"
            raise Poison(reasons.COLUMNS, f"column {field.name[:80]!r} is {field.type}, not {wanted}")


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with good system columns, its ``_extra`` normalised: what others write is JSON, but not ours."""
    tenants = batch.column(TENANT.name)
    if tenants.null_count or tenants.dictionary.null_count:
        raise Poison(reasons.TENANT, "a row has no tenant")
    if batch.column(RECEIVED.name).null_count:
        raise Poison(reasons.RECEIVED, "a row has no time of arrival")
    at = batch.schema.get_field_index(EXTRA.name)
    if at < 0:
        return batch
    try:
        extra.check(batch.column(at))
    except ValueError as error:
        raise Poison(reasons.EXTRA, f"_extra: {error}") from error
    return batch.set_column(at, EXTRA, extra.normalised(batch.column(at)))


def _conformed(batch: pa.RecordBatch, ds: Dataset) -> pa.RecordBatch:
    """Return the batch with the columns of ``ds`` as it is now: a block may be older, or newer, than this process."""
    schema = ingest_schema(ds)
    if batch.schema.equals(schema):
        return batch
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    for field in schema:
        if field.name in columns and columns[field.name].type != field.type:
            raise Poison(reasons.COLUMNS, f"column {field.name} is {columns[field.name].type}, not {field.type}")
    unknown = [name for name in columns if name not in schema.names and columns[name].null_count < batch.num_rows]
    if unknown:
        values = [extra.json_values(columns[name]) for name in unknown]
        columns[EXTRA.name] = extra.merge(columns.get(EXTRA.name), unknown, values)
    arrays = [
        columns[field.name] if field.name in columns else pa.nulls(batch.num_rows, field.type) for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _headers(header: Header) -> list[tuple[str, bytes]]:
    headers = [
        (VERSION_HEADER, str(VERSION).encode()),
        ("dataset", header.dataset.encode()),
        ("edge", header.edge.encode()),
        ("epoch", str(header.epoch).encode()),
        ("seq", str(header.seq).encode()),
        ("rows", str(header.rows).encode()),
        ("bytes", str(header.bytes).encode()),
        ("first-time", str(header.first_time).encode()),
        ("last-time", str(header.last_time).encode()),
    ]
    return [*headers, ("generation", str(header.generation).encode())] if header.generation else headers


def _text(headers: dict[str, bytes], name: str) -> str:
    value = headers.get(name)
    try:
        text = value.decode() if value else ""
    except UnicodeDecodeError:
        text = ""
    if not 0 < len(text) <= 255:
        raise Poison(reasons.HEADER, f"header {name} is {value!r:.80}, not 1 to 255 characters of UTF-8")
    return text


def _number(headers: dict[str, bytes], name: str) -> int:
    value = headers.get(name) or b""
    digits = value.removeprefix(b"-") if name.endswith("-time") else value
    if not digits.isdigit() or len(digits) > 19 or int(digits) >= 2**63:
        raise Poison(reasons.HEADER, f"header {name} is {value!r:.80}, not a decimal number of 64 bits")
    return int(value)
