"""How long the random schedules are: short in `make test`, many times that in `make soak`."""

from __future__ import annotations

import os
from typing import TypeVar

from logflume.settings import TEST_PREFIX

T = TypeVar("T")
_TIMES = int(os.environ.get(TEST_PREFIX + "TIMES", "1"))
LONG = _TIMES > 1
"""Whether this is `make soak`: what costs minutes and few faults were ever found by is done there alone."""


def variants(*cases: T) -> tuple[T, ...]:
    """Cases of one test: all in `make soak`, in `make test` the first, where the others go the same way."""
    return cases if LONG else cases[:1]


def examples(count: int) -> int:
    """How many examples a property test runs that runs ``count`` in `make test`."""
    return count * _TIMES
