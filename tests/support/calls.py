"""How many functions a piece of work calls: what it costs, on however busy a machine.

A clock tells what the machine was doing besides; a count is the same each time.
"""

import sys
from collections.abc import Callable
from typing import Any


def calls(work: Callable[[], Any], most: float = float("inf")) -> int:
    """Run `work` and return how many functions of Python's and of C it called, in this thread alone.

    `AssertionError` in its midst once they are more than `most`: work without an end ends there.
    """
    count = 0

    def counted(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        if event in ("call", "c_call"):
            count += 1
            if count > most:
                sys.setprofile(None)
                raise AssertionError(f"more than {most:,} calls")

    before = sys.getprofile()
    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count - 1  # the last one put the profile back
