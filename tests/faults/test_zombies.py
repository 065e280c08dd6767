"""A worker that is stopped past its session time-out, and goes on when another has its partitions."""

from __future__ import annotations

import pytest

from logflume.kafka import topics
from tests.support.oracle import DATASET
from tests.support.pipeline import Pipeline
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(500)


def test_a_zombie_sink_commits_nothing_after_its_partitions_moved(pipeline: Pipeline) -> None:
    # The zombie holds rows that it has read and not stored: an age that only the second sink's settings shorten.
    slow = pipeline.settings.model_copy(update={"sink_flush_age_seconds": 20.0})
    pipeline.sort()
    zombie = pipeline.start("sink", slow)
    zombie.wait_ready()
    [first] = until(lambda: pipeline.members(slow.sink_group))
    pipeline.sent(3000)
    pipeline.until_working(zombie, "logflume_sink_buffered_bytes")
    zombie.pause()
    successor = pipeline.sink()
    until(lambda: not pipeline.judge.missing(), 120, "the successor stored everything", pause=1.0)
    until(lambda: first not in pipeline.members(slow.sink_group), 60, "the zombie is out of the group")
    committed = pipeline.judge.committed(slow.sink_group, topics.sorted_topic(slow, DATASET))
    positions = pipeline.judge.positions()
    rows = pipeline.stored_rows()
    zombie.resume()
    until(lambda: "sink.lost" in zombie.output(), 60, "the zombie notices", pause=0.2)
    now = pipeline.judge.committed(slow.sink_group, topics.sorted_topic(slow, DATASET))
    assert all(now[partition] >= offset for partition, offset in committed.items())
    assert all(pipeline.judge.positions()[partition] >= offset for partition, offset in positions.items())
    assert pipeline.stored_rows() == rows
    pipeline.sent(500)
    assert zombie.stop() == 0  # at work again: it stores at once what it has read, which else would wait for its age
    pipeline.assert_exactly_once()
    assert successor.stop() == 0


def test_a_zombie_sorter_commits_nothing_and_its_blocks_are_dropped_as_repeats(pipeline: Pipeline) -> None:
    zombie = pipeline.sort()
    pipeline.sink()
    sender = pipeline.send()
    pipeline.until_working(zombie, "logflume_sort_rows_total", 1000)
    group = pipeline.settings.sort_group
    [first] = pipeline.members(group)
    zombie.pause()  # under load: chunks are in its hands, some produced and not committed
    successor = pipeline.sort()
    pipeline.until_working(successor, "logflume_sort_rows_total", 1000)
    until(lambda: first not in pipeline.members(group), 60, "the zombie is out of the group")
    before = pipeline.judge.committed(group, topics.ingest_topic(pipeline.settings, DATASET))
    zombie.resume()
    # It either joins again or ends itself; both are known by what the group says or by the process.
    until(lambda: len(pipeline.members(group)) == 2 or not zombie.alive(), 90, "the zombie notices")
    acked = sender.acked()
    until(lambda: sender.acked() > acked + 1000, 90, "traffic goes on")
    pipeline.finish(sender)
    pipeline.assert_exactly_once()
    after = pipeline.judge.committed(group, topics.ingest_topic(pipeline.settings, DATASET))
    assert all(after[partition] >= offset for partition, offset in before.items())
