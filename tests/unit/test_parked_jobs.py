"""Parked jobs: what Kafka is told of them, and their frozen cuts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from logflume.block.schema import sorted_schema
from logflume.kafka.intents import JobCursor
from logflume.kafka.position import Position
from logflume.model import FileFormat, Job, Outlet, Target
from logflume.sink.budget import Budget
from logflume.sink.buffers import Pair
from logflume.sink.parking.destinations import destination
from logflume.sink.parking.parked import FAILING, Phase
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from tests.support.sorted_log import EVENTS, sorted_message

COPY = Outlet("a", "copy", Job("copy", "events", Target("file:///nowhere"), FileFormat.CSV))
NEWER = Outlet("a", "copy", Job("copy", "events", Target("file:///elsewhere"), FileFormat.CSV))


def outlets(tenant: str, dataset: str) -> tuple[Outlet, ...]:
    return (Outlet("a"), COPY) if tenant == "a" else (Outlet(tenant),)


def opened(start: Start | None = None) -> Partition:
    start = start or Start(Position(0))
    made = Partition("sorted", "id", 0, EVENTS, sorted_schema(EVENTS), start, Budget(1 << 30), {("a", "copy")})
    made.configure(outlets)
    return made


def read(one: Partition, *tenants: str) -> None:
    offset = one.position.offset
    one.read(offset, 0, *sorted_message(dict.fromkeys(tenants, 1), offset), outlets, 0.0)


def scan(one: Partition, offset: int, *tenants: str) -> None:
    one.read_behind(offset, 0, *sorted_message(dict.fromkeys(tenants, 1), offset), 0.0)


def pair(one: Partition, outlet: Outlet) -> Pair:
    found = one.buffers.pair(outlet)
    assert found is not None
    return found


def land(one: Partition, outlet: Outlet) -> None:
    """To a table, or for a job with the commit that its cut needs before."""
    its = pair(one, outlet)
    if its.flight is None:
        one.take(its)
    if outlet.job is not None:
        commit(one)
        assert not its.waiting
    one.landed(its)


def commit(one: Partition) -> tuple[int, dict[str, int]]:
    """Returns the position, and of the job what its record and its parked cursor say."""
    position = one.committable()
    assert position is not None
    changes, parkings = one.changes(position), one.parkings()
    one.commit(position, changes, parkings)
    told = {}
    for change in changes:
        told["done"] = change.cursor.done if change.cursor else -1
    for parking in parkings:
        told["cursor"] = parking.cursor.position.offset if parking.cursor else -1
    return position.offset, told


def test_q3_when_the_parked_record_goes_the_jobs_own_says_what_is_ahead_of_the_position() -> None:
    one = opened()
    read(one, "a", "b")
    land(one, Outlet("a"))
    one.behind.park(pair(one, COPY), FAILING)
    assert commit(one) == (0, {"cursor": 0})
    one.behind.begin(list(one.behind.parking))
    scan(one, 0, "a", "b")
    land(one, COPY)
    # The cursor is where the object ends, so the job's own record says nothing more.
    assert commit(one) == (0, {"done": -1, "cursor": 1})
    assert one.committable() is None
    assert [entry.phase for entry in one.behind.hand_over(one.position)] == [Phase.LIVE]
    # But b holds the position below that: without the one record the other must tell (or the object would come again).
    assert commit(one) == (0, {"done": 1, "cursor": -1})
    assert len(one.behind.parking) == 0
    land(one, Outlet("b"))
    assert commit(one) == (1, {"done": -1})


def test_q1_a_member_of_the_scan_gets_no_row_from_before_its_cursor() -> None:
    one = opened()
    read(one, "a", "b")
    land(one, COPY)
    land(one, Outlet("a"))
    one.behind.park(pair(one, Outlet("b")), FAILING)
    commit(one)
    assert one.committable() is None  # and the job has no record of its own any more
    read(one, "a")
    one.behind.park(pair(one, COPY), FAILING)
    one.behind.begin(list(one.behind.parking))
    scan(one, 0, "a", "b")
    assert one.buffers.pair(COPY) is None
    scan(one, 1, "a")
    assert pair(one, COPY).rows == 1


def test_q5_a_cut_that_was_parked_before_kafka_had_it_is_not_written_before_kafka_has_it() -> None:
    one = opened()
    read(one, "a")
    one.take(pair(one, COPY))
    one.behind.park(pair(one, COPY), FAILING)
    [entry] = one.behind.parking
    assert entry.gather_bytes > 0
    one.behind.begin([entry])
    scan(one, 0, "a")
    again = pair(one, COPY)
    assert again.flight is not None
    assert again.flight.again
    assert again.waiting
    commit(one)
    assert not again.waiting


def test_q5_a_frozen_cut_is_read_to_its_end_by_whoever_reads_there_and_written_as_it_was() -> None:
    one = opened()
    for _ in range(3):
        read(one, "a")
    frozen = one.take(pair(one, COPY))
    commit(one)
    one.behind.park(pair(one, COPY), FAILING)
    commit(one)
    for handed_over_at in (1, 3):
        stored = [entry.stored for entry in one.behind.parking if entry.stored is not None]
        successor = opened(Start(Position(0), stored=True, parked=tuple(stored), jobs=tuple(_job_records(one))))
        for _ in range(handed_over_at):
            read(successor, "a")
        assert successor.buffers.pair(COPY) is None
        assert successor.to_gather is None
        [entry] = successor.behind.parking
        successor.behind.begin([entry])
        for offset in range(handed_over_at):
            scan(successor, offset, "a")
        successor.behind.hand_over(successor.position)
        while successor.position.offset < 3:
            assert pair(successor, COPY).flight is None
            read(successor, "a")
        flight = pair(successor, COPY).flight
        assert flight is not None
        assert (flight.intent, flight.table()["message"].to_pylist()) == (frozen.intent, ["m0.0", "m1.0", "m2.0"])


@pytest.mark.parametrize("first", [3, 4])
def test_j2_a_frozen_cut_whose_end_retention_took_gets_no_row_from_after_it(first: int) -> None:
    """What may be in its object is not written again, and a row that passed for one of it would be in none."""
    one = opened()
    for _ in range(2):
        read(one, "a")
    frozen = one.take(pair(one, COPY))
    for _ in range(2):
        read(one, "a")
    commit(one)
    one.behind.park(pair(one, COPY), FAILING)
    commit(one)
    one.behind.begin(list(one.behind.parking))
    scan(one, 0, "a")
    [its] = one.lose(first)
    if first == 3:
        scan(one, 3, "a")
        assert [segment.first for segment in its.segments] == [3]
    one.behind.hand_over(one.position)
    assert one.to_gather is None
    assert its.flight is not None
    assert (its.flight.intent, its.flight.table()["message"].to_pylist()) == (frozen.intent, ["m0.0"])


def _job_records(one: Partition) -> list[JobCursor]:
    """What Kafka has of the job: its cut."""
    frozen = one._cuts.frozen(COPY)
    assert frozen is not None
    return [JobCursor("sorted", "id", 0, "a", "copy", 0, frozen)]


def test_a_parked_job_that_is_changed_is_cut_by_the_new_definition_and_one_that_is_gone_is_forgotten() -> None:
    one = opened()
    read(one, "a")
    one.behind.park(pair(one, COPY), FAILING)
    commit(one)
    one.configure(lambda tenant, dataset: (Outlet("a"), NEWER))
    [entry] = one.behind.parking
    assert entry.outlet.job == NEWER.job
    one.configure(lambda tenant, dataset: (Outlet("a"),))
    assert len(one.behind.parking) == 0
    assert commit(one)[1] == {"cursor": -1}


def test_a_parked_table_whose_tenant_is_gone_keeps_its_rows_from_the_dead_letters() -> None:
    one = opened()
    read(one, "b")
    one.behind.park(pair(one, Outlet("b")), FAILING)
    nobody: Callable[[str, str], tuple[Outlet, ...]] = lambda tenant, dataset: ()  # noqa: E731
    one.configure(nobody)
    one.read(1, 0, *sorted_message({"b": 1}, 1), nobody, 0.0)
    assert one.letters(Position(9)) == []
    one.behind.begin(list(one.behind.parking))
    for offset in range(2):
        scan(one, offset, "b")
    one.behind.hand_over(one.position)
    assert pair(one, Outlet("b")).rows == 2
    one.read(2, 0, *sorted_message({"b": 1}, 2), nobody, 0.0)
    assert [letter.offset for letter in one.letters(Position(9))] == [2]


def test_jobs_of_one_bucket_fail_and_mend_together_and_a_refused_one_alone() -> None:
    def to(url: str, endpoint: str = "") -> Outlet:
        return Outlet("a", "copy", Job("copy", "events", Target(url, endpoint), FileFormat.CSV))

    assert destination(to("s3://one/x")) == destination(to("s3://one/y"))
    assert destination(to("s3://one/x")) != destination(to("s3://two/x"))
    assert destination(to("s3://one/x")) != destination(to("s3://one/x", "http://other"))
    assert destination(to("file:///one")) != destination(to("file:///two"))
    assert destination(Outlet("a")) == destination(Outlet("b"))
    assert destination(Outlet("a"), refused=True) != destination(Outlet("b"), refused=True)
