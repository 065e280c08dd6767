"""SIGTERM under load, and members that come and go while others flush."""

from __future__ import annotations

import pytest

from tests.support.pipeline import Pipeline
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(400)


def test_sigterm_under_load_drains_and_leaves_with_exit_code_0(pipeline: Pipeline) -> None:
    sorter, sink = pipeline.sort(), pipeline.sink()
    sender = pipeline.send()
    pipeline.until_working(sorter, "logflume_sort_rows_total", 500)
    pipeline.until_working(sink, "logflume_sink_rows_total", 500)
    sorter.terminate()
    sink.terminate()
    assert sorter.wait() == 0, sorter.output()[-2000:]
    assert sink.wait() == 0, sink.output()[-2000:]
    assert "not-drained" not in sink.output()
    pipeline.judge.assert_drained()
    pipeline.sort()
    pipeline.sink()
    pipeline.finish(sender)
    pipeline.assert_exactly_once()


def test_sinks_that_join_and_leave_while_others_flush_lose_nothing_and_repeat_nothing(pipeline: Pipeline) -> None:
    group = pipeline.settings.sink_group
    pipeline.sort()
    first = pipeline.sink()
    sender = pipeline.send()
    pipeline.until_working(first, "logflume_sink_rows_total", 500)
    [all_] = pipeline.members(group).values()
    second = pipeline.sink()
    until(lambda: len(held := pipeline.members(group)) == 2 and all(held.values()), 90, "both have partitions")
    pipeline.until_working(second, "logflume_sink_rows_total", 200)
    assert second.stop() == 0
    rows = pipeline.gauge(first, "logflume_sink_rows_total")
    until(lambda: list(pipeline.members(group).values()) == [all_], 90, "the first has them all again")
    pipeline.until_working(first, "logflume_sink_rows_total", rows + 200)
    pipeline.finish(sender)
    pipeline.assert_exactly_once()
    assert first.stop() == 0


def test_sorters_that_join_and_leave_under_load_lose_nothing_and_repeat_nothing(pipeline: Pipeline) -> None:
    group = pipeline.settings.sort_group
    first = pipeline.sort()
    pipeline.sink()
    sender = pipeline.send()
    pipeline.until_working(first, "logflume_sort_rows_total", 500)
    [all_] = pipeline.members(group).values()
    second = pipeline.sort()
    until(lambda: len(held := pipeline.members(group)) == 2 and all(held.values()), 90, "both have partitions")
    pipeline.until_working(second, "logflume_sort_rows_total", 500)
    assert second.stop() == 0
    rows = pipeline.gauge(first, "logflume_sort_rows_total")
    until(lambda: list(pipeline.members(group).values()) == [all_], 90, "the first has them all again")
    pipeline.until_working(first, "logflume_sort_rows_total", rows + 500)
    pipeline.finish(sender)
    pipeline.assert_exactly_once()
