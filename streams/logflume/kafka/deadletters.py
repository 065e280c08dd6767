"""Dead letters: what could not be read, kept byte for byte with its coordinates and the reason.

A letter is one message of the dead-letter topic, or several parts when its compressed bytes would not fit; nothing is
cut off. Letters are written at least once: a repeat has the same id, and ``assemble`` gives each letter once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import orjson
import pyarrow as pa

from logflume.block import reasons
from logflume.errors import Poison
from logflume.kafka.deliveries import Deliveries, Headers

PART_BYTES = 8 << 20
"""Largest value of one message: half of the topic's 16 MB, so that key, headers and framing always fit beside it."""

_ATTACHED_BYTES = 256 << 10
"""Keys and headers larger than this don't ride on every part."""

_DETAIL_CHARACTERS = 2_000
_ORIGINAL = "original."
"""Prefix of the headers that the refused message itself had."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One thing that could not be read, and why.

    ``topic``, ``topic_id``, ``partition`` and ``offset`` say which message it was or was in, ``row`` which record
    inside it (None: the whole message). A letter from an edge has no coordinates yet: ``edge`` names edge and
    epoch, and ``row`` counts that edge's letters. ``raw`` is exactly what came in.
    """

    reason: str
    """One of ``logflume.block.reasons``."""
    stage: str
    """Who refused it: ``edge``, ``sort``, ``sink``."""
    tenant: str | None
    dataset: str | None
    raw: bytes = field(repr=False)
    detail: str = ""
    topic: str = ""
    topic_id: str = ""
    partition: int | None = None
    offset: int | None = None
    row: int | None = None
    edge: str = ""
    key: bytes | None = None
    """The refused message's own key."""
    headers: tuple[tuple[str, bytes | None], ...] = ()
    """The refused message's own headers: a block can't be decoded without them."""

    @property
    def id(self) -> str:
        """The same for every repeat of this letter, and for no other letter."""
        where = [self.stage, self.topic, self.topic_id, self.partition, self.offset, self.row, self.edge, self.dataset]
        # A letter without bytes says what it is about in its detail: two lost ranges may begin at one offset.
        said = self.raw or self.detail.encode()
        return hashlib.blake2b(orjson.dumps(where) + b"\0" + said, digest_size=12).hexdigest()


def deleted(stage: str, dataset: str, topic: str, topic_id: str, partition: int, first: int, last: int) -> DeadLetter:
    """Return the letter that records messages which retention deleted before ``stage`` had read them."""
    return DeadLetter(
        reason=reasons.RETENTION,
        stage=stage,
        tenant=None,
        dataset=dataset,
        raw=b"",
        detail=f"offsets {first} to {last} of {topic}[{partition}] were deleted before they were read",
        topic=topic,
        topic_id=topic_id,
        partition=partition,
        offset=first,
    )


class Message(NamedTuple):
    """One message of the dead-letter topic."""

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes | None]]


def to_messages(letter: DeadLetter, part_bytes: int = PART_BYTES) -> list[Message]:
    """Return the messages that hold ``letter``: one, or as many parts of ``part_bytes`` as its compressed bytes need.

    The key is the tenant, or the letter's id when no tenant is known, so that all parts lie in one partition.
    """
    attached = len(letter.key or b"") + sum(len(name) + len(value or b"") for name, value in letter.headers)
    if attached > _ATTACHED_BYTES:
        return _apart(letter, part_bytes)
    packed: bytes = pa.compress(letter.raw, codec="zstd", asbytes=True)
    parts = [packed[at : at + part_bytes] for at in range(0, len(packed), part_bytes)]
    headers = _headers(letter)
    key = _bytes(letter.tenant or letter.id)
    return [
        Message(key, part, [*headers, ("part", b"%d" % number), ("parts", b"%d" % len(parts))])
        for number, part in enumerate(parts, start=1)
    ]


def send(deliveries: Deliveries, topic: str, letters: Iterable[DeadLetter]) -> None:
    """Enqueue ``letters``; they are safe when ``deliveries.wait`` has returned."""
    for letter in letters:
        for message in to_messages(letter):
            deliveries.send(topic, None, message.key, message.value, message.headers)


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
    value: bytes = field(repr=False)


