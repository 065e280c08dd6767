"""Objects of cuts that were found stored: looked for, and left as they are (R2)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from logflume.block.schema import sorted_schema
from logflume.clock import ManualClock
from logflume.destinations import Receipt
from logflume.errors import Misconfigured
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
