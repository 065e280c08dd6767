"""A fetched batch of messages unpacked within bounds: gzip, snappy, lz4, zstd, as Kafka's record format has them.

aiokafka unpacks whatever size comes of it, and one batch that can't be read ends its fetch for ever.
"""

from __future__ import annotations

import struct
from typing import Final

import cramjam
import pyarrow as pa

from logflume.block import reasons
from logflume.errors import Poison

MOST_BATCH_BYTES: Final = 64_000_000
"""Of one batch, unpacked: sixteen times the topic's limit for it packed. Clients make batches of 16 kB to 1 MB."""
MOST_BATCH_MESSAGES: Final = 200_000
"""Of one batch: each message costs its reader half a kilobyte, however short it is."""

HEADER: Final = struct.Struct(">qiibIhiqqqhii")
"""Kafka record batch, version 2: base offset, length, epoch, magic, CRC, attributes, last delta … count of records."""

_ATTRIBUTES_AT: Final = struct.calcsize(">qiibI")
_CODEC_MASK: Final = 0x07
_STREAMS: Final = {1: "gzip", 3: "lz4", 4: "zstd"}
_SNAPPY: Final = 2
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_PIECE_BYTES: Final = 1 << 20


class Unreadable(bytes):
    """The bytes of a batch that can't be read, in the place of its first message's value. No client can send one."""

    poison: Poison
    first: int
    last: int
    """Offsets of the batch's first and last message."""

    @classmethod
    def of(cls, batch: bytes, poison: Poison) -> Unreadable:
        """Return ``batch`` (a whole one, version 2) as unreadable for a reason."""
        made = cls(batch)
        fields = HEADER.unpack_from(batch)
        made.first, made.last = fields[0], fields[0] + fields[6]
        made.poison = poison
        return made


def is_bounded(batch: bytes | memoryview) -> bool:
    """Whether a batch may be read as it is: not compressed, and of no more messages than any honest one."""
    fields = HEADER.unpack_from(batch)
    return not fields[5] & _CODEC_MASK and fields[12] <= MOST_BATCH_MESSAGES


def unpacked(batch: bytes) -> bytes:
    """Return a batch of record format 2 with its messages as they were before they were compressed.

    Its checksum is no longer right, as it is that of the compressed bytes.

    Raises:
        Poison: it is no such batch, or unpacks to more than an honest one does.
    """
    fields = HEADER.unpack_from(batch)
    codec, count = fields[5] & _CODEC_MASK, fields[12]
    if count > MOST_BATCH_MESSAGES:
        raise Poison(reasons.UNREADABLE, f"{count} messages in one batch; {MOST_BATCH_MESSAGES} are the most")
    if not codec:
        return batch
    try:
        body = _snappy(batch[HEADER.size :]) if codec == _SNAPPY else _stream(batch[HEADER.size :], _STREAMS[codec])
    except (OSError, ValueError, KeyError, struct.error, cramjam.DecompressionError) as failure:
        raise Poison(
            reasons.UNREADABLE, f"codec {codec} can't be unpacked: {type(failure).__name__}: {str(failure)[:200]}"
        ) from failure
    head = bytearray(batch[: HEADER.size])
    struct.pack_into(">h", head, _ATTRIBUTES_AT, fields[5] & ~_CODEC_MASK)
    return bytes(head) + body


def _stream(data: bytes, codec: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
        while part := stream.read(_PIECE_BYTES):
            size = _within(size + len(part))
            parts.append(part)
    return b"".join(parts)


def _snappy(data: bytes) -> bytes:
    """Snappy says at its beginning how much it makes; Java's clients cut it into pieces of 32 kB and more."""
    if not data.startswith(_XERIAL):
        _within(_snappy_size(data))
        return bytes(cramjam.snappy.decompress_raw(data))
    parts: list[bytes] = []
    at, size = _XERIAL_HEADER_BYTES, 0
    while at < len(data):
        (length,) = struct.unpack_from(">i", data, at)
        if not 0 <= length <= len(data) - at - 4:
            raise ValueError("a piece is longer than what is left")
        piece = data[at + 4 : at + 4 + length]
        size = _within(size + _snappy_size(piece))
        parts.append(bytes(cramjam.snappy.decompress_raw(piece)))
        at += 4 + length
    return b"".join(parts)


def _snappy_size(data: bytes) -> int:
    size = 0
    for at, byte in enumerate(data[:5]):
        size |= (byte & 0x7F) << (7 * at)
        if byte < 0x80:
            return size
    raise ValueError("no length at its beginning")


def _within(size: int) -> int:
    if size > MOST_BATCH_BYTES:
        raise Poison(reasons.UNREADABLE, f"a batch that unpacks to more than {MOST_BATCH_BYTES} bytes")
    return size