def from_message(value: bytes | None, headers: Headers | None) -> Part:
    """Read one message of the dead-letter topic; raises ``Poison`` when it is no dead letter."""
    fields = dict(headers or ())
    try:
        original = tuple((n[len(_ORIGINAL) :], v) for n, v in headers or () if n.startswith(_ORIGINAL))
        letter = DeadLetter(
            reason=_text(fields["reason"]) or "",
            stage=_text(fields["stage"]) or "",
            tenant=_text(fields.get("tenant")),
            dataset=_text(fields.get("dataset")),
            raw=b"",
            detail=_text(fields.get("detail")) or "",
            topic=_text(fields.get("topic")) or "",
            topic_id=_text(fields.get("topic-id")) or "",
            partition=_number(fields.get("partition")),
            offset=_number(fields.get("offset")),
            row=_number(fields.get("row")),
            edge=_text(fields.get("edge")) or "",
            key=fields.get("key"),
            headers=original,
        )
        number, parts, size = (int(fields[name] or b"") for name in ("part", "parts", "size"))
        return Part(letter, _text(fields["letter"]) or "", size, number, parts, value or b"")
    except (KeyError, ValueError) as failure:
        raise Poison("dead-letter", f"not a dead letter: {type(failure).__name__} {failure}") from None


class Letters:
    """Parts become letters, each letter once; parts may repeat and mix.

    Holds the bytes of letters that are not whole yet, and the ids of those that were.
    """

    def __init__(self) -> None:
        self._done: set[str] = set()
        self._waiting: dict[str, dict[int, bytes]] = {}

    def add(self, part: Part) -> DeadLetter | None:
        """Return the letter when ``part`` was its last missing one; ``Poison`` when its bytes are torn."""
        if part.id in self._done:
            return None
        have = self._waiting.setdefault(part.id, {})
        have[part.number] = part.value
        if len(have) < part.parts:
            return None
        del self._waiting[part.id]
        self._done.add(part.id)
        return replace(part.letter, raw=_unpack(part, b"".join(have[number] for number in sorted(have))))


def assemble(parts: Iterable[Part]) -> Iterator[DeadLetter]:
    """Give each letter of ``parts`` once, in the order in which they became whole."""
    letters = Letters()
    for part in parts:
        letter = letters.add(part)
        if letter is not None:
            yield letter


def _unpack(piece: Part, packed: bytes) -> bytes:
    try:
        raw: bytes = pa.decompress(packed, decompressed_size=piece.size, codec="zstd", asbytes=True)
    except (OSError, ValueError, pa.ArrowException) as failure:
        raise Poison("dead-letter", f"letter {piece.id} can't be unpacked: {failure}") from failure
    return raw


def _headers(letter: DeadLetter) -> list[tuple[str, bytes | None]]:
    texts: dict[str, str | int | None] = {
        "letter": letter.id,
        "reason": letter.reason,
        "stage": letter.stage,
        "tenant": letter.tenant,
        "dataset": letter.dataset,
        "detail": letter.detail[:_DETAIL_CHARACTERS],
        "topic": letter.topic,
        "topic-id": letter.topic_id,
        "partition": letter.partition,
        "offset": letter.offset,
        "row": letter.row,
        "edge": letter.edge,
        "size": len(letter.raw),
    }
    headers: list[tuple[str, bytes | None]] = [
        (name, str(value).encode("utf-8", "backslashreplace"))
        for name, value in texts.items()
        if value not in (None, "")
    ]
    if letter.key is not None:
        headers.append(("key", letter.key))
    return headers + [(_ORIGINAL + name, value) for name, value in letter.headers]


def _apart(letter: DeadLetter, part_bytes: int) -> list[Message]:
    """Keep a huge key and huge headers in a letter of their own: on every part they could exceed the topic's limit."""
    attached = [(name, None if value is None else value.hex()) for name, value in letter.headers]
    key = None if letter.key is None else letter.key.hex()
    about = replace(letter, key=None, headers=())
    other = replace(
        about,
        detail=f"key and headers (hexadecimal) of the letter {about.id}",
        raw=orjson.dumps({"key": key, "headers": attached}),
    )
    return to_messages(about, part_bytes) + to_messages(other, part_bytes)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(value)
