"""Workers take columns' memory from the C library, unless somebody has chosen otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest

from logflume import memory


@pytest.fixture(autouse=True)
def pool() -> Iterator[pa.MemoryPool]:
    """Another than a worker's, and the one before afterwards."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.mimalloc_memory_pool())
    yield before
    pa.set_memory_pool(before)


def test_a_worker_takes_the_c_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    memory.setup()
    assert pa.default_memory_pool().backend_name == "system"


def test_the_users_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "mimalloc")
    memory.setup()
    assert pa.default_memory_pool().backend_name == "mimalloc"
