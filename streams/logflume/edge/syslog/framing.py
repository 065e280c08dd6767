"""Where the messages of a syslog stream begin and end (RFC 6587): counted octets, or up to a newline or NUL.

FR1  However the stream is cut into pieces, the same messages come out.
FR2  It holds ``limit`` bytes and a few more at most; of a longer message the first ``limit`` are kept, others counted.
FR3  It never raises, and every byte is looked at a bounded number of times.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_COUNT: Final = re.compile(rb"([1-9][0-9]{0,6}) <")
_COUNT_BEGUN: Final = re.compile(rb"[1-9][0-9]{0,6}(?: )?")
_END: Final = re.compile(rb"[\n\0]")
_BETWEEN: Final = b"\r\n\0"
_BLANK: Final = b" \t\r\n\0"


class Frame(NamedTuple):
    """A message, and how many of its bytes are missing: they were too many, or the stream ended before them."""

    message: bytes
    missing: int = 0


class Framer:
    """One stream. The way of framing is told apart for each message, as RFC 6587 §3.4 lets a sender mix them.

    Counted is what begins with up to seven digits, a space and ``<``; anything else is a line.
    """

    __slots__ = ("_held", "_left", "_limit", "_line", "_missing", "_seen")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._seen = 0
        """Bytes of ``_held`` in which no end of a line is."""
        self._left: int | None = None
        """Bytes of a counted message still to come, once ``_held`` has its first ``limit``; None: not in one."""
        self._line = False
        """In a line of which ``_held`` has the first ``limit`` bytes."""
        self._missing = 0

    @property
    def held(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._held)

    def feed(self, data: bytes) -> list[Frame]:
        """Take the stream's next bytes; return the messages that are whole now."""
        frames: list[Frame] = []
        at = 0
        while at < len(data):
            if self._left is not None:
                at += self._rest_of_counted(len(data) - at, frames)
            elif self._line:
                at = self._rest_of_line(data, at, frames)
            else:
                # Whole messages need no more than this in one go; it bounds what is held.
                piece = data[at : at + max(1, self._limit + 16 - len(self._held))]
                at += len(piece)
                self._held += piece
                self._cut(frames)
        return frames

    def end(self) -> list[Frame]:
        """The stream has ended: return what is left of it as a message, if anything is."""
        frames: list[Frame] = []
        counted = _COUNT.match(self._held)
        if counted is not None:
            length, start = int(counted[1]), counted.end() - 1
            del self._held[:start]
            self._missing = length - len(self._held)
        self._give(frames)
        self._left, self._line = None, False
        return frames

    def _cut(self, frames: list[Frame]) -> None:
        """Take all whole messages off the front of what is held."""
        held, at = self._held, 0
        while True:
            while at < len(held) and held[at] in _BETWEEN:
                at += 1
            counted = _COUNT.match(held, at)
            if counted is not None:
                start, length = counted.end() - 1, int(counted[1])
                stop = start + min(length, self._limit)
                if len(held) < stop:
                    break
                if length > self._limit:
                    self._begin_long(start, stop, length, frames)
                    return
                frames.append(Frame(bytes(held[start:stop])))
                at = stop
                continue
            if at == len(held) or _COUNT_BEGUN.fullmatch(held, at):
                break
            end = _END.search(held, max(at, self._seen))
            if end is None:
                self._seen = len(held)
                if len(held) - at >= self._limit:
                    self._line = True
                    self._missing = len(held) - at - self._limit
                    del held[at + self._limit :]
                break
            line = held[at : end.start()]
            _add(frames, bytes(line[: self._limit]), max(0, len(line) - self._limit))
            at = end.end()
        del held[:at]
        self._seen = max(0, self._seen - at)

    def _begin_long(self, start: int, stop: int, length: int, frames: list[Frame]) -> None:
        """Keep the first ``limit`` bytes of a counted message longer than that; its rest is passed over as it comes."""
        after = bytes(self._held[stop:])
        self._held = self._held[start:stop]
        self._left = self._missing = length - self._limit
        frames += self.feed(after)

    def _rest_of_counted(self, available: int, frames: list[Frame]) -> int:
        assert self._left is not None
        taken = min(available, self._left)
        self._left -= taken
        if not self._left:
            self._left = None
            self._give(frames)
        return taken

    def _rest_of_line(self, data: bytes, at: int, frames: list[Frame]) -> int:
        end = _END.search(data, at)
        stop = len(data) if end is None else end.start()
        self._missing += stop - at
        if end is None:
            return stop
        self._line = False
        self._give(frames)
        return end.end()

    def _give(self, frames: list[Frame]) -> None:
        _add(frames, bytes(self._held), self._missing)
        self._held, self._missing, self._seen = bytearray(), 0, 0


def _add(frames: list[Frame], message: bytes, missing: int) -> None:
    """A blank line is no message."""
    if missing or message.strip(_BLANK):
        frames.append(Frame(message, missing))
