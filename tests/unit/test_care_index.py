"""The index of ids follows what the care of tables does."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from logflume.care import deletion
from logflume.care import look as looks
from logflume.care.look import Carer, Look
from logflume.clock import ManualClock, SystemClock
from logflume.errors import Retryable
from logflume.model.dataset import Datasets
from logflume.settings import Settings
from logflume.table.ids import upkeep
from logflume.table.store import Store
from tests.support.indexes import asked, extended, handed, objects
from tests.support.tables import DAY, NOON, SMALL, append


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}")


def look(store: Store, days: int | None = None, at: int = 0) -> Look:
    datasets = Datasets({SMALL.name: SMALL})
    clock = ManualClock(at or time.time_ns())
    return Carer(Settings(), datasets, store, clock, lambda: clock.now_ns() / 1e9).look("acme", SMALL.name, days)


def fill(store: Store, files: int) -> None:
    for file in range(files):
        append(store, [f"{file}-a", f"{file}-b"], upto=10 * (file + 1), _src_offset=[10 * file, 10 * file + 1])


def test_an_index_knows_merged_files_and_none_that_went(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 20)
    made = extended(store)
    monkeypatch.setattr(looks, "_INDEXED_FROM", 1)
    assert look(store).merged_files == 20
    assert set(upkeep.read(store, store.table("acme", SMALL.name), "RayID").known).isdisjoint(made.known)
    answered = asked(store, ["7-a", "19-b"])
    assert answered.unknown == set()
    assert answered.may.any()
    assert handed(store, "stranger") == []


def test_a_table_of_few_files_gets_no_index_and_loses_what_one_had_of_expired_rows(store: Store) -> None:
    append(store, ["a"], upto=1)
    look(store)
    assert not objects(store)
    extended(store)
    assert look(store, days=1, at=NOON + 5 * DAY).expired_files == 1
    assert set(objects(store)) == {"current"}


def test_nothing_of_an_index_outlives_a_deletion(store: Store) -> None:
    fill(store, 3)
    extended(store)
    assert len(objects(store)) == 2
    deleted(store)
    assert not objects(store)
    append(store, ["later"], upto=900)
    assert len(handed(store, "later")) == 1


def deleted(store: Store) -> None:
    deletion.delete(store, "acme", SMALL.name, by="me", reason="asked", clock=SystemClock())


class Interrupted(Store):
    """A store in which somebody acts just before a part of an index is put, or just after."""

    before: Callable[[], None] | None = None
    after: Callable[[], None] | None = None

    def write(self, path: str, data: pa.Buffer) -> None:
        """Write, with what somebody else does."""
        part = "/_ids/" in path and not path.endswith("/current")
        before, after = (self.before, self.after) if part else (None, None)
        if before is not None:
            self.before = None
            before()
        super().write(path, data)
        if after is not None:
            self.after = None
            after()


@pytest.mark.parametrize("when", ["before", "after"])
def test_u1_who_knows_an_older_table_brings_back_nothing_that_was_deleted(store: Store, when: str) -> None:
    """An explorer has read the filters of files; they are deleted, with a receipt; then it writes what it has read."""
    fill(store, 20)
    explorer = Interrupted(store.url)
    setattr(explorer, when, lambda: deleted(store))
    extended(explorer)
    [receipt] = deletion.receipts(store)
    assert receipt["rows"] == 40
    assert set(objects(store)) <= {"current"}, "which names no part"
    assert upkeep.read(store, store.table("acme", SMALL.name), "RayID").parts == ()


def test_u1_a_part_keeps_what_is_left_when_some_of_its_files_went(store: Store) -> None:
    append(store, ["old"], upto=1, _received=[NOON - 31 * DAY], at=NOON - 31 * DAY)
    append(store, ["new"], upto=2)
    explorer = Interrupted(store.url)
    explorer.before = lambda: [look(store, days=30, at=NOON), None][1]
    assert [path for path, _ in extended(explorer).known] == [path for path, _ in asked(store, ["new"]).files]
    assert handed(store, "new") != []


def test_u2_what_one_left_who_died_goes_from_an_empty_table(store: Store) -> None:
    fill(store, 20)

    def die() -> None:
        raise KeyboardInterrupt

    explorer = Interrupted(store.url)
    explorer.before, explorer.after = (lambda: deleted(store)), die
    with pytest.raises(KeyboardInterrupt):
        extended(explorer)
    assert len(objects(store)) == 1
    look(store, at=time.time_ns() + 2 * 3600 * 10**9)
    assert not objects(store)


def test_an_index_that_can_not_be_written_fails_no_care(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise Retryable("read only")

    fill(store, 8)
    monkeypatch.setattr(upkeep, "extend", refuses)
    done = look(store)
    assert done.merged_files == 8
    assert done.notes[-1] == "its index of ids is as it was: read only"
