"""How far a file has been read, and what it looked like: enough to know it again under any name, after any restart.

A file is known by device, inode *and* content: inodes are used again within milliseconds. Of the content two things are
remembered, both of bytes that were read: a digest of its beginning (``head``), and one of what lies just before the
place (``tail``). A file that was cut and has grown past the place since, or another one with the same banner at its
beginning, differs in the second.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

HEAD_BYTES: Final = 1024
TAIL_BYTES: Final = 256

MARK: Final = "tail/"
"""Prefix of the spool's marks that are places."""


class Content(Protocol):
    """Bytes that can be read at a position; going back is dear when they are ``packed``."""

    @property
    def packed(self) -> bool:
        """Whether it is unpacked on the way."""
        ...

    def read(self, at: int, size: int) -> bytes:
        """Return ``size`` bytes from ``at`` on, fewer only at the end; ``OSError`` when that fails."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Everything before ``offset`` is in the spool, and nothing behind it.

    ``number`` is the place's own, never used again: it names its mark. ``real`` is the path behind symbolic links.
    """

    number: int
    source: str
    path: str
    real: str
    device: int
    inode: int
    offset: int = 0
    head: str = ""
    head_bytes: int = 0
    tail: str = ""
    modified_ns: int = 0
    """When the file was last written to, as of the last reading: a copy of it is not older."""
    gone_ns: int = 0
    """Since when no file has this content, as far as we can see; 0: one has."""

    @property
    def mark(self) -> str:
        """The name of its mark."""
        return f"{MARK}{self.number}"

    @property
    def tail_bytes(self) -> int:
        """How many bytes before the offset ``tail`` is of."""
        return min(TAIL_BYTES, self.offset)

    def to_mark(self) -> bytes:
        """Return the mark's value."""
        return json.dumps({name: getattr(self, name) for name in _FIELDS if name != "number"}).encode()  # any path

    @classmethod
    def from_mark(cls, mark: str, value: bytes) -> Place | None:
        """Read a mark; None when it is none of a place, or of a later release."""
        try:
            found = json.loads(value)
            number = int(mark.removeprefix(MARK))
            values: dict[str, Any] = {name: found[name] for name in _FIELDS if name != "number"}
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        if any(type(values[name]) is not kind for name, kind in _KINDS.items()):
            return None
        return cls(number=number, **values)

    def moved(self, offset: int, before: bytes, content: Content) -> Place:
        """Return the place at ``offset``; ``before`` are the ``TAIL_BYTES`` before it, or all there are."""
        head, head_bytes = self.head, self.head_bytes
        if head_bytes < HEAD_BYTES and offset > head_bytes and not content.packed:
            found = content.read(0, min(HEAD_BYTES, offset))
            head, head_bytes = digest(found), len(found)
        tail = digest(before[-min(TAIL_BYTES, offset) :]) if offset else ""
        return replace(self, offset=offset, head=head, head_bytes=head_bytes, tail=tail)

    def tail_in(self, content: Content) -> bytes | None:
        """Return the bytes just before the offset when ``content`` begins with what was read, else None."""
        if not self.offset:
            return b""
        if digest(content.read(0, self.head_bytes)) != self.head:
            return None
        before = content.read(self.offset - self.tail_bytes, self.tail_bytes)
        return before if len(before) == self.tail_bytes and digest(before) == self.tail else None


_FIELDS: Final = tuple(Place.__dataclass_fields__)
_KINDS: Final[dict[str, type]] = {
    "source": str,
    "path": str,
    "real": str,
    "device": int,
    "inode": int,
    "offset": int,
    "head": str,
    "head_bytes": int,
    "tail": str,
    "modified_ns": int,
    "gone_ns": int,
}


def digest(data: bytes) -> str:
    """Return what is remembered of ``data``."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()
