"""The sink's small rules: budget, progress, where a partition starts, what is flushed first."""

from __future__ import annotations

import itertools
import json
import random
from dataclasses import replace

import pyarrow as pa
import pytest

from logflume.block.schema import sorted_schema
from logflume.block.sorted import decode_sorted
from logflume.errors import Hole, Refused, Retryable
from logflume.kafka.cursors import Cursor
from logflume.kafka.intents import Intent, JobCursor
from logflume.kafka.position import Position
from logflume.kafka.reader import SortedPartition
from logflume.model import FileFormat, Job, Outlet, Target
from logflume.sink import columns, unwanted
from logflume.sink.budget import Budget
from logflume.sink.held import Run
from logflume.sink.partition import Partition
from logflume.sink.pausing import again_after, overburdened
from logflume.sink.placing import Found, Start, Stop, place
from logflume.sink.progress import Progress
from logflume.sink.schedule import Limits, Schedule, largest
from tests.support.sorted_log import EVENTS, sorted_message

SCHEMA = sorted_schema(EVENTS)


def partition(start: Start | None = None, budget: Budget | None = None) -> Partition:
    return Partition("sorted", "id", 0, EVENTS, SCHEMA, start or Start(Position(0)), budget or Budget(1 << 30))


def to_table(tenant: str, dataset: str) -> tuple[Outlet, ...]:
    return (Outlet(tenant),)


def read(into: Partition, tenants: dict[str, int], now: float = 0.0, wanted: str = "abcdefg") -> list[str]:
    offset = into.position.offset
    value, headers = sorted_message(tenants, offset)
    _, pairs = into.read(offset, 0, value, headers, lambda t, _: (Outlet(t),) if t in wanted else (), now)
    return [pair.tenant for pair in pairs]


# --- budget -----------------------------------------------------------------------------------------------------------


def test_reading_stops_at_the_limit_and_goes_on_below_the_lower_mark() -> None:
    budget = Budget(100)
    budget.charge(99)
    assert not budget.full
    budget.charge(1)
    assert budget.full
    budget.free(20)
    assert budget.full
    budget.free(1)
    assert not budget.full


def test_more_than_was_charged_cannot_be_given_back() -> None:
    budget = Budget(100)
    budget.charge(1)
    with pytest.raises(ValueError, match="given back"):
        budget.free(2)


# --- progress ---------------------------------------------------------------------------------------------------------


def test_the_commit_goes_up_to_the_first_offset_that_is_not_durable() -> None:
    progress = Progress(Position(0))
    for offset in (1, 2, 3):
        progress.read(Position(offset), 10, float(offset))
    assert progress.committable(0) == Position(0)
    assert progress.committable(2) == Position(2)
    assert progress.committable(None) == Position(3)
    progress.commit(Position(2))
    assert (progress.behind_bytes, progress.oldest) == (10, 3.0)
    with pytest.raises(ValueError, match="go back"):
        progress.commit(Position(1))


# --- a partition ------------------------------------------------------------------------------------------------------


def test_a_dead_letter_goes_out_with_the_commit_that_passes_it_and_with_no_other() -> None:
    one = partition()
    read(one, {"a": 1})
    read(one, {"nobody": 2})
    first = one.committable()
    assert first == Position(0)
    assert one.letters(first) == []
    one.commit(first)
    [pair] = one.buffers
    one.buffers.take(pair, 2)
    one.buffers.landed(pair)
    position = one.committable()
    assert position is not None
    assert [letter.offset for letter in one.letters(position)] == [1]
    one.commit(position)
    read(one, {"nobody": 1})
    later = one.committable()
    assert later is not None
    assert [letter.offset for letter in one.letters(later)] == [2]


