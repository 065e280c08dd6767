"""Objects of cuts that were found stored: looked for, and left as they are (R2)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from logflume import metrics
from logflume.block.schema import RECEIVED, sorted_schema
from logflume.clock import ManualClock
from logflume.destinations import Receipt
from logflume.errors import Misconfigured, Retryable
from logflume.kafka.intents import Intent, JobCursor
from logflume.kafka.position import Position
from logflume.model import FileFormat, Job, Outlet, Target
from logflume.settings import Settings
from logflume.sink.budget import Budget
from logflume.sink.flushes import Flush, Rested
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from logflume.sink.rests import Rests
from logflume.table.store import Store
from tests.support.sorted_log import EVENTS, sorted_message

JOB = Job("copy", "events", Target("file:///nowhere"), FileFormat.CSV)


class Kept:
    """A destination that has, or hasn't, or doesn't say."""

    url = "kept://"

    def __init__(self, has: bool | None) -> None:
        self._has = has
        self.written: list[str] = []

    def write(self, name: str, data: Any) -> Receipt:
        self.written.append(name)
        return Receipt(name, len(data), not self._has)

    def holds(self, name: str) -> bool:
        if self._has is None:
            raise Misconfigured("403: you may not look")
        return self._has


@pytest.mark.parametrize(("has", "written"), [(True, []), (False, ["x"]), (None, ["x"])])
def test_a_stored_cuts_object_is_written_unless_it_is_known_to_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has: bool | None, written: list[str]
) -> None:
    kept = Kept(has)
    monkeypatch.setattr("logflume.sink.rests.open_destination", lambda target, settings: kept)
    cursor = JobCursor("sorted", "id", 0, "a", "copy", 0, Intent(0, 1, "x", JOB))
    start = Start(Position(0), jobs=(cursor,))
    one = Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), start, Budget(1 << 30), {("a", "copy")})
    value, headers = sorted_message({"a": 2}, 0)
    pair = one.read(0, 0, value, headers, lambda tenant, _: (Outlet(tenant, "copy", JOB),), 0.0)[1][0]
    assert pair.flight is not None
    same: Any = SimpleNamespace(check=lambda *_: None)
    rests = Rests(Settings(), Store(tmp_path.as_uri()), same, ManualClock())
    rested = rests.bring(Flush(one, pair, pair.flight, "age", 0.0))
    assert kept.written == written
    assert rested == (Rested(2, 1, rested.bytes, 0) if written else Rested(0, 0, 0, 2))


def test_of_rows_that_a_commit_makes_searchable_the_rest_says_how_fresh_they_are(tmp_path: Path) -> None:
    clock = ManualClock()
    one = Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), Start(Position(0)), Budget(1 << 30))
    value, headers = sorted_message({"a": 2}, 0)
    block, [pair] = one.read(0, 0, value, headers, lambda tenant, _: (Outlet(tenant),), 0.0)
    assert block is not None
    received = block.batch.column(RECEIVED.name).cast(pa.int64()).to_pylist()
    clock.advance((max(received) - clock.now_ns()) / 1e9 + 7)
    same: Any = SimpleNamespace(check=lambda *_: None)
    store = Store(tmp_path.as_uri())
    rests, flush = Rests(Settings(), store, same, clock), Flush(one, pair, one.take(pair), "age", 0.0)
    commits = metrics.REGISTRY.get_sample_value("logflume_table_commit_seconds_count")
    made = {"operation": "make"}
    before = metrics.REGISTRY.get_sample_value("logflume_store_request_seconds_count", made) or 0
    rested = rests.bring(flush)
    assert rested.freshness is not None
    assert sum(rested.freshness.counts) == 2
    assert rested.freshness.longest_seconds == pytest.approx(7 + (max(received) - min(received)) / 1e9, abs=0.01)
    assert metrics.REGISTRY.get_sample_value("logflume_table_commit_seconds_count") == (commits or 0) + 1
    assert metrics.REGISTRY.get_sample_value("logflume_store_request_seconds_count", made) == before + 1
    assert rests.bring(flush).freshness is None, "rows that were at rest already are not counted again"


def test_a_store_that_fails_is_counted_by_what_was_asked_of_it_and_an_object_that_is_not_there_is_an_answer(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path.as_uri())
    (tmp_path / "file").write_text("no folder")
    value = metrics.REGISTRY.get_sample_value
    before = value("logflume_store_errors_total", {"operation": "write"}) or 0
    reads = value("logflume_store_errors_total", {"operation": "read"}) or 0
    with pytest.raises(Retryable):
        store.write("file/x", pa.py_buffer(b"x"))
    assert store.read("nothing") is None
    assert value("logflume_store_errors_total", {"operation": "write"}) == before + 1
    assert (value("logflume_store_errors_total", {"operation": "read"}) or 0) == reads
