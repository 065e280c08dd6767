"""Sorters and sinks with names in their groups: who comes back by a name has its partitions at once, and alone."""

from __future__ import annotations

import pytest

from logflume import contract, model
from logflume.kafka import topics
from tests.support.pipeline import Pipeline
from tests.support.schedules import variants
from tests.support.waiting import until
from tests.support.worker import Worker

pytestmark = pytest.mark.timeout(500)

NEVER_SECONDS = 1200
"""A session time-out that no test waits for: a partition moves earlier only because of the name."""

STAGES = {"sort": ("logflume_sort_rows_total", 70), "sink": ("logflume_sink_rows_total", 1)}
"""What each has done, and how it ends when its name is another's."""


@pytest.fixture
def named(pipeline: Pipeline) -> Pipeline:
    """Workers that are called by ``start``; nobody is missed by its group for twenty minutes."""
    silent = {"sort_session_timeout_seconds": float(NEVER_SECONDS), "sink_session_timeout_ms": 1000 * NEVER_SECONDS}
    pipeline.settings = pipeline.settings.model_copy(update=silent)
    return pipeline


def start(pipeline: Pipeline, stage: str) -> Worker:
    """Start the one worker of a stage, by its name."""
    called = pipeline.settings.model_copy(update={"group_instance_id": f"{stage}-0"})
    return pipeline.start(stage, called, {})


def test_killed_workers_with_names_have_their_partitions_back_long_before_their_session_ends(named: Pipeline) -> None:
    workers = {stage: start(named, stage) for stage in STAGES}
    sender = named.send()
    for stage, (rows, _) in STAGES.items():
        named.until_working(workers[stage], rows, 200)
        workers[stage].kill()
        named.until_working(start(named, stage), rows, 200)
    named.finish(sender)
    named.assert_exactly_once()


@pytest.mark.parametrize("stage", variants("sink", "sort"))
def test_a_worker_that_comes_back_by_its_name_and_reads_more_than_before_gets_all_of_it(
    pipeline: Pipeline, stage: str
) -> None:
    # Longer than a start takes: else there is no old self left when the new one comes.
    brief = {"sort_session_timeout_seconds": 10.0, "sink_session_timeout_ms": 10_000}
    pipeline.settings = pipeline.settings.model_copy(update=brief)
    group = {"sort": pipeline.settings.sort_group, "sink": pipeline.settings.sink_group}[stage]
    before = start(pipeline, stage)
    few = until(lambda: max(pipeline.members(group).values(), default=0), 90, "it has its partitions", pause=0.5)
    pipeline.settings = pipeline.settings.model_copy(update={"topics_dir": ""})  # the contract of all datasets
    topics.apply(pipeline.settings)
    more = len(model.load(contract.find())) * few
    assert before.stop() == 0
    start(pipeline, stage)
    until(lambda: more in pipeline.members(group).values(), 120, f"all {more} partitions are its own", pause=0.5)


@pytest.mark.parametrize("stage", variants("sink", "sort"))
def test_of_two_that_live_by_one_name_the_first_ends_itself_and_each_row_is_stored_once(
    named: Pipeline, stage: str
) -> None:
    rows, code = STAGES[stage]
    other = start(named, "sink" if stage == "sort" else "sort")
    first = start(named, stage)
    sender = named.send()
    named.until_working(first, rows, 200)
    second = start(named, stage)
    assert first.wait(120) == code, first.output()[-3000:]
    named.until_working(second, rows, 200)
    named.finish(sender)
    named.assert_exactly_once()
    assert second.alive(), "the name was not taken back"
    assert other.alive()
