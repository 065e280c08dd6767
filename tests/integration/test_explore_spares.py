"""Queries' processes that are ready before there is a query: R1 to R3."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from logflume.errors import Retryable
from logflume.explore.engine.engine import Engine
from logflume.explore.engine.forks import Child
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.queries import Watched, gone, handles
from tests.support.tables import SMALL, append

DATASETS = {"http_requests": SMALL}


@pytest.fixture
def forks() -> Iterator[Watched]:
    forks = Watched()
    yield forks
    forks.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(f"file://{tmp_path}")
    append(store, ["a", "b"])
    return store


@asynccontextmanager
async def running(store: Store, forks: Watched, *, serves: bool = True) -> AsyncIterator[Engine]:
    engine = Engine(Settings(), store, DATASETS, forks=forks, serves=serves)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.close()


async def rows(engine: Engine) -> int:
    async with engine.query("acme", "SELECT 1 FROM http_requests") as answer:
        return sum([batch.num_rows async for batch in answer.batches()])


async def made(forks: Watched, count: int) -> None:
    async with asyncio.timeout(30):
        while len(forks.pids) < count:
            await asyncio.sleep(0.01)


def confined(pid: int) -> bool:
    return "Seccomp:\t2" in Path(f"/proc/{pid}/status").read_text()


def test_r1_each_query_has_a_process_of_its_own_which_is_ready_before_it(store: Store, forks: Watched) -> None:
    async def go() -> None:
        async with running(store, forks) as engine:
            for count in (1, 2, 3):
                await made(forks, count)
                async with asyncio.timeout(30):
                    while not confined(forks.pids[-1]):
                        await asyncio.sleep(0.01)
                assert await rows(engine) == 2
                await gone(forks.pids[count - 1])
            await made(forks, 4)
        await gone(forks.pids[-1])
        assert len(forks.pids) == 4

    asyncio.run(go())


def test_r1_for_one_question_there_is_one_process(store: Store, forks: Watched) -> None:
    async def go() -> None:
        async with running(store, forks, serves=False) as engine:
            assert await rows(engine) == 2
            assert len(forks.pids) == 1
            assert await rows(engine) == 2
            assert len(forks.pids) == 2

    asyncio.run(go())


def test_r2_a_spare_that_died_is_found_out(store: Store, forks: Watched) -> None:
    async def go() -> None:
        async with running(store, forks) as engine:
            os.kill(forks.pids[0], signal.SIGKILL)
            await gone(forks.pids[0])
            assert await rows(engine) == 2

    asyncio.run(go())


def test_r2_a_spare_that_could_not_be_made_is_made_by_who_takes_it(
    store: Store, forks: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, failed = forks.make, asyncio.Event()

    def fails() -> Child:
        monkeypatch.setattr(forks, "make", whole)
        failed.set()
        raise Retryable("no memory")

    async def go() -> None:
        async with running(store, forks) as engine:
            monkeypatch.setattr(forks, "make", fails)
            assert await rows(engine) == 2
            async with asyncio.timeout(10):
                while not failed.is_set():
                    await asyncio.sleep(0.01)
            assert await rows(engine) == 2

    asyncio.run(go())


def test_r3_whoever_gives_up_or_closes_leaves_no_process(store: Store, forks: Watched) -> None:
    async def go() -> None:
        before = handles()
        async with running(store, forks) as engine:
            for after in (0.0, 0.001, 0.01):
                asking = asyncio.create_task(rows(engine))
                await asyncio.sleep(after)
                asking.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asking
        for pid in forks.pids:
            await gone(pid, 5)
        assert handles() <= before + 2  # the zygote's

    asyncio.run(go())


_PLANS = """
import resource, sys
from logflume.explore.engine import process, sandbox
import datafusion

if sys.argv[1] == "measured":
    process.measure_stack()
threads = len(__import__("os").listdir("/proc/self/task"))
sandbox.confine(9)
context = datafusion.SessionContext()
text = "SELECT " + " + ".join("a" for _ in range(20)) + " FROM (VALUES (1)) AS t(a)"
context.sql(text)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    context.sql(text)
print(threads, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_a_confined_process_knows_its_stack_and_takes_none_for_each_step_of_a_plan() -> None:
    """Pages that the kernel had to bring: one at least for each stack that was taken."""
    threads, faults = {}, {}
    for mode in ("measured", "not"):
        told = subprocess.run(
            [sys.executable, "-c", _PLANS, mode], check=True, capture_output=True, text=True, timeout=60
        )
        threads[mode], faults[mode] = map(int, told.stdout.split())
    assert threads["measured"] == threads["not"]  # what a fork needs
    assert faults["not"] > 1_000
    assert faults["measured"] < faults["not"] / 5
