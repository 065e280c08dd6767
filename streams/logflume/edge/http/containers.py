"""Arrow streams and Avro containers of strangers, read within bounds that are checked before anything is unpacked.

Both formats compress inside themselves, both let a few bytes claim any size, and their readers believe them.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

import cramjam
import pyarrow as pa

from logflume.block.weight import check_weight
from logflume.edge.http.refusal import Refusal
from logflume.edge.http.spread import spread
from logflume.errors import Poison
from logflume.formats import avro
from logflume.formats.avro_schema import parsed

_MAGIC: Final = b"Obj\x01"
_SYNC_BYTES: Final = 16
_MOST_META: Final = 1 << 20  # bytes of a container's header; schemas are kilobytes
_MOST_COLUMNS: Final = 2000
_MOST_CELLS: Final = 20_000_000
"""Rows times columns: a column of nulls takes no bytes, but each of its cells is looked at."""
_SPREAD: Final = 2
"""How many times its most bytes a table may take spelled out: names stand in every row then."""
_STEP: Final = 1 << 20

Reserve = Callable[[int], None]
"""Takes memory for a request; raises ``Refusal`` when there is none."""


def arrow_table(stream: bytes, *, most_bytes: int, most_rows: int, reserve: Reserve) -> pa.Table:
    """Return the table of an Arrow IPC stream. ``Poison`` when it is none, ``Refusal`` 413 when it is too large.

    Memory is reserved for the table, and for its rows once they are spelled out.
    """
    buffer = pa.py_buffer(stream)
    try:
        reserve(_weight(buffer, most_bytes))
        with pa.ipc.open_stream(buffer, options=pa.ipc.IpcReadOptions(use_threads=False)) as reader:
            if len(reader.schema) > _MOST_COLUMNS:
                raise Refusal(413, f"{len(reader.schema)} columns; a table may have {_MOST_COLUMNS}")
            batches: list[pa.RecordBatch] = []
            rows, left = 0, _SPREAD * most_bytes
            for batch in reader:
                rows += batch.num_rows
                if rows > most_rows:  # also columns of nulls, which take no bytes
                    raise Refusal(413, f"more than {most_rows} rows; a request may have that many")
                if rows * batch.num_columns > _MOST_CELLS:
                    raise Refusal(413, f"more than {_MOST_CELLS} cells (rows times columns)")
                batch.validate(full=True)
                size = spread(batch, left)
                left -= size
                reserve(size)
                batches.append(batch)
            return pa.Table.from_batches(batches, schema=reader.schema)
    except (pa.ArrowException, OSError, ValueError, struct.error, IndexError) as failure:
        raise Poison("torn-file", f"it is no Arrow stream: {type(failure).__name__}: {str(failure)[:300]}") from failure


def _weight(buffer: pa.Buffer, most_bytes: int) -> int:
    try:
        return check_weight(buffer, most_bytes)
    except Poison as heavy:
        raise Refusal(413, heavy.detail) from heavy


def avro_lines(container: bytes, *, most_bytes: int, most_rows: int, reserve: Reserve) -> bytes:
    """Return an Avro container's records as lines of JSON. ``Poison`` (torn, or a schema that isn't safe), 413.

    Memory is reserved for what its blocks hold, and for the lines.
    """
    plain = io.BytesIO(_unpacked(container, most_bytes, reserve))
    lines: list[bytes] = []
    size = reserved = 0
    for line in islice(avro.records(plain), most_rows + 1):
        size += len(line)
        if size > most_bytes:
            raise Refusal(413, f"its records are more than {most_bytes} bytes of JSON")
        if size > reserved:
            reserve(2 * (size - reserved + _STEP))  # as lines, and joined
            reserved = size + _STEP
        lines.append(line)
    if len(lines) > most_rows:
        raise Refusal(413, f"more than {most_rows} records; a request may have that many")
    return b"".join(lines)


def _unpacked(container: bytes, most_bytes: int, reserve: Reserve) -> bytes:
    """The same container without compression (Avro specification, "Object Container Files")."""
    read = _Reader(container)
    if read.take(len(_MAGIC)) != _MAGIC:
        raise _torn("it does not begin with Obj")
    meta = dict(_meta(read))
    sync = read.take(_SYNC_BYTES)
    parsed(meta.get("avro.schema", b""))  # or fastavro could be led anywhere
    codec = meta.get("avro.codec", b"null").decode("latin-1")
    parts = [_MAGIC, _long(2), _text(b"avro.schema"), _text(meta["avro.schema"])]
    parts += [_text(b"avro.codec"), _text(b"null"), _long(0), sync]
    left = most_bytes
    while not read.ended():
        count, packed = read.long(), read.text()
        if count < 0:
            raise _torn(f"a block claims {count} records")
        block = packed if codec == "null" else _block(packed, codec, left)
        left -= len(block)
        if left < 0:
            raise _too_large()
        reserve(2 * len(block) + _SYNC_BYTES)  # itself, and joined
        parts += [_long(count), _text(block), sync]
        if read.take(_SYNC_BYTES) != sync:
            raise _torn("a block does not end with the container's marker")
    return b"".join(parts)


def _meta(read: _Reader) -> Iterator[tuple[str, bytes]]:
    left = _MOST_META
    while count := read.long():
        if count < 0:  # the block's bytes follow, for those who skip it
            count = -count
            read.long()
        for _ in range(count):
            key, value = read.text(), read.text()
            left -= len(key) + len(value) + 1
            if left < 0:
                raise Refusal(413, f"the container's header has more than {_MOST_META} bytes")
            yield key.decode("latin-1"), value


def _block(packed: bytes, codec: str, most: int) -> bytes:
    try:
        if codec == "deflate":
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            block = inflate.decompress(packed, most + 1)
            if len(block) <= most and not inflate.eof:
                raise _torn("a block is cut short")
        elif codec == "snappy":
            if cramjam.snappy.decompress_raw_len(packed[:-4]) > most:
                raise _too_large()
            block = bytes(cramjam.snappy.decompress_raw(packed[:-4]))  # a CRC stands behind
        elif codec == "zstandard":
            with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
                block = stream.read(most + 1)
        else:
            raise Poison("torn-file", f"codec {codec[:40]!r} is not read here: null, deflate, snappy, zstandard are")
    except (zlib.error, cramjam.DecompressionError, OSError) as failure:
        raise _torn(f"a block can't be unpacked: {failure}") from failure
    if len(block) > most:
        raise _too_large()
    return block


class _Reader:
    """Avro's primitives, out of bytes that are all there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def ended(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self._data) - self._at:
            raise _torn(f"{count} bytes are wanted where {len(self._data) - self._at} are left")
        self._at += count
        return self._data[self._at - count : self._at]

    def long(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > 63:
                raise _torn("a number has more than 64 bits")

    def text(self) -> bytes:
        return self.take(self.long())


def _long(value: int) -> bytes:
    value = (value << 1) ^ (value >> 63)
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _text(value: bytes) -> bytes:
    return _long(len(value)) + value


def _torn(why: str) -> Poison:
    return Poison("torn-file", f"it is no whole Avro container: {why}")


def _too_large() -> Refusal:
    return Refusal(413, "the container unpacks to more bytes than a body may have")
