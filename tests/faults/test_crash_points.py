"""Each named crash point: the process dies exactly there, another takes over, and every record is stored once."""

from __future__ import annotations

import pytest

from logflume import crash
from logflume.local.process import Process
from tests.support.pipeline import KILLED, Pipeline

RECORDS = 2000
# The stage that dies there, and at which passage: the second or third, so that something is at rest before.
POINTS = {
    "edge.produced": ("client", 3),
    "sort.produced": ("sort", 1),
    "table.file-written": ("sink", 3),
    "sink.delta-committed": ("sink", 3),
    "sink.before-transaction": ("sink", 2),
}

ELSEWHERE = {
    # tests/integration: test_care
    *("care.committed", "care.file-written"),
    *("care.deletion-committed", "care.deletion-done", "care.deletion-ordered"),
    *("config.claimed", "config.committed", "config.transaction"),  # tests/integration: test_config
    "config.kept",  # test_config_follow
    *("replay.produced", "spool.landed", "spool.sent", "spool.written"),  # tests/integration: test_replay, test_spool
    *("sink.intent-stored", "sink.object-written"),  # test_file_jobs
}


def test_every_crash_point_is_tried() -> None:
    assert set(POINTS) | ELSEWHERE == crash.POINTS


@pytest.mark.timeout(400)
@pytest.mark.parametrize("point", POINTS)
def test_a_death_at_a_crash_point_loses_nothing_and_repeats_nothing(pipeline: Pipeline, point: str) -> None:
    stage, passage = POINTS[point]
    there = {"LOGFLUME_CRASH_AT": f"{point}:{passage}"}

    def env(of: str) -> dict[str, str]:
        return there if of == stage else {}

    sorter, sink = pipeline.sort(**env("sort")), pipeline.sink(**env("sink"))
    sender = pipeline.send(RECORDS, **env("client"))
    dying: Process = {"client": sender.process, "sort": sorter.process, "sink": sink.process}[stage]
    assert dying.wait(120) == KILLED, dying.tail(40)
    pipeline.judge.assert_committed_is_durable()
    if stage == "client":
        assert sender.in_flight()
        pipeline.sent(RECORDS)
    else:
        pipeline.start(stage, pipeline.settings, {})
        assert sender.process.wait(120) == 0
    pipeline.assert_exactly_once()
