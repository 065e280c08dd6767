"""Waiting for a condition with a deadline, instead of sleeping for luck."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T | None], seconds: float = 30.0, what: str = "", pause: float = 0.05) -> T:
    """Call ``condition`` until it returns something true, and return that; AssertionError after ``seconds``.

    Between two calls it waits for ``pause`` seconds, the first times for less: most conditions hold soon.
    """
    deadline = time.monotonic() + seconds
    soon = pause / 16
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds:.0f} s still not: {what or condition}; last seen: {found!r}")
        time.sleep(soon)
        soon = min(2 * soon, pause)
