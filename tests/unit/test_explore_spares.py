"""A process that is ready before its query."""

from __future__ import annotations

import os
import resource
from types import SimpleNamespace

import pytest

from logflume.explore.engine import spares


@pytest.mark.parametrize("ended", [False, True])
def test_whether_it_has_ended_is_seen_whatever_number_its_descriptor_has(ended: bool) -> None:
    """``select.select`` knows none above 1,023: a server with a thousand connections answered nothing any more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3_000:
        raise AssertionError(f"this machine lets a process have {hard} descriptors; the test needs 3,000")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3_000), hard))
    reads, writes = os.pipe()
    high = 2_500
    os.dup2(reads, high)
    try:
        if ended:
            os.close(writes)
        assert spares._has_ended(SimpleNamespace(handle=high)) is ended  # type: ignore[arg-type]
    finally:
        os.close(high)
        os.close(reads)
        if not ended:
            os.close(writes)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
