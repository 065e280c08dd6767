"""Markers: messages of the dead-letter topic that say which letters were put back.

A marker lies in the partition of its letters, behind them, and was committed in one transaction with their records on
the ingest topics: a marker is there exactly if the records are.
"""

from __future__ import annotations

from collections.abc import Sequence

from logflume.errors import Poison
from logflume.kafka.deadletters.letter import ID_BYTES
from logflume.kafka.deadletters.messages import Message
from logflume.kafka.deliveries import Headers

MARKER = "marker"
_REPLAYED = b"replayed"


def replayed(digests: Sequence[bytes]) -> Message:
    """Return the marker of the letters with these ids; its value is the ids, one behind the other."""
    headers: list[tuple[str, bytes | None]] = [(MARKER, _REPLAYED), ("letters-replayed", b"%d" % len(digests))]
    return Message(_REPLAYED, b"".join(digests), headers)


def is_marker(headers: Headers | None) -> bool:
    """Whether a message says that it is a marker."""
    return any(name == MARKER for name, _ in headers or ())


def marked(value: bytes | None, headers: Headers) -> list[bytes]:
    """Return the ids that a marker names; ``Poison`` when it is of an unknown kind, or torn."""
    kind = dict(headers).get(MARKER)
    ids = value or b""
    if kind != _REPLAYED or len(ids) % ID_BYTES:
        raise Poison("dead-letter", f"not a marker that this release reads: {kind!r:.40}, {len(ids)} bytes")
    return [ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)]
