"""Which allocator a worker's columns come from."""

from __future__ import annotations

import os

import pyarrow as pa


def setup() -> None:
    """Let Arrow take memory from the C library, unless ``ARROW_DEFAULT_MEMORY_POOL`` says otherwise.

    Arrow's own choice, mimalloc, maps huge pages, and a worker that keeps many small batches for seconds pays for
    clearing them: half of a sink's CPU time while it reads, and 100 MB more of memory (``perf``, 400,000 rows).
    """
    if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
        pa.set_memory_pool(pa.system_memory_pool())
