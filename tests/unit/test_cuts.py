"""A partition's jobs: a cut is frozen, told to Kafka, written, and found again after a crash (J1 to J4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from logflume import contract
from logflume.block.schema import sorted_schema
from logflume.errors import Refused
from logflume.formats import avro_schema
from logflume.kafka import intents
from logflume.kafka.intents import Intent, JobCursor
from logflume.kafka.position import Position
from logflume.model import FileFormat, Job, Outlet, Target
from logflume.settings import Settings
from logflume.sink.budget import Budget
from logflume.sink.buffers import Pair
from logflume.sink.cuts import Change, Cuts, object_name
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from logflume.sink.schedule import Limits, Schedule
from tests.support.sorted_log import EVENTS, sorted_message

JOB = Job("copy", "events", Target("s3://bucket/x", credentials="mine"), FileFormat.NDJSON_GZ, ("time",))
COPY = Outlet("a", "copy", JOB)
KEYS = {("a", "copy")}


def both(tenant: str, dataset: str) -> tuple[Outlet, ...]:
    return (Outlet(tenant), Outlet(tenant, "copy", JOB))


def opened(position: int = 0, jobs: tuple[JobCursor, ...] = ()) -> Partition:
    start = Start(Position(position), stored=True, jobs=jobs)
    return Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), start, Budget(1 << 30), KEYS)


def read(into: Partition, rows: int) -> None:
    offset = into.position.offset
    value, headers = sorted_message({"a": rows}, offset)
    into.read(offset, 86_400_000 * offset, value, headers, both, 0.0)


def pairs(of: Partition) -> tuple[Pair, Pair]:
    """The table's, the job's."""
    table, job = of.buffers
    return table, job


def commit(partition: Partition) -> list[Change]:
    position = partition.committable()
    assert position is not None
    changes = partition.changes(position)
    partition.commit(position, changes)
    return changes


def test_a_cut_is_not_written_before_kafka_has_its_intent() -> None:
    one = opened()
    read(one, 2)
    _, job = pairs(one)
    flight = one.take(job)
    assert flight.intent == Intent(0, 1, f"a/copy/1970-01-01/id-0-{0:012d}-{1:012d}.ndjson.gz", JOB)
    assert (job.waiting, job.ripe) == (True, False)
    [change] = commit(one)
    assert change.cursor == JobCursor("sorted", "id", 0, "a", "copy", 0, flight.intent)
    assert (job.waiting, job.ripe) == (False, True)


def test_a_failed_cut_stays_as_it_is_and_later_rows_wait_for_the_next() -> None:
    one = opened()
    read(one, 2)
    _, job = pairs(one)
    flight = one.take(job)
    commit(one)
    job.flying = True
    read(one, 3)
    one.buffers.failed(job, 0.0, "away")
    assert job.flight is flight
    assert (job.ripe, job.rows) == (True, 3)
    one.landed(job)
    assert one.take(job).intent == replace(
        flight.intent, start=1, end=2, name=f"a/copy/1970-01-02/id-0-{1:012d}-{2:012d}.ndjson.gz"
    )


def test_a_jobs_record_stands_only_while_it_says_more_than_the_position() -> None:
    one = opened()
    read(one, 2)
    table, job = pairs(one)
    one.take(job)
    commit(one)
    one.landed(job)
    [change] = commit(one)
    assert change.cursor == JobCursor("sorted", "id", 0, "a", "copy", 1)
    one.buffers.take(table, 1)
    one.buffers.landed(table)
    [change] = commit(one)
    assert change.cursor is None
    assert one.committable() is None


def test_rows_that_are_in_a_durable_object_are_not_taken_in_again() -> None:
    one = opened(jobs=(JobCursor("sorted", "id", 0, "a", "copy", 2),))
    read(one, 1)
    read(one, 1)
    assert [pair.outlet for pair in one.buffers] == [Outlet("a")]
    read(one, 1)
    _, job = pairs(one)
    assert (job.rows, job.first) == (1, 2)


def test_a_stored_cut_is_written_as_it_says_when_its_last_row_was_read_again() -> None:
    intent = Intent(0, 2, "as/it/was", replace(JOB, format=FileFormat.CSV))
    one = opened(jobs=(JobCursor("sorted", "id", 0, "a", "copy", 0, intent),))
    read(one, 4)
    _, job = pairs(one)
    assert (job.gathering, job.ripe, one.buffers.busy) == (True, False, True)
    read(one, 4)
    assert job.flight is not None
    assert (job.flight.intent, job.flight.again, job.flight.rows) == (intent, True, 8)
    read(one, 4)
    assert (job.ripe, job.rows) == (True, 4)
    one.landed(job)
    follows = one.take(job).intent
    assert follows is not None
    assert (follows.start, follows.end, follows.job) == (2, 3, JOB)


def test_a_stored_cut_takes_in_no_rows_before_it_which_its_job_never_got() -> None:
    """The job was not there when they came; it is now, when they are read again."""
    one = opened(jobs=(JobCursor("sorted", "id", 0, "a", "copy", 0, Intent(1, 2, "as/it/was", JOB)),))
    read(one, 3)
    read(one, 4)
    _, job = pairs(one)
    assert job.flight is not None
    assert (job.flight.rows, job.flight.offsets().tolist()) == (4, [1] * 4)


@pytest.mark.parametrize(
    "cursor",
    [
        JobCursor("sorted", "id", 0, "a", "other", 2),
        JobCursor("sorted", "old id", 0, "a", "copy", 9, Intent(5, 9, "x", JOB)),
        JobCursor("sorted", "id", 0, "a", "copy", 0, Intent(0, 2, "x", JOB)),
    ],
    ids=["job is gone", "topic made again", "deleted by retention"],
)
def test_a_record_that_says_nothing_any_more_is_deleted(cursor: JobCursor) -> None:
    one = opened(position=3, jobs=(cursor,))
    [change] = commit(one)
    assert change == Change(None, cursor)
    read(one, 1)
    assert len(one.buffers) == 2


def test_a_job_that_was_gone_for_a_while_goes_on_behind_the_cut_that_may_have_been_written() -> None:
    stored = JobCursor("sorted", "id", 0, "a", "other", 1, Intent(1, 3, "x", JOB))
    [change] = commit(opened(jobs=(stored,)))
    assert change.cursor == JobCursor("sorted", "id", 0, "a", "other", 3)
    later = opened(position=3, jobs=(change.cursor,))
    assert [change.cursor for change in commit(later)] == [None]


def test_a_commit_looks_at_no_job_that_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one = opened(jobs=tuple(JobCursor("sorted", "id", 0, "a", f"j{n}", 5) for n in range(9)))
    assert one.changes(Position(0)) == []
    made: list[Any] = []
    monkeypatch.setattr("logflume.sink.cuts.JobCursor", lambda *a: made.append(a) or JobCursor(*a))
    assert (one.changes(Position(4)), made) == ([], [])
    assert len(one.changes(Position(5))) == 9


def test_a_stored_cut_that_is_whole_is_due_at_once_whoever_its_last_rows_are() -> None:
    one = opened(jobs=(JobCursor("sorted", "id", 0, "a", "copy", 0, Intent(0, 2, "x", JOB)),))
    schedule = Schedule(Limits(1e9, 1 << 30, 1 << 30))
    for offset, tenant in enumerate(("a", "b")):
        value, headers = sorted_message({tenant: 1}, offset)
        _, touched = one.read(offset, 0, value, headers, both, 0.0)
        schedule.added(one, touched)
    assert [(due.pair.outlet, due.cause) for due in schedule.due(0.0)] == [(COPY, "age")]


def test_a_stored_cut_without_rows_is_given_up() -> None:
    one = opened(jobs=(JobCursor("sorted", "id", 0, "a", "copy", 0, Intent(0, 1, "x", JOB)),))
    one.read(0, 0, *sorted_message({"b": 1}, 0), lambda tenant, _: (Outlet(tenant),), 0.0)
    assert [change.cursor for change in one.changes(Position(1))] == [None]


def test_a_cut_that_does_not_follow_the_last_is_a_mistake() -> None:
    cuts = Cuts("sorted", "id", 0)
    cuts.freeze(COPY, Intent(0, 5, "x", JOB))
    with pytest.raises(ValueError, match="does not follow"):
        cuts.freeze(COPY, Intent(5, 6, "y", JOB))
    cuts.landed(COPY)
    with pytest.raises(ValueError, match="does not follow"):
        cuts.freeze(COPY, Intent(4, 6, "y", JOB))


def test_names_tell_apart_jobs_partitions_topics_and_cuts() -> None:
    names = {
        object_name(outlet, topic_id, partition, start, start + 1, "2026-01-02")
        for outlet in (COPY, replace(COPY, tenant="b"), replace(COPY, name="two"))
        for topic_id in ("i", "j")
        for partition in (1, 2)
        for start in (3, 4)
    }
    assert len(names) == 24
    assert object_name(COPY, "i", 1, 3, 9, "2026-01-02") == f"a/copy/2026-01-02/i-1-{3:012d}-{9:012d}.ndjson.gz"


@pytest.mark.parametrize("intent", [None, Intent(3, 7, "a/b", JOB)])
def test_a_job_record_comes_back_as_it_was_stored(intent: Intent | None) -> None:
    codec = intents.Codec(Settings())
    cursor = JobCursor("sorted", "id", 2, "acme", "copy", 3, intent)
    assert codec.decode(codec.encode(cursor)) == cursor
    assert intents.key("g", cursor) == b"job/g/sorted/2/acme/copy"
    with pytest.raises(Refused, match="a stored job begins with"):
        codec.decode(b"\xc3\x01" + bytes(10))


def test_a_stored_value_begins_with_its_schemas_fingerprint_as_the_specification_has_it() -> None:
    """``avro_schema.fingerprint`` is held against the specification's own value in test_schemas."""
    schema = contract.avro_schema("job", contract.find())
    value = intents.Codec(Settings()).encode(JobCursor("sorted", "id", 2, "acme", "copy", 3))
    assert value[:10] == b"\xc3\x01" + avro_schema.fingerprint(schema)
