"""Named crash points: places where a fault test ends the process as ``kill -9`` would.

Nothing happens unless the environment says so; a point that is off costs one comparison.
"""

from __future__ import annotations

import os
import threading

_NAME, _, _PASSAGE = os.environ.get("LOGFLUME_CRASH_AT", "").partition(":")
_lock = threading.Lock()
_passages = 0

POINTS = frozenset(
    {
        "care.committed",
        "care.deletion-committed",
        "care.deletion-done",
        "care.deletion-ordered",
        "care.file-written",
        "config.claimed",
        "config.committed",
        "config.kept",
        "config.transaction",
        "edge.produced",
        "replay.produced",
        "spool.landed",
        "spool.sent",
        "spool.written",
        "sink.before-transaction",
        "sink.delta-committed",
        "sink.intent-stored",
        "sink.object-written",
        "sort.produced",
        "table.file-written",
    }
)
"""Every crash point that the code has; each is killed at least once by the fault tests."""


def point(name: str) -> None:
    """End the process at once when ``LOGFLUME_CRASH_AT`` names this point: ``name``, or ``name:N`` for the Nth time."""
    if name == _NAME:
        _passed()


def _passed() -> None:
    global _passages
    with _lock:
        _passages += 1
        if _passages == int(_PASSAGE or 1):
            os._exit(137)
