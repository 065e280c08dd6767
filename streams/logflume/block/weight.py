"""How much memory an Arrow IPC stream will take, read from its metadata before a byte is decompressed.

Arrow trusts the length that a compressed buffer claims for itself, so a message of 100 bytes can ask for gigabytes.
The layout read here is that of Message.fbs and Schema.fbs (Arrow columnar format, version V5).
"""

from __future__ import annotations

import struct

import pyarrow as pa

from logflume.block import reasons
from logflume.errors import Poison

_HEADER_FIELD = 2  # of table Message: version, header_type, header, bodyLength
_BUFFERS_FIELD, _COMPRESSION_FIELD = 2, 3  # of table RecordBatch: length, nodes, buffers, compression
_DATA_FIELD = 1  # of table DictionaryBatch: id, data, isDelta


def check_weight(stream: pa.Buffer, most_bytes: int) -> int:
    """Return the bytes that the messages of ``stream`` take once decompressed; ``Poison``: more than ``most_bytes``.

    Raises ``pa.ArrowInvalid`` or ``struct.error`` when it is no stream at all.
    """
    total = 0
    for message in pa.ipc.MessageReader.open_stream(stream):
        if message.type not in ("record batch", "dictionary"):
            continue
        total += _body_bytes(message)
        if total > most_bytes:
            raise Poison(reasons.OVERSIZE, f"would take more than {most_bytes} bytes once decompressed")
    return total


def _body_bytes(message: pa.ipc.Message) -> int:
    """Return the bytes of all buffers of a record batch or a dictionary, decompressed."""
    meta = memoryview(message.metadata)
    batch = _child(meta, _u32(meta, 0), _HEADER_FIELD)
    if message.type == "dictionary":
        batch = _child(meta, batch, _DATA_FIELD)
    vector = _child(meta, batch, _BUFFERS_FIELD)
    if not vector:
        return 0
    compressed = bool(_slot(meta, batch, _COMPRESSION_FIELD))
    body = memoryview(message.body)
    total = 0
    for i in range(_u32(meta, vector)):
        offset, length = struct.unpack_from("<qq", meta, vector + 4 + 16 * i)
        if compressed and length > 0:
            (claimed,) = struct.unpack_from("<q", body, offset)
            length = length if claimed == -1 else claimed  # -1: this one is stored as it is
        if length < 0:
            raise Poison(reasons.ARROW, f"a buffer claims {length} bytes")
        total += length
    return total


def _u32(data: memoryview, at: int) -> int:
    (value,) = struct.unpack_from("<I", data, at)
    return int(value)


def _slot(data: memoryview, table: int, field: int) -> int:
    """Return where a table's field is, or 0 when it is not set (FlatBuffers: a table points back to its vtable)."""
    (back,) = struct.unpack_from("<i", data, table)
    vtable = table - back
    (size,) = struct.unpack_from("<H", data, vtable)
    entry = 4 + 2 * field
    if entry + 2 > size:
        return 0
    (offset,) = struct.unpack_from("<H", data, vtable + entry)
    return table + int(offset) if offset else 0


def _child(data: memoryview, table: int, field: int) -> int:
    """Return where the table or vector that a field refers to begins, or 0."""
    at = _slot(data, table, field)
    return at + _u32(data, at) if at else 0
