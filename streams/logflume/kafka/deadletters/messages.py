"""A letter as one message of the dead-letter topic, or as several parts when it is too large; nothing is cut off.

Letters are written at least once: a repeat has the same id, and ``reading`` gives each letter once. Every part is
compressed by itself, so that a reader never unpacks more than ``PART_BYTES`` for one message, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import orjson
import pyarrow as pa

from logflume.errors import Poison
from logflume.kafka.deadletters.letter import ID_BYTES, DeadLetter
from logflume.kafka.deliveries import Headers

PART_BYTES = 8 << 20
"""Most original bytes in one message: half of the topic's 16 MB, so that key, headers and framing always fit beside."""

_ATTACHED_BYTES = 256 << 10
"""Keys and headers larger than this don't ride on every part."""

_DETAIL_CHARACTERS = 2_000
_ORIGINAL = "original."
"""Prefix of the headers that the refused message itself had."""


class Message(NamedTuple):
    """One message of the dead-letter topic."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Part:
    """One message of the dead-letter topic, as read: all about its letter but the bytes, and a piece of those."""

    letter: DeadLetter
    """Its ``raw`` is empty."""
    id: str
    size: int
    """Bytes of the whole letter, not compressed."""
    number: int
    parts: int
    piece_bytes: int
    """Bytes of this piece, not compressed."""
    value: bytes = field(repr=False)

    def unpack(self) -> bytes:
        """Return the piece; ``Poison`` when it is torn."""
        if self.piece_bytes == 0 and not self.value:
            return b""
        try:
            raw: bytes = pa.decompress(self.value, decompressed_size=self.piece_bytes, codec="zstd", asbytes=True)
        except (OSError, ValueError, pa.ArrowException) as failure:
            raise Poison("dead-letter", f"letter {self.id} can't be unpacked: {failure}") from failure
        return raw


def to_messages(letter: DeadLetter, part_bytes: int = PART_BYTES) -> list[Message]:
    """Return the messages that hold ``letter``: one, or as many parts of ``part_bytes`` as its bytes need."""
    attached = attached_bytes(letter)
    if attached > _ATTACHED_BYTES:
        return _apart(letter, part_bytes)
    pieces = [letter.raw[at : at + part_bytes] for at in range(0, len(letter.raw), part_bytes)] or [b""]
    headers = [("letter", letter.id.encode()), *about(letter), *_coordinates(letter), ("size", b"%d" % len(letter.raw))]
    if letter.key is not None:
        headers.append(("key", letter.key))
    if letter.apart:
        headers.append(("apart", b"1"))
    if letter.replay_of is not None:
        headers.append(("replay-of", letter.replay_of.encode()))
    headers += [(_ORIGINAL + name, value) for name, value in letter.headers]
    key = text_bytes(letter.home)
    return [
        Message(
            key,
            pa.compress(piece, codec="zstd", asbytes=True),
            [*headers, ("part", b"%d" % number), ("parts", b"%d" % len(pieces)), ("piece", b"%d" % len(piece))],
        )
        for number, piece in enumerate(pieces, start=1)
    ]


def from_message(value: bytes | None, headers: Headers | None) -> Part:
    """Read a message that holds one letter or a part of it; raises ``Poison`` when it is no such message."""
    fields = dict(headers or ())
    try:
        letter = replace(
            told(fields),
            detail=_text(fields.get("detail")) or "",
            offset=_number(fields.get("offset")),
            row=_number(fields.get("row")),
            key=fields.get("key"),
            headers=tuple((n[len(_ORIGINAL) :], v) for n, v in headers or () if n.startswith(_ORIGINAL)),
            apart="apart" in fields,
        )
        id_ = (fields["letter"] or b"").decode("ascii")
        if len(bytes.fromhex(id_)) != ID_BYTES:
            raise ValueError("an id of another length")
        number, parts, size, piece = (int(fields[name] or b"") for name in ("part", "parts", "size", "piece"))
    except (KeyError, ValueError) as failure:
        raise Poison("dead-letter", f"not a dead letter: {type(failure).__name__} {failure}") from None
    if not (1 <= number <= parts and 0 <= piece <= min(size, PART_BYTES)):
        raise Poison("dead-letter", f"not a dead letter: part {number} of {parts}, {piece} of {size} bytes")
    return Part(letter, id_, size, number, parts, piece, value or b"")


def about(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    """Return the headers that a letter shares with its neighbours of the same cause; ``told`` reads them."""
    texts = {
        "reason": letter.reason,
        "stage": letter.stage,
        "tenant": letter.tenant,
        "dataset": letter.dataset,
        "topic": letter.topic,
        "topic-id": letter.topic_id,
        "partition": letter.partition,
        "edge": letter.edge,
    }
    return [(name, text_bytes(str(value))) for name, value in texts.items() if value not in (None, "")]


def told(fields: Mapping[str, bytes | None]) -> DeadLetter:
    """Return a letter with what ``about`` wrote; raises ``KeyError`` or ``ValueError``."""
    return DeadLetter(
        reason=_text(fields["reason"]) or "",
        stage=_text(fields["stage"]) or "",
        tenant=_text(fields.get("tenant")),
        dataset=_text(fields.get("dataset")),
        raw=b"",
        topic=_text(fields.get("topic")) or "",
        topic_id=_text(fields.get("topic-id")) or "",
        partition=_number(fields.get("partition")),
        edge=_text(fields.get("edge")) or "",
    )


def detail_text(letter: DeadLetter) -> str:
    """Return the detail as it is written: valid text of bounded length."""
    return letter.detail[:_DETAIL_CHARACTERS]


def attached_bytes(letter: DeadLetter) -> int:
    """Return the bytes of the refused message's own key and headers."""
    if letter.key is None and not letter.headers:
        return 0
    return len(letter.key or b"") + sum(len(name) + len(value or b"") for name, value in letter.headers)


def text_bytes(text: str) -> bytes:
    """Return text as UTF-8, lone surrogates spelled out."""
    return text.encode("utf-8", "backslashreplace")


def _coordinates(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    texts = {"detail": detail_text(letter), "offset": letter.offset, "row": letter.row}
    return [(name, text_bytes(str(value))) for name, value in texts.items() if value not in (None, "")]


def _apart(letter: DeadLetter, part_bytes: int) -> list[Message]:
    """Keep a huge key and huge headers in a letter of their own: on every part they could exceed the topic's limit."""
    attached = [(name, None if value is None else value.hex()) for name, value in letter.headers]
    key = None if letter.key is None else letter.key.hex()
    about_ = replace(letter, key=None, headers=(), apart=True)
    other = replace(
        about_,
        detail=f"key and headers (hexadecimal) of the letter {about_.id}",
        raw=orjson.dumps({"key": key, "headers": attached}),
    )
    return to_messages(about_, part_bytes) + to_messages(other, part_bytes)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(value)
