"""From messages of the dead-letter topic to letters, each letter once: single ones, parts, batches. Markers, and
the barriers of edges' spools, are none.

Memory: the ids of letters that were given (``ids``), and the parts of letters that are not whole yet, bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from logflume.block.wire import is_barrier
from logflume.errors import Poison
from logflume.kafka.deadletters import batch
from logflume.kafka.deadletters.ids import Ids
from logflume.kafka.deadletters.letter import FOREIGN, DeadLetter
from logflume.kafka.deadletters.marker import is_marker
from logflume.kafka.deadletters.messages import Part, from_message, told
from logflume.kafka.deliveries import Headers

Wanted = Callable[[DeadLetter], bool]
"""Decides by everything but a letter's bytes."""

WAITING_BYTES: Final = 256 << 20
"""Most bytes of parts whose letters are not whole: far more than the largest message's. Beyond it the one begun first
is given up; its writer died before it was whole, and its successor wrote it again."""


@dataclass(frozen=True, slots=True)
class Found:
    """A letter as it came out of the topic: ``at`` is the offset of its (first) message, ``number`` its place there."""

    letter: DeadLetter
    digest: bytes
    size: int
    """Bytes of ``raw``, which is left empty when bodies are not asked for."""
    at: int
    timestamp_ms: int
    number: int | None
    """In a batch, from 0."""


@dataclass(slots=True)
class _Waiting:
    at: int
    timestamp_ms: int
    parts: dict[int, Part] = field(default_factory=dict)
    bytes: int = 0


class Letters:
    """Takes messages in the order of their partition and gives letters.

    L1  Each letter comes once, when it is whole: repeats, in whatever packing, are left out.
    L2  A message that is none of ours is given as a letter of reason ``foreign``, with its bytes.
    L3  What is held is bounded (``WAITING_BYTES``), however many letters stay half.
    """

    def __init__(self, wanted: Wanted | None = None, *, bodies: bool = True, most_bytes: int = WAITING_BYTES) -> None:
        self._wanted = wanted or (lambda letter: True)
        self._bodies = bodies
        self._most_bytes = most_bytes
        self._done = Ids()
        self._waiting: dict[str, _Waiting] = {}
        self._bytes = 0

    @property
    def half(self) -> int:
        """Letters that are not whole yet."""
        return len(self._waiting)

    def read(self, value: bytes | None, headers: Headers | None, at: int = 0, timestamp_ms: int = 0) -> list[Found]:
        """Return the letters that became whole with this message."""
        if is_marker(headers) or is_barrier(headers):
            return []
        try:
            if batch.count(headers or ()) is None:
                found = self._part(from_message(value, headers), at, timestamp_ms)
            else:
                found = self._batch(value or b"", headers or (), at, timestamp_ms)
        except Poison as poison:
            raw = value or b""
            letter = DeadLetter(FOREIGN, "unknown", None, None, raw, poison.detail, offset=at)
            found = [Found(letter, letter.digest, len(raw), at, timestamp_ms, None)] if self._wanted(letter) else []
        if not found:
            return found
        return [each for each, new in zip(found, self._done.new([f.digest for f in found]), strict=True) if new]

    def _batch(self, value: bytes, headers: Headers, at: int, timestamp_ms: int) -> list[Found]:
        try:
            shared = told(dict(headers))
        except (KeyError, ValueError) as failure:
            raise Poison("dead-letter", f"not a dead letter: {type(failure).__name__} {failure}") from None
        if not self._wanted(shared):
            return []
        return [
            Found(
                letter if self._bodies else replace(letter, raw=b""),
                letter.digest,
                len(letter.raw),
                at,
                timestamp_ms,
                number,
            )
            for number, letter in enumerate(batch.unpack(value, headers, shared))
        ]

    def _part(self, part: Part, at: int, timestamp_ms: int) -> list[Found]:
        if not self._wanted(part.letter):
            return []
        digest = bytes.fromhex(part.id)
        if part.parts == 1:
            return [Found(self._whole(part, [part]), digest, part.size, at, timestamp_ms, None)]
        if digest in self._done:
            return []
        waiting = self._waiting.setdefault(part.id, _Waiting(at, timestamp_ms))
        if part.number not in waiting.parts:
            waiting.parts[part.number] = part if self._bodies else replace(part, value=b"")
            self._hold(waiting, len(waiting.parts[part.number].value) + 1000)
        if len(waiting.parts) < part.parts:
            self._give_up()
            return []
        self._hold(self._waiting.pop(part.id), -waiting.bytes)
        parts = [waiting.parts[number] for number in sorted(waiting.parts)]
        return [Found(self._whole(part, parts), digest, part.size, waiting.at, waiting.timestamp_ms, None)]

    def _whole(self, part: Part, parts: Iterable[Part]) -> DeadLetter:
        if not self._bodies:
            return part.letter
        raw = b"".join(each.unpack() for each in parts)
        if len(raw) != part.size:
            raise Poison("dead-letter", f"letter {part.id} has {len(raw)} of its {part.size} bytes")
        return replace(part.letter, raw=raw)

    def _hold(self, waiting: _Waiting, size: int) -> None:
        waiting.bytes += size
        self._bytes += size

    def _give_up(self) -> None:
        while self._bytes > self._most_bytes:
            oldest = self._waiting.pop(next(iter(self._waiting)))
            self._hold(oldest, -oldest.bytes)


def assemble(messages: Iterable[tuple[bytes | None, Headers | None]]) -> Iterator[DeadLetter]:
    """Give each letter of ``messages`` (value and headers) once, in the order in which they became whole."""
    letters = Letters()
    for value, headers in messages:
        for found in letters.read(value, headers):
            yield found.letter
