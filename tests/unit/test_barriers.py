"""Barriers, which an edge's spool puts into topics, are nobody else's business."""

from __future__ import annotations

from logflume import contract, model
from logflume.sort.gather import Gatherer
from tests.support.ingest import chunk, message

EVENTS = model.load(contract.find())["events"]


def test_a_sorter_passes_over_barriers() -> None:
    barrier = message(1, b"", headers=[("logflume-barrier", b"spool/1.1")])
    records = [message(0, b'{"message":"a"}', key=b"acme"), barrier, message(2, b'{"message":"b"}', key=b"acme")]
    gathered = Gatherer(EVENTS).gather([chunk(records)])
    assert gathered.letters == []
    assert gathered.offsets.tolist() == [0, 2]