def test_an_unwanted_run_becomes_one_dead_letter_with_all_its_rows() -> None:
    one = partition()
    read(one, {"a": 1, "nobody": 2})
    position = Position(1)
    [letter] = one.letters(position)
    [message] = letter.messages
    fields = dict(message.headers)
    assert (message.key, fields["reason"], fields["stage"], fields["row"]) == (b"nobody", b"unwanted", b"sink", b"1")
    raw = pa.decompress(message.value, int(fields["size"]), codec="zstd", asbytes=True)
    assert raw.count(b"\n") == 2
    assert b'"m0.1"' in raw
    assert b'"m0.2"' in raw


def test_an_unwanted_row_is_kept_to_the_last_digit_and_half_character() -> None:
    odd = r'{"big":123456789012345678901234567890,"half":"\ud800"}'
    batch = decode_sorted(*sorted_message({"nobody": 1}, 0))[1]
    names, columns = batch.schema.names, batch.columns
    columns[names.index("_extra")] = pa.array([odd])
    columns[names.index("time")] = pa.nulls(1, SCHEMA.field("time").type)
    block = SortedPartition("sorted", "id", 0, Position(0)).read(0, 0, *sorted_message({"nobody": 1}, 0))
    assert block is not None
    block = replace(block, batch=pa.RecordBatch.from_arrays(columns, schema=batch.schema))
    raw = unwanted.letter(block, Run("nobody", 0, 1)).raw
    assert json.loads(raw) == {"message": "m0.0"} | json.loads(odd)


def test_letters_count_in_the_budget_until_they_are_committed() -> None:
    budget = Budget(1 << 30)
    one = partition(budget=budget)
    read(one, {"nobody": 2})
    assert budget.used > 0
    position = one.committable()
    assert position is not None
    one.commit(position)
    assert budget.used == 0


def test_what_retention_took_is_recorded_with_its_exact_offsets() -> None:
    one = partition(Start(Position(0).lost_until(7), lost=(0, 7)))
    position = one.committable()
    assert position is not None
    assert position.offset == 7
    [letter] = one.letters(position)
    fields = dict(letter.messages[0].headers)
    assert fields["reason"] == b"retention"
    assert fields["offset"] == b"0"
    assert b"offsets 0 to 6 of sorted[0]" in (fields["detail"] or b"")


def test_a_stored_start_is_not_stored_again_and_a_fresh_one_is() -> None:
    assert partition(Start(Position(4), stored=True)).committable() is None
    assert partition(Start(Position(0))).committable() == Position(0)


def test_a_hole_leaves_everything_as_it_was() -> None:
    one = partition()
    read(one, {"a": 1})
    value, headers = sorted_message({"a": 1}, 9, previous=(8, 0))
    with pytest.raises(Hole):
        one.read(1, 0, value, headers, to_table, 0.0)
    assert one.position.offset == 1
    assert one.buffers.held == 0


def test_a_block_of_a_newer_contract_is_not_passed_and_no_flight_claims_it() -> None:
    older = SCHEMA.remove(SCHEMA.get_field_index("level"))  # this worker's contract
    one = Partition("sorted", "id", 0, EVENTS, older, Start(Position(0)), Budget(1 << 30))
    read(one, {"a": 1})
    value, headers = sorted_message({"a": 1}, 1, level="INFO")
    with pytest.raises(Refused, match="lacks the block's columns level"):
        one.read(1, 0, value, headers, to_table, 0.0)
    assert one.position == one.progress.committable(None)
    [pair] = one.buffers
    assert one.buffers.take(pair, one.position.offset).upto == 1


def test_a_message_of_repeats_moves_the_position_and_nothing_else() -> None:
    one = partition()
    read(one, {"nobody": 1})
    value, headers = sorted_message({"nobody": 1}, 0)
    block, pairs = one.read(1, 0, value, headers, to_table, 0.0)
    assert (block, pairs) == (None, [])
    assert one.progress.committable(one.buffers.held).offset == 2


# --- columns ----------------------------------------------------------------------------------------------------------


