"""How long the random schedules are: short in `make test`, many times that in `make soak`."""

from __future__ import annotations

import os

from logflume.settings import TEST_PREFIX

_TIMES = int(os.environ.get(TEST_PREFIX + "TIMES", "1"))
LONG = _TIMES > 1
"""Whether this is `make soak`: what costs minutes and few faults were ever found by is done there alone."""


def examples(count: int) -> int:
    """How many examples a property test runs that runs ``count`` in `make test`."""
    return count * _TIMES
