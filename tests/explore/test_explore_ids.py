"""Which files a question for an id is handed, as the engine asks it: W1 to W3, and what it makes of the index."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
from obstore.exceptions import GenericError

from logflume.clock import ManualClock
from logflume.explore import bounds
from logflume.explore import ids as looking
from logflume.explore import learning as learnings
from logflume.explore.check import check
from logflume.explore.ids import Ids, Look
from logflume.explore.kept import Kept
from logflume.explore.learning import Learning
from logflume.explore.snapshots import Snapshot, Snapshots
from logflume.table.ids.catalogue import Catalogue
from logflume.table.store import Store
from tests.support.asking import Asking
from tests.support.indexes import asked, extended, handed, objects
from tests.support.tables import SMALL, append


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(f"file://{tmp_path}")
    for file in range(4):
        append(made, [f"{file}-{row}" for row in range(9)], upto=1000 * (file + 1))
    return made


@pytest.fixture
def asking(store: Store) -> Asking:
    return Asking(store, {"http_requests": SMALL})


class Reads:
    """What is read of a store, by the ends of its paths."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of: list[str] = []
        self.fails: type[Exception] | None = None
        self._range, self._get, self._plain = obstore.get_range_async, obstore.get_async, obstore.get_range
        monkeypatch.setattr(obstore, "get_range_async", self.range)
        monkeypatch.setattr(obstore, "get_async", self.whole)
        monkeypatch.setattr(obstore, "get_range", self.plain)

    def _note(self, path: str) -> None:
        self.of.append(path.rpartition("/")[2])
        if self.fails is not None:
            raise self.fails("away")

    async def range(self, store: Any, path: str, **more: Any) -> Any:
        self._note(path)
        return await self._range(store, path, **more)

    async def whole(self, store: Any, path: str, **more: Any) -> Any:
        self._note(path)
        return await self._get(store, path, **more)

    def plain(self, store: Any, path: str, **more: Any) -> Any:
        self._note(path)
        return self._plain(store, path, **more)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    return Reads(monkeypatch)


def test_a_query_opens_the_files_that_may_have_its_ids(store: Store, asking: Asking) -> None:
    for _ in range(2):
        for sql, files, rows in (
            ("SELECT 1 FROM http_requests WHERE \"RayID\" = '2-3'", 1, 1),
            ("SELECT 1 FROM http_requests h WHERE '2-3' = h.RayID AND EdgeResponseStatus IS NULL", 1, 1),
            ("SELECT 1 FROM http_requests WHERE RayID IN ('2-3', '0-0', 'no')", 2, 2),
            ("SELECT 1 FROM http_requests WHERE RayID = 'no'", 0, 0),
            ("SELECT 1 FROM http_requests WHERE RayID = '1-1' AND RayID = '2-1'", 0, 0),
            ("SELECT 1 FROM http_requests WHERE RayID IN ('1-1', '2-1') AND RayID IN ('2-1', '3-1')", 1, 1),
            ("SELECT 1 FROM http_requests WHERE RayID = '2-3' OR RayID = '1-1'", 4, 2),
            ("SELECT 1 FROM http_requests WHERE RayID <> '2-3'", 4, 35),
        ):
            answered = asking("acme", sql)
            assert (answered.scanned.files, answered.table.num_rows) == (files, rows), sql
        extended(store)


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("RayID = 'a'", {"a"}),
        ("'a' = t.RayID", {"a"}),
        ("(RayID = 'a') AND n = 1", {"a"}),
        ("RayID IN ('a', 'b''c') AND RayID IN ('b''c', 'd')", {"b'c"}),
        ("RayID IN ('a', NULL)", None),
        ("RayID IN (SELECT RayID FROM u)", None),
        ("RayID NOT IN ('a')", None),
        ("NOT RayID = 'a'", None),
        ("RayID = 'a' OR n = 1", None),
        ("RayID = 7", None),
        ("RayID = u", None),
        ("RayID = RayID", None),
        ("'a' = 'a'", None),
        ("lower(RayID) = 'a'", None),
        ("RayID LIKE 'a'", None),
        ("RayID >= 'a'", None),
        ("RayID IS NOT DISTINCT FROM 'a'", None),
        ("rayid = 'a'", None),
        ("RayID = E'a\\n'", None),
        ("RayID = U&'\\0061'", None),
        ("RayID = 'a\\n'", {"a\\n"}),
        ("u.RayID = 'a'", None),
    ],
)
def test_ids_are_those_that_a_condition_names_beyond_doubt(condition: str, ids: set[str] | None) -> None:
    places = check(f"SELECT 1 FROM t WHERE {condition}", ("t", "u")).places
    found = bounds.texts(places["t"], "RayID")
    assert found == ids


def test_a_scan_by_id_counts_what_the_index_was_read_for(store: Store, asking: Asking) -> None:
    extended(store)
    answered = asking("acme", "SELECT 1 FROM http_requests WHERE RayID = 'no'")
    assert (answered.scanned.files, answered.scanned.bytes) == (0, 4 * 32 + 4)