def test_blocks_with_different_fields_lie_together_and_what_one_lacks_is_null() -> None:
    one, other = pa.record_batch({"a": [1, 2]}), pa.record_batch({"new": ["x"], "a": [3]})
    found = pa.Table.from_batches(columns.alike([one, other, one]))
    assert found.to_pydict() == {"a": [1, 2, 3, 1, 2], "new": [None, None, "x", None, None]}
    assert columns.alike([one, one])[1] is one


def test_a_block_of_a_newer_contract_is_refused() -> None:
    columns.check(pa.record_batch({"a": [1]}), {"a": pa.int64(), "b": pa.int64()}, "here")
    with pytest.raises(Refused, match="lacks the block's columns b"):
        columns.check(pa.record_batch({"a": [1], "b": [2]}), {"a": pa.int64()}, "here")


# --- where a partition starts -----------------------------------------------------------------------------------------

STORED = Cursor("sorted", "id", 0, Position(5, {("in", 0): (3, 4)}), 1)


def found(**facts: object) -> Found:
    common: dict[str, object] = {
        "topic": "sorted",
        "partition": 0,
        "topic_id": "id",
        "partitions": 4,
        "declared_partitions": 4,
        "start": 0,
        "end": 10,
        "stored": STORED,
        "committed": None,
        "generation": 1,
    }
    return Found(**(common | facts))  # type: ignore[arg-type]


def test_reading_starts_at_the_stored_position() -> None:
    assert place(found()) == Start(STORED.position, stored=True)


def test_a_new_group_starts_at_the_beginning_of_the_log() -> None:
    assert place(found(stored=None)) == Start(Position(0))
    assert place(found(stored=None, start=3)) == Start(Position(0).lost_until(3), lost=(0, 3))


def test_a_position_below_the_log_loses_exactly_what_is_between() -> None:
    start = place(found(start=8))
    assert isinstance(start, Start)
    assert start.lost == (5, 8)
    assert (start.position.offset, start.position.floor, start.stored) == (8, 8, False)
    assert start.position.watermarks == STORED.position.watermarks


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"topic_id": "other"}, "topic-changed"),
        ({"end": 4}, "beyond-end"),
        ({"partitions": 5}, "partition-count"),
        ({"generation": 0}, "old-configuration"),
        ({"stored": None, "committed": 5}, "position-lost"),
    ],
)
def test_what_cannot_be_trusted_stops_the_partition(facts: dict[str, object], reason: str) -> None:
    stop = place(found(**facts))
    assert isinstance(stop, Stop)
    assert stop.reason == reason


def test_a_topic_made_again_on_purpose_starts_at_its_beginning_and_keeps_the_watermarks() -> None:
    start = place(found(topic_id="other", adopted=True, end=2))
    assert isinstance(start, Start)
    assert start.position.offset == 0
    assert start.position.watermarks == STORED.position.watermarks
    assert start.position.may_have_lost(("in", 0))


# --- what is flushed first --------------------------------------------------------------------------------------------


def due(schedule: Schedule, now: float) -> list[tuple[str, str]]:
    return [(due.pair.tenant, due.cause) for due in schedule.due(now)]


def scheduled(*reads: tuple[float, dict[str, int]], limits: Limits) -> tuple[Schedule, Partition]:
    schedule, one = Schedule(limits), partition()
    for now, tenants in reads:
        offset = one.position.offset
        value, headers = sorted_message(tenants, offset)
        _, pairs = one.read(offset, 0, value, headers, to_table, now)
        schedule.added(one, pairs)
    return schedule, one


def test_rows_past_their_age_go_before_larger_ones() -> None:
    limits = Limits(age_seconds=5, rows=10, bytes=1 << 30)
    schedule, _ = scheduled((0.0, {"b": 1}), (1.0, {"a": 1}), (2.0, {"big": 10}), limits=limits)
    assert due(schedule, 4.9) == [("big", "rows")]
    schedule, _ = scheduled((0.0, {"b": 1}), (1.0, {"a": 1}), (2.0, {"big": 10}), limits=limits)
    assert due(schedule, 6.5) == [("b", "age"), ("a", "age"), ("big", "rows")]


