"""Queries in their processes (E2, E3): how they end, and that only they do."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from logflume.errors import LogflumeError, Refused
from logflume.explore.engine.engine import Answer, Engine, Gone, TooLarge, TooLong
from logflume.explore.engine.forks import Child
from logflume.explore.engine.turns import Busy
from logflume.explore.span import ALWAYS
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.queries import Watched, gone, handles
from tests.support.tables import SMALL, append

DATASETS = {"http_requests": SMALL}
ENDLESS = "SELECT count(*) FROM " + ", ".join(f"http_requests t{n}" for n in range(12)) + " WHERE t0.RayID > t1.RayID"
SELECT = "SELECT RayID FROM http_requests"
STREAM = ENDLESS.replace("count(*)", "t0.RayID") + " LIMIT 100000000"


@pytest.fixture(scope="module")
def forks() -> Iterator[Watched]:
    forks = Watched()
    yield forks
    forks.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, [f"id-{n:02}" for n in range(20)], EdgeResponseStatus=[200] * 20)
    append(store, ["theirs"], tenant="globex")
    return store


@pytest.fixture
def running(store: Store, forks: Watched) -> Callable[..., Any]:
    """``async with running(explore_seconds=1) as engine``."""

    @asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Engine]:
        engine = Engine(Settings(**settings), store, DATASETS, forks=forks)
        await engine.start()
        try:
            yield engine
        finally:
            await engine.close()

    return opened


def run(what: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(what, 60))


async def ask(engine: Engine, sql: str, tenant: str = "acme", **more: Any) -> pa.Table:
    async with engine.query(tenant, sql, **more) as answer:
        return pa.Table.from_batches([batch async for batch in answer.batches()], answer.schema)


async def begun(engine: Engine, sql: str) -> tuple[Answer, asyncio.Task[pa.Table]]:
    """A query that runs and has no rows yet, and who waits for them."""
    started: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    asking = asyncio.create_task(ask(engine, sql, began=started.set_result))
    return await started, asking


async def given_up(asking: asyncio.Task[pa.Table]) -> None:
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_e1_a_query_runs_in_a_process_that_has_confined_itself(running: Callable[..., Any], forks: Watched) -> None:
    async def go() -> None:
        for mode, filters in (("on", "1"), ("off", "0")):
            async with running(explore_sandbox=mode) as engine:
                _, asking = await begun(engine, ENDLESS)
                told = Path(f"/proc/{forks.pids[-1]}/status").read_text()
                assert told.partition("NoNewPrivs:")[2].split()[0] == filters
                assert told.partition("Seccomp_filters:")[2].split()[0] == filters
                await given_up(asking)

    run(go())


# --- E2: it ends -----------------------------------------------------------------------------------------------------


def test_e2_a_query_over_its_memory_ends_and_others_go_on(running: Callable[..., Any]) -> None:
    hungry = "SELECT count(DISTINCT concat(a.RayID, b.RayID, c.RayID, d.RayID, e.RayID)) FROM " + ", ".join(
        f"http_requests {name}" for name in "abcde"
    )

    async def go() -> None:
        async with running(explore_memory_bytes=16_000_000) as engine:
            began = time.monotonic()
            failed, found = await asyncio.gather(
                ask(engine, hungry), ask(engine, "SELECT RayID FROM http_requests"), return_exceptions=True
            )
            assert isinstance(failed, TooLarge), failed
            assert "more than the 16 MB that it may have" in str(failed)
            assert found.num_rows == 20
            assert time.monotonic() - began < 60

    run(go())


def test_e2_a_query_that_takes_too_long_ends_within_a_second_of_its_limit(
    running: Callable[..., Any], forks: Watched
) -> None:
    async def go() -> None:
        async with running(explore_seconds=0.7) as engine:
            began = time.monotonic()
            with pytest.raises(TooLong, match=r"took longer than 0\.7 s and was ended"):
                await ask(engine, ENDLESS)
            assert time.monotonic() - began < 20  # 1.7, and what a busy machine adds
            await gone(forks.pids[-1])

    run(go())


def test_e2_whoever_leaves_a_query_ends_it(running: Callable[..., Any], forks: Watched) -> None:
    async def go() -> None:
        async with running(explore_rows=100_000_000) as engine:
            async with engine.query("acme", STREAM) as answer:
                async for batch in answer.batches():
                    assert batch.num_rows
                    break
                assert Path(f"/proc/{forks.pids[-1]}").exists()
            await gone(forks.pids[-1])
            assert engine.turns.running == 0

    run(go())


def test_e2_a_cancelled_query_tells_its_reader_at_once_and_is_gone(running: Callable[..., Any], forks: Watched) -> None:
    async def go() -> None:
        async with running() as engine:
            answer, asking = await begun(engine, ENDLESS)
            answer.cancel()
            answer.cancel()
            with pytest.raises(Refused, match="the query was cancelled"):
                await asyncio.wait_for(asking, 1)
            await gone(forks.pids[-1])
            # Nothing of its connection is left that the next ones, with its numbers, could trip over.
            found = await asyncio.gather(*(ask(engine, "SELECT 1 FROM http_requests") for _ in range(4)))
            assert [each.num_rows for each in found] == [20] * 4

    run(go())


@pytest.mark.parametrize("after", [0.0, 0.002, 0.02, 0.2])
def test_e2_a_task_cancelled_at_any_point_leaves_no_process_and_no_turn(
    running: Callable[..., Any], forks: Watched, after: float
) -> None:
    async def go() -> None:
        async with running() as engine:
            await ask(engine, "SELECT 1 FROM http_requests")  # what is opened once, and the process that was ready
            made = len(forks.pids)
            held = handles()
            asking = asyncio.create_task(ask(engine, ENDLESS))
            await asyncio.sleep(after)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            async with asyncio.timeout(2):
                while handles() > held:
                    await asyncio.sleep(0.01)
            for pid in forks.pids[made:]:
                await gone(pid)
            assert (engine.turns.running, engine.turns.waiting) == (0, 0)

    run(go())


def test_e2_a_fork_that_nobody_waits_for_any_more_is_ended(forks: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = asyncio.Event()

    async def go() -> None:
        loop = asyncio.get_running_loop()
        whole = forks.make

        def slow() -> Child:
            loop.call_soon_threadsafe(ready.set)
            time.sleep(0.1)  # it is cancelled meanwhile
            return whole()

        forks.start()  # what it is asked by stays open
        monkeypatch.setattr(forks, "make", slow)
        made, held = len(forks.pids), handles()
        asking = asyncio.create_task(forks.child())
        await ready.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(5):
            while len(forks.pids) == made or handles() > held:
                await asyncio.sleep(0.01)
        await gone(forks.pids[-1])

    run(go())


def test_e2_rows_end_at_a_limit_which_is_said_when_it_bites(running: Callable[..., Any]) -> None:
    async def rows(engine: Engine, sql: str, **more: Any) -> tuple[int, bool]:
        async with engine.query("acme", sql, **more) as answer:
            return sum([batch.num_rows async for batch in answer.batches()]), answer.limited

    async def go() -> None:
        pairs = "SELECT a.RayID FROM http_requests a, http_requests b"
        async with running(explore_rows=300) as engine:
            assert await rows(engine, pairs) == (300, True)
            assert await rows(engine, f"{pairs} LIMIT 350") == (300, True)
            assert await rows(engine, f"{pairs} LIMIT 300") == (300, False)
            assert await rows(engine, f"{pairs} LIMIT 5", limit=2) == (5, False)
            assert await rows(engine, f"{pairs} -- LIMIT 5", limit=7) == (7, True)
            assert await rows(engine, "SELECT 1 FROM http_requests", limit=20) == (20, False)
        async with running() as engine:
            three = ", ".join(f"http_requests t{n}" for n in range(4))
            assert await rows(engine, f"SELECT 1 FROM {three}") == (10_000, True)

    run(go())


# --- E3: only it ends ------------------------------------------------------------------------------------------------


def test_e3_a_process_killed_in_the_middle_costs_its_own_query(running: Callable[..., Any], forks: Watched) -> None:
    async def go() -> None:
        async with (
            running(explore_rows=100_000_000) as engine,
            engine.query("acme", STREAM) as other,
        ):
            _, asking = await begun(engine, ENDLESS)
            batches = other.batches()
            await anext(batches)
            os.kill(forks.pids[-1], signal.SIGKILL)
            with pytest.raises(TooLarge, match="process has died"):
                await asking
            assert (await anext(batches)).num_rows

    run(go())


def test_e3_a_killed_zygote_is_made_anew_by_the_next_query(running: Callable[..., Any], forks: Watched) -> None:
    async def go() -> None:
        async with running() as engine:
            assert (await ask(engine, "SELECT 1 FROM http_requests")).num_rows == 20
            child = forks.make()
            told = Path(f"/proc/{forks.pids[-1]}/stat").read_text().rpartition(")")[2].split()
            child.end()
            os.kill(int(told[1]), signal.SIGKILL)
            found = await asyncio.gather(*(ask(engine, "SELECT 1 FROM http_requests") for _ in range(2)))
            assert [each.num_rows for each in found] == [20, 20]

    run(go())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM http_requests WHERE RayID ~ '((a{1000}){1000}){1000}'",
        "SELECT count(*) FROM http_requests WHERE RayID ~ '(x+x+)+y' OR repeat('x', 100000) ~ '(x+x+)+y'",
        "SELECT length('" + "x" * 90_000 + "') FROM http_requests",
        "SELECT count(*) FROM http_requests WHERE " + " AND ".join(["EdgeResponseStatus>1"] * 4_000),
        "SELECT count(*) FROM http_requests WHERE RayID IN (" + ",".join(["'x'"] * 20_000) + ")",
        "SELECT " + "(" * 60 + "1" + ")" * 60,
        "SELECT " + "-" * 1 + "(-" * 40 + "1" + ")" * 40,
        "SELECT " + "ARRAY[" * 60 + "1" + "]" * 60,
        "SELECT " + "STRUCT(" * 60 + "1" + ")" * 60,
        "SELECT " + "DATE (" * 60 + "1" + ")" * 60,
        "SELECT repeat(repeat('x', 1000000), 1000000) FROM http_requests",
        "SELECT count(*) FROM UNNEST(ARRAY["
        + ",".join(["1"] * 9_000)
        + "]) AS a(x), UNNEST(ARRAY["
        + ",".join(["1"] * 9_000)
        + "]) AS b(y) WHERE x + y > 99",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
    ],
    ids=range(13),
)
def test_e3_a_bomb_is_answered_or_told_and_holds_up_nobody(running: Callable[..., Any], sql: str) -> None:
    async def go() -> None:
        async with running(explore_seconds=1.0, explore_memory_bytes=64_000_000) as engine:
            late = 0.0

            async def tick() -> None:
                nonlocal late
                while True:
                    began = time.monotonic()
                    await asyncio.sleep(0.01)
                    late = max(late, time.monotonic() - began)

            ticking = asyncio.create_task(tick())
            began = time.monotonic()
            try:
                await ask(engine, sql)
            except LogflumeError as error:
                told = str(error)
            else:
                told = ""
            assert len(told) < 10_000
            assert time.monotonic() - began < 60  # a busy machine is no failure; a hang is
            assert late < 10  # likewise
            ticking.cancel()
            assert (await ask(engine, "SELECT 1 FROM http_requests")).num_rows == 20

    run(go())


def test_a_table_that_is_gone_while_it_is_read_is_told_and_read_anew_afterwards(
    running: Callable[..., Any], store: Store
) -> None:
    append(store, ["a"], tenant="leaving", upto=1)
    append(store, ["b"], tenant="leaving", upto=2)

    async def go() -> None:
        async with running() as engine:
            (file, *_) = Path(store.full("tables/leaving/http_requests")).glob("_date=*/*.parquet")
            content = file.read_bytes()
            file.unlink()
            with pytest.raises(Gone, match=r"tables/leaving/.*parquet is gone. Ask again"):
                await ask(engine, "SELECT * FROM http_requests", "leaving")
            file.write_bytes(content)
            assert (await ask(engine, "SELECT * FROM http_requests", "leaving")).num_rows == 2

    run(go())


# --- E4: turns --------------------------------------------------------------------------------------------------------


def test_e4_what_a_query_would_be_about_is_found_out_in_the_turn_of_its_tenant(
    running: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long text takes a second of CPU to read: a tenant that asks for many at once keeps nobody else from asking."""
    read: list[str] = []
    checked = Engine._checked
    monkeypatch.setattr(Engine, "_checked", lambda self, sql: (read.append(sql), checked(self, sql))[1])

    async def go() -> None:
        async with running(explore_tenant_queries=1, explore_waiting=2) as engine:
            async with engine.turns.of("acme"):
                asked = [asyncio.create_task(engine.range("acme", f"{SELECT} LIMIT {n}", ALWAYS)) for n in (1, 2, 3)]
                (refused,), waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                assert isinstance(refused.exception(), Busy)
                await engine.range("globex", SELECT, ALWAYS)
                assert read == [SELECT]
            await asyncio.gather(*waiting)
            assert (len(read), engine.turns.running) == (3, 0)

    run(go())