def test_an_index_is_asked_whether_it_changed_and_a_filter_read_once(store: Store, reads: Reads) -> None:
    async def ask(by: Ids) -> list[str]:
        reads.of.clear()
        held = Snapshots(store).read("acme", "http_requests")
        await by.look(await by.index(held.path, "RayID"), held.named, ["2-3"])
        return [name for name in reads.of if not name.endswith(".parquet")] + [
            "file" for name in reads.of if name.endswith(".parquet")
        ]

    async def three() -> list[list[str]]:
        by = Ids(store)
        first = [await ask(by), await ask(by)]
        made = await asyncio.to_thread(extended, store)
        [part] = made.parts
        last = await ask(by)
        by.close()
        assert last == ["current", part.name]
        return first

    assert asyncio.run(three()) == [["current", *["file"] * 4], ["current"]]


@pytest.mark.parametrize("error", [GenericError, OSError, FileNotFoundError])
def test_w2_a_store_that_fails_leaves_nothing_out(store: Store, reads: Reads, error: type[Exception]) -> None:
    extended(store)
    reads.fails = error
    look = asked(store, ["2-3"])
    assert look.may.tolist() == [True] * 4


def test_w2_a_store_that_is_slow_leaves_nothing_out(
    store: Store, reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    extended(store)
    monkeypatch.setattr(looking, "_SECONDS", 0.05)

    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(obstore, "get_range_async", never)
    assert asked(store, ["no"]).may.tolist() == [True] * 4
    monkeypatch.setattr(obstore, "get_async", never)
    assert handed(store, "2-3") != []


def test_w1_too_many_to_ask_are_handed_over(store: Store, reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "_MOST_OWN", 3)
    assert asked(store, ["no"]).may.tolist() == [True] * 4
    assert reads.of == ["current"]
    extended(store)
    monkeypatch.setattr(looking, "_MOST_STRIPES", 2)
    assert asked(store, ["no", "none"]).may.tolist() == [False] * 4
    assert asked(store, ["no", "none", "nil"]).may.tolist() == [True] * 4


def test_what_is_kept_is_bounded() -> None:
    kept: Kept[str, int] = Kept(10)
    for number, name in enumerate("abc"):
        kept.put(name, number, 4)
        assert kept.get("a") == 0
    assert [kept.get(name) for name in "abc"] == [0, None, 2]
    kept.put("a", 9, 9)
    assert [kept.get(name) for name in "abc"] == [9, None, None]
    kept.put("d", 1, 11)
    assert kept.get("d") is None


def look_at(snapshot: Snapshot, unknown: int, *spoiled: str) -> Look:
    index = looking.Index(snapshot.path, looking.Catalogue("RayID"))
    return Look(index, snapshot.named, [], np.zeros(0, bool), set(range(unknown)), set(spoiled))


def test_who_misses_enough_of_an_index_has_it_made_in_the_background(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Snapshots(store).read("acme", "http_requests")

    async def hear(unknown: int, *spoiled: str) -> bool:
        learning = Learning(store)
        learning.hear(look_at(held, unknown, *spoiled), held)
        if learning._task is not None:
            await learning._task
        await learning.close()
        return bool(objects(store))

    assert not asyncio.run(hear(15))
    assert asyncio.run(hear(16))
    assert asked(store, ["no"]).unknown == set()
    [name] = [name for name in objects(store) if name != "current"]
    assert asyncio.run(hear(0, name))
    assert name not in objects(store)


def test_who_can_not_write_an_index_tries_again_later_and_fails_no_question(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Snapshots(store).read("acme", "http_requests")
    clock, tried = ManualClock(), []

    def refuses(*_: Any, **__: Any) -> None:
        tried.append(clock.monotonic())
        raise learnings.LogflumeError("read only")

    monkeypatch.setattr(learnings, "extend", refuses)

    async def hear() -> None:
        learning = Learning(store, clock)
        for seconds in (0, 299, 2):
            clock.advance(seconds)
            learning.hear(look_at(held, 16), held)
            learning.hear(look_at(held, 16), held)  # one at a time
            assert learning._task is not None
            await learning._task
        await learning.close()
        learning.hear(look_at(held, 16), held)

    asyncio.run(hear())
    assert tried == [0, 301]


def test_an_engine_that_keeps_indexes_makes_one(store: Store, asking: Asking) -> None:
    from logflume.explore.engine.engine import Engine
    from tests.support.asking import forks

    for file in range(4, 17):
        append(store, [f"{file}-0"], upto=1000 * (file + 1))

    async def ask(learns: bool) -> None:
        engine = Engine(asking.settings, store, asking.datasets, forks=forks(), serves=learns)
        await engine.start()
        try:
            async with engine.query("acme", "SELECT 1 FROM http_requests WHERE RayID = '16-0'") as answer:
                assert [batch.num_rows async for batch in answer.batches()] == [1]
                async with asyncio.timeout(20 if learns else None):
                    while learns and len(objects(store)) < 2:
                        await asyncio.sleep(0.01)
        finally:
            await engine.close()

    asyncio.run(ask(learns=False))
    assert not objects(store)
    asyncio.run(ask(learns=True))
    assert len(objects(store)) == 2
    assert asked(store, ["no"]).unknown == set()


def test_of_more_ids_than_it_pays_to_test_nothing_is_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = Reads(monkeypatch)
    ids = Ids(store)
    wanted = {f"none-{n}" for n in range(101)}
    look = asyncio.run(ids.look(looking.Index("tables/acme/http_requests", Catalogue("RayID")), [("a", 1)], wanted))
    assert (look.may.tolist(), reads.of) == ([True], [])