def test_bytes_make_a_flush_too() -> None:
    schedule, _ = scheduled((0.0, {"a": 1}), limits=Limits(age_seconds=5, rows=10, bytes=1))
    assert due(schedule, 0.0) == [("a", "bytes")]


def test_what_was_not_taken_stays_due() -> None:
    schedule, one = scheduled((0.0, {"a": 1, "b": 1}), limits=Limits(1, 10, 1 << 30))
    first = next(iter(schedule.due(2.0)))
    one.buffers.take(first.pair, 1)
    assert due(schedule, 2.0) == [("b", "age")]
    assert due(schedule, 2.0) == []


def test_a_failed_pair_comes_again_when_its_time_has_come() -> None:
    schedule, one = scheduled((0.0, {"a": 1}), limits=Limits(1, 10, 1 << 30))
    [only] = schedule.due(2.0)
    one.buffers.take(only.pair, 1)
    one.buffers.failed(only.pair, 4.0, "away")
    schedule.ripen(one, only.pair, "age")
    assert due(schedule, 3.9) == []
    assert due(schedule, 4.0) == [("a", "age")]


def test_rows_that_come_while_a_flight_is_under_way_wait_for_its_end() -> None:
    schedule, one = scheduled((0.0, {"a": 1}), limits=Limits(1, 10, 1 << 30))
    [only] = schedule.due(1.0)
    one.buffers.take(only.pair, 1)
    value, headers = sorted_message({"a": 1}, 1)
    _, pairs = one.read(1, 0, value, headers, to_table, 1.5)
    schedule.added(one, pairs)
    assert due(schedule, 3.0) == []
    one.buffers.landed(only.pair)
    schedule.landed(one, only.pair, 3.0)
    assert due(schedule, 3.0) == [("a", "age")]


def test_a_closed_partition_is_flushed_no_more() -> None:
    schedule, one = scheduled((0.0, {"a": 1}), limits=Limits(1, 10, 1 << 30))
    one.close()
    assert due(schedule, 9.0) == []


def test_when_memory_presses_the_largest_go_first() -> None:
    _, one = scheduled((0.0, {"a": 1, "b": 3, "c": 2}), limits=Limits(9, 99, 1 << 30))
    b, c, a = sorted(one.buffers, key=lambda pair: -pair.bytes)
    assert [each.pair.tenant for each in largest([one], 0.0, 1 << 30)] == ["b", "c", "a"]
    assert [each.pair for each in largest([one], 0.0, b.bytes + 1)] == [b, c]
    flight = one.buffers.take(b, 1)
    assert [each.pair for each in largest([one], 0.0, flight.bytes + 1)] == [c]
    assert [each.pair for each in largest([one], 0.0, flight.bytes)] == []
    one.buffers.failed(b, 9.0, "away")
    assert [each.pair for each in largest([one], 0.0, 1 << 30)] == [c, a]


def test_the_same_row_order_comes_from_the_same_log_whatever_was_flushed_between() -> None:
    one, other = partition(), partition()
    for _ in range(30):
        read(one, {"a": 2, "b": 1})
        read(other, {"a": 2, "b": 1})
        for pair in itertools.islice([p for p in other.buffers if p.segments], 1):
            other.buffers.take(pair, other.position.offset)
            other.buffers.failed(pair, 0.0, "")
    for pair, same in zip(one.buffers, other.buffers, strict=True):
        mine = one.buffers.take(pair, 30).table()["message"].to_pylist()
        assert mine == other.buffers.take(same, 30).table()["message"].to_pylist()


# --- pausing ----------------------------------------------------------------------------------------------------------


def fail(one: Partition) -> None:
    [pair] = one.buffers
    one.buffers.take(pair, one.position.offset)
    one.buffers.failed(pair, 0.0, "away")


