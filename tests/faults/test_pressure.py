"""The sinks stand still under load: senders are slowed down and stopped, and all goes on by itself afterwards."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.oracle import Journal
from tests.support.pipeline import SHORT, Pipeline
from tests.support.services import Run
from tests.support.sorted_log import few_partitions
from tests.support.waiting import until
from tests.support.worker import Worker

PRESSED = SHORT | {
    "status_seconds": 0.5,
    "watch_seconds": 0.5,
    "pressure_lag_seconds": 12.0,
    "pressure_hold_seconds": 1.0,
    "edge_timeout_seconds": 200.0,  # senders wait
}
GROWTH_BYTES = 60_000_000
"""What a process may grow by while the sink stands still; its budget is far above what is sent then."""
LOOKS = 15


@pytest.mark.timeout(420)
def test_while_the_sink_stands_still_senders_wait_memory_is_flat_and_then_every_record_is_stored_once(
    settings: Settings, worker: StartWorker, run: Run, tmp_path: Path
) -> None:
    few = few_partitions(settings.model_copy(update=PRESSED), tmp_path)
    pipeline = Pipeline(few.model_copy(update=PRESSED), run, tmp_path, worker)
    try:
        sort, sink, watch = pipeline.sort(), pipeline.sink(), pipeline.start("watch", pipeline.settings)
        sender = pipeline.send()
        pipeline.until_working(sink, "logflume_sink_rows_total")
        until(lambda: watch.get("/ready")[0] == 200, 60, "the watch measures")
        until(lambda: level(pipeline, watch) == "none", 120, "no pressure: the pipeline keeps up")
        told = "logflume_status_workers"
        until(lambda: pipeline.gauge(watch, told) >= 3, 60, "sorter, sink and watch tell how they are")

        processes = [psutil.Process(each.pid) for each in (sort, watch, sender.process)]
        before = [each.memory_info().rss for each in processes]
        sink.pause()
        until(lambda: level(pipeline, watch) == "stop", 90, "pressure", pause=0.2)
        until(lambda: waits(sender.journal), 90, "the sender waits")
        grown = [each.memory_info().rss - rss for each, rss in zip(processes, before, strict=True)]
        sent = sender.acked()
        print(f"grown by {grown}, {sent} records so far")

        sink.resume()
        until(lambda: level(pipeline, watch) == "none", 180, "the pressure is gone", pause=0.2)
        until(lambda: sender.acked() > sent + 480, 120, "the sender goes on")
        pipeline.finish(sender)
        pipeline.assert_exactly_once()
        assert max(grown) < GROWTH_BYTES
    finally:
        pipeline.close()


def level(pipeline: Pipeline, watch: Worker) -> str:
    """The level that the watch publishes."""
    lines = watch.get("/metrics")[1].splitlines()
    found = [line for line in lines if line.startswith("logflume_pressure_level_info{") and line.endswith(" 1.0")]
    return found[0].partition('level="')[2].partition('"')[0] if found else ""


def waits(journal: Journal) -> bool:
    """Whether nothing new is issued over so many looks; without pressure there is a batch in every few of them."""
    counts: list[int] = []

    def looked() -> bool:
        counts.append(len(journal.numbers()[0]))
        return len(counts) == LOOKS

    until(looked, 60, "looks", pause=0.2)
    return len(set(counts)) == 1
