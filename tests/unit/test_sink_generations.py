"""A sink while the configuration changes: what is judged by which, and what waits for a newer one."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from logflume.block.schema import sorted_schema
from logflume.clock import ManualClock
from logflume.errors import Retryable, Unconfigured
from logflume.kafka.intents import Intent, JobCursor
from logflume.kafka.position import Position
from logflume.model import Configuration, FileFormat, Job, Target, Tenant
from logflume.model.tenant import TenantDataset
from logflume.sink.assigned import Assigned
from logflume.sink.budget import Budget
from logflume.sink.buffers import Pair
from logflume.sink.flushes import FlushPool
from logflume.sink.generations import Generations
from logflume.sink.health import UNCONFIGURED, Health
from logflume.sink.partition import Partition
from logflume.sink.placing import Start, Stop
from logflume.sink.schedule import Limits, Schedule
from logflume.sink.worker import Sink
from tests.support.sorted_log import EVENTS, sorted_message

PLACE = ("sorted", 0)


def configuration(generation: int, *tenants: str, jobs: tuple[str, ...] = (), max_rows: int = 100) -> Configuration:
    """``tenants`` want ``events``; ``acme`` has ``jobs``."""
    made = {
        key: Job(key, "events", Target("file:///nowhere"), FileFormat.CSV, max_rows=max_rows, max_age_seconds=max_rows)
        for key in jobs
    }
    wanted = {"events": TenantDataset("events", 7)}
    return Configuration(
        generation, str(generation), {name: Tenant(name, wanted, made if name == "acme" else {}) for name in tenants}
    )


class FakeSource:
    """Has what it is given."""

    def __init__(self, now: Configuration | None = None) -> None:
        self.now = now

    def current(self) -> Configuration:
        if self.now is None:
            raise Unconfigured("none yet")
        return self.now


def opened(start: Start | None = None, jobs: set[tuple[str, str]] | None = None) -> Partition:
    start = start or Start(Position(0))
    return Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), start, Budget(1 << 30), jobs or ())


def read(into: Partition, by: Configuration, tenants: dict[str, int]) -> list[Pair]:
    offset = into.position.offset
    value, headers = sorted_message(tenants, offset)
    return into.read(offset, 0, value, headers, by.outlets, 0.0)[1]


def names(of: Partition) -> list[tuple[str, str]]:
    return [(pair.tenant, pair.outlet.name) for pair in of.buffers]


# --- which generation judges ------------------------------------------------------------------------------------------


def test_g1_what_is_added_gets_the_rows_from_then_on_and_what_is_taken_out_gets_none() -> None:
    one = opened()
    read(one, configuration(1, "acme"), {"acme": 1, "bell": 1})
    later = configuration(2, "bell", "acme", jobs=("copy",))
    one.configure(later.outlets)
    read(one, later, {"acme": 1, "bell": 1})
    assert names(one) == [("acme", ""), ("acme", "copy"), ("bell", "")]
    assert [pair.rows for pair in one.buffers] == [2, 1, 1]
    [letter] = one.letters(one.position)
    assert letter.offset == 0


def test_a5_rows_that_were_taken_in_for_a_table_are_stored_though_its_tenant_is_gone() -> None:
    one = opened()
    read(one, configuration(1, "acme", "bell"), {"acme": 2})
    without = configuration(2, "bell")
    assert one.configure(without.outlets) == []
    read(one, without, {"acme": 1})
    [pair] = one.buffers
    assert (pair.tenant, pair.rows) == ("acme", 2)
    assert [letter.offset for letter in one.letters(one.position)] == [1]


def test_a5_rows_of_a_job_that_is_gone_are_let_go_and_hold_the_commit_no_more() -> None:
    one = opened()
    read(one, configuration(1, "acme", jobs=("copy", "kept")), {"acme": 2})
    one.configure(configuration(2, "acme", jobs=("kept",)).outlets)
    assert names(one) == [("acme", ""), ("acme", "kept")]


def test_a5_an_object_that_is_being_written_is_finished_when_its_job_goes_and_given_up_when_it_fails() -> None:
    for ends_well in (True, False):
        one = opened()
        read(one, configuration(1, "acme", jobs=("copy",)), {"acme": 2})
        [pair] = [pair for pair in one.buffers if pair.outlet.name]
        one.take(pair)
        position = one.committable()
        assert position is not None
        one.commit(position, one.changes(position))
        pair.flying = True
        read(one, configuration(1, "acme", jobs=("copy",)), {"acme": 3})
        one.configure(configuration(2, "acme").outlets)
        assert pair.flight is not None
        assert pair.rows == 0
        if ends_well:
            one.landed(pair)
        else:
            one.failed(pair, 0.0, "away")
        assert names(one) == [("acme", "")]
        [change] = one.changes(position)
        # What may be in the object comes into no other.
        assert change.cursor is not None
        assert (change.cursor.done, change.cursor.intent) == (1, None)


def test_a5_a_stored_cut_that_is_read_again_is_dropped_with_its_job() -> None:
    job = configuration(1, "acme", jobs=("copy",)).tenants["acme"].jobs["copy"]
    cursor = JobCursor("sorted", "id", 0, "acme", "copy", 0, Intent(0, 3, "x", job))
    one = opened(Start(Position(0), jobs=(cursor,)), {("acme", "copy")})
    read(one, configuration(1, "acme", jobs=("copy",)), {"acme": 1})
    assert [one.to_gather] == [2]
    one.configure(configuration(2, "acme").outlets)
    assert one.to_gather is None
    again = configuration(3, "acme", jobs=("copy",))
    for _ in range(3):
        read(one, again, {"acme": 1})
    [pair] = [pair for pair in one.buffers if pair.outlet.name]
    assert (pair.first, pair.rows, pair.flight) == (3, 1, None)


def test_a_changed_job_holds_from_the_next_cut_on_and_its_new_age_counts_for_rows_that_wait() -> None:
    one, schedule = opened(), Schedule(Limits(1e9, 1 << 30, 1 << 60))
    schedule.added(one, read(one, configuration(1, "acme", jobs=("copy",), max_rows=300), {"acme": 1}))
    changed = one.configure(configuration(2, "acme", jobs=("copy",), max_rows=5).outlets)
    schedule.changed(one, changed)
    [due] = schedule.due(5.0)
    assert due.pair.outlet.job is not None
    assert due.pair.outlet.job.max_rows == 5


# --- waiting for a newer one ------------------------------------------------------------------------------------------


def test_g2_a_block_of_a_newer_configuration_waits_for_it_and_is_judged_by_it() -> None:
    source = FakeSource(configuration(1, "acme"))
    generations, one = Generations(source, 60.0), opened()
    value, headers = sorted_message({"bell": 1}, 0, generation=2)
    assert one.read(0, 0, value, headers, source.now.outlets, 0.0, generations.waits) == (None, [])  # type: ignore[union-attr]
    assert (one.ahead, one.position.offset, one.committable()) == (2, 0, Position(0))
    source.now = configuration(2, "acme", "bell")
    assert generations.take_up()
    assert not generations.waits(one.ahead, 1.0)
    one.judge(generations.current.outlets, 1.0)
    assert (one.ahead, one.position.offset, names(one)) == (0, 1, [("bell", "")])


def test_g2_what_does_not_come_in_time_is_waited_for_once_and_the_row_becomes_a_dead_letter() -> None:
    source = FakeSource(configuration(1, "acme"))
    generations, one = Generations(source, 60.0), opened()
    one.read(0, 0, *sorted_message({"bell": 1}, 0, generation=2), generations.current.outlets, 0.0, generations.waits)
    assert generations.waits(2, 59.9)
    assert "configuration 2" in generations.troubles(59.9)[0]
    assert not generations.waits(2, 60.0)
    assert not generations.waits(2, 61.0)
    assert generations.waits(3, 61.0)
    one.judge(generations.current.outlets, 60.0)
    assert [letter.offset for letter in one.letters(one.position)] == [0]


def test_a_block_of_an_older_or_unknown_configuration_waits_for_nothing() -> None:
    generations = Generations(FakeSource(configuration(7, "acme")), 60.0)
    assert not generations.waits(0, 0.0)
    assert not generations.waits(7, 0.0)
    assert not generations.take_up()


# --- the worker -------------------------------------------------------------------------------------------------------


class FakeConsumer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[int]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *places: self.told.append((name, [p.partition for p in places[0]] if places else []))


def worker(source: FakeSource, **more: Any) -> Sink:
    made = object.__new__(Sink)
    pool = FlushPool(1, lambda flush: pytest.fail("nothing is due"))
    assigned = Assigned(pool, Budget(1 << 30), 1 << 30)
    vars(made).update(
        _generations=Generations(source, 60.0),
        _assigned=assigned,
        _schedule=Schedule(Limits(1e9, 1 << 30, 1 << 60)),
        _consumer=FakeConsumer(),
        _catch_up=SimpleNamespace(opened=lambda partition, now: None),
        _clock=ManualClock(),
        _caps=None,
        _draining=False,
        health=Health(ManualClock()),
    )
    vars(made).update(more)
    return made


def test_without_any_configuration_a_sink_joins_no_group_and_says_so() -> None:
    source = FakeSource()
    sink = worker(source)
    stop = threading.Event()
    stop.set()
    sink.run(stop)
    assert [name for name, _ in sink._consumer.told] == ["close"]  # type: ignore[attr-defined]
    assert sink.health.ready() == UNCONFIGURED


def test_a_partition_that_needs_a_newer_configuration_is_opened_when_the_worker_has_it() -> None:
    source = FakeSource(configuration(1, "acme"))
    asked = []

    def places(assigned: list[tuple[str, int]], generation: int) -> dict[Any, Any]:
        asked.append(generation)
        return {at: ("id", Start(Position(4), stored=True)) for at in assigned}

    sink = worker(
        source, _opening=SimpleNamespace(places=places), _datasets={"sorted": EVENTS}, _budget=Budget(1 << 30)
    )
    sink._assigned.stop(PLACE, Stop("old-configuration", "2 is wanted"))
    sink._configure(0.0)
    assert asked == []
    source.now = configuration(2, "acme")
    sink._configure(0.0)
    assert asked == [2]
    assert sink._assigned.stops == {}
    assert sink._assigned.open[PLACE].position.offset == 4
    consumer: Any = sink._consumer
    assert consumer.told[:2] == [("incremental_unassign", [0]), ("incremental_assign", [0])]


def test_a_partition_whose_block_waits_is_read_no_further_and_resumes_when_it_is_judged() -> None:
    source = FakeSource(configuration(1, "acme"))
    sink, one = worker(source), opened()
    sink._assigned.open[PLACE] = one
    one.read(
        0, 0, *sorted_message({"bell": 1}, 0, generation=2), source.current().outlets, 0.0, sink._generations.waits
    )
    consumer: Any = sink._consumer
    sink._assigned.steer(consumer, draining=False)
    assert consumer.told == [("pause", [0])]
    source.now = configuration(2, "acme", "bell")
    sink._configure(1.0)
    sink._assigned.steer(consumer, draining=False)
    assert consumer.told == [("pause", [0]), ("resume", [0])]
    assert names(one) == [("bell", "")]


def test_a_failed_table_of_a_tenant_that_is_gone_is_tried_again() -> None:
    one = opened()
    [pair] = read(one, configuration(1, "acme", "bell"), {"acme": 2})
    one.take(pair)
    one.configure(configuration(2, "bell").outlets)
    one.failed(pair, 1.0, str(Retryable("away")))
    assert names(one) == [("acme", "")]