def test_full_memory_pauses_every_partition() -> None:
    budget = Budget(1)
    one, other = partition(budget=budget), partition(budget=budget)
    read(one, {"a": 1})
    assert overburdened([one, other], budget, 1 << 30) == {one, other}


def test_when_memory_presses_only_who_has_read_most_and_not_stored_it_pauses_until_it_is_relieved() -> None:
    budget = Budget(1 << 30)
    whale, *others = (partition(budget=budget) for _ in range(4))
    for each in (whale, whale, whale, *others):
        read(each, {"a": 50})
    partitions = [whale, *others]
    assert overburdened(partitions, budget, 1 << 30) == set()
    rest = int(0.75 * budget.limit_bytes) - budget.used
    budget.charge(rest)
    assert overburdened(partitions, budget, 1 << 30) == {whale}
    budget.free(int(0.14 * budget.limit_bytes))
    assert overburdened(partitions, budget, 1 << 30) == {whale}
    budget.free(int(0.02 * budget.limit_bytes))
    assert overburdened(partitions, budget, 1 << 30) == set()


def test_when_memory_presses_and_nobody_has_more_than_others_all_are_read_on() -> None:
    budget = Budget(1 << 30)
    partitions = [partition(budget=budget) for _ in range(3)]
    for each in partitions:
        read(each, {"a": 50})
    budget.charge(int(0.8 * budget.limit_bytes))
    assert overburdened(partitions, budget, 1 << 30) == set()


def test_of_full_memory_the_rows_of_a_stored_cut_are_read_on_to_its_end() -> None:
    budget = Budget(1)

    def gathering(end: int) -> Partition:
        job = Job("copy", "events", Target("file:///nowhere"), FileFormat.CSV)
        cursor = JobCursor("sorted", "id", 0, "a", "copy", 0, Intent(0, end, "x", job))
        start = Start(Position(0), jobs=(cursor,))
        made = Partition("sorted", "id", 0, EVENTS, SCHEMA, start, budget, {("a", "copy")})
        made.read(0, 0, *sorted_message({"a": 1}, 0), lambda tenant, _: (Outlet(tenant, "copy", job),), 0.0)
        return made

    near, far, whole, other = gathering(3), gathering(5), gathering(1), partition(budget=budget)
    assert overburdened([near, far, whole, other], budget, 1 << 30) == {far, whole, other}
    near.stopped = True
    assert overburdened([near, far, whole, other], budget, 1 << 30) == {near, whole, other}
    assert overburdened([near, whole, other], budget, 1 << 30) == {near, whole, other}


def test_tenants_that_cannot_be_stored_pause_their_partition_before_they_fill_the_memory() -> None:
    budget = Budget(1 << 20)
    one, other = partition(budget=budget), partition(budget=budget)
    read(one, {"a": 1})
    read(other, {"b": 1})
    fail(one)
    assert overburdened([one, other], budget, 1 << 30) == set()
    while one.buffers.failing_bytes <= budget.limit_bytes / 4:
        read(one, {"a": 100})
    assert not budget.full
    assert overburdened([one, other], budget, 1 << 30) == {one}


def test_too_many_bytes_behind_the_commit_pause_whoever_cannot_be_stored() -> None:
    budget = Budget(1 << 30)
    one, other = partition(budget=budget), partition(budget=budget)
    read(one, {"a": 1})
    read(other, {"b": 1})
    assert overburdened([one, other], budget, 1) == set()
    fail(one)
    assert overburdened([one, other], budget, 1) == {one}


def test_the_store_is_tried_again_ever_later_and_a_refusal_rarely() -> None:
    pauses = [again_after(Retryable("away"), failures, random.Random(1)) for failures in (0, 3, 50)]
    assert pauses == sorted(pauses)
    assert pauses[0] <= 0.5
    assert pauses[-1] <= 30
    assert again_after(Refused("no"), 0, random.Random(1)) >= 30
