"""The clients of this process: closed at its end, and of no use in a fork's child, where no thread of theirs lives."""

from __future__ import annotations

import atexit
import logging
import os
import weakref
from typing import Protocol

from logflume.errors import LogflumeError

_LOG = logging.getLogger("logflume.edge")


class Living(Protocol):
    """What is used of ``edge.Client``."""

    def close(self) -> None:
        """Flush, and end the threads."""
        ...

    def forked(self) -> None:
        """In a fork's child: refuse every call, and touch no lock, as it may be copied held."""
        ...


_living: weakref.WeakSet[Living] = weakref.WeakSet()
_unusable: list[Living] = []
"""Kept for ever: destroying a producer after a fork would wait for threads that are not there."""


def add(client: Living) -> None:
    """It lives from now on."""
    _living.add(client)


def discard(client: Living) -> None:
    """It has ended."""
    _living.discard(client)


def _close_all() -> None:
    for client in list(_living):
        try:
            client.close()
        except LogflumeError as error:
            _LOG.error("at exit: %s", error)


def _fork_all() -> None:
    for client in list(_living):
        client.forked()
        _unusable.append(client)
    _living.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_fork_all)
