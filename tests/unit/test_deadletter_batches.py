"""Many letters in one message: nothing of any is lost, and nothing that lies in the topic can hurt who reads it."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.block.wire import write_stream
from logflume.kafka.deadletters import DeadLetter, Message, assemble, pack, to_messages
from logflume.kafka.deadletters import batch as batches
from logflume.kafka.deadletters.ids import Ids
from logflume.kafka.deadletters.marker import marked, replayed
from logflume.kafka.deadletters.reading import Letters
from tests.unit.test_deadletters import LETTER, letters

ONE = replace(LETTER, key=b"acme", headers=())


def _back(messages: list[Message]) -> list[DeadLetter]:
    return list(assemble((message.value, message.headers) for message in messages))


def _many(count: int, **changes: object) -> list[DeadLetter]:
    return [replace(ONE, offset=offset, **changes) for offset in range(count)]  # type: ignore[arg-type]


@given(st.lists(letters, max_size=12, unique_by=lambda letter: letter.id))
def test_any_letters_come_back_equal_in_some_order(some: list[DeadLetter]) -> None:
    assert sorted(_back(pack(some)), key=lambda letter: letter.id) == sorted(some, key=lambda letter: letter.id)


def test_letters_of_one_cause_share_a_message_that_says_the_cause_in_its_headers() -> None:
    (message,) = pack(_many(1000))
    assert message.key == b"acme"
    headers = dict(message.headers)
    assert (headers["letters"], headers["reason"], headers["tenant"]) == (b"1000", b"not-json", b"acme")
    assert _back([message]) == _many(1000)


def test_a_lone_surrogate_in_a_detail_costs_no_letter() -> None:
    found = _back(pack([replace(ONE, offset=1, detail="\ud800"), replace(ONE, offset=2, detail="fine")]))
    assert [letter.detail for letter in found] == ["\\ud800", "fine"]


def test_no_message_is_larger_than_the_topic_takes_and_large_letters_go_alone() -> None:
    some = [replace(ONE, offset=n, raw=os.urandom(60_000)) for n in range(100)]
    some.append(replace(ONE, offset=100, raw=os.urandom(9 << 20)))
    messages = pack(some)
    assert all(len(message.value) < 9 << 20 for message in messages)
    assert len(messages) < 20
    assert sorted(letter.offset or 0 for letter in _back(messages)) == list(range(101))


def test_a_repeat_that_is_packed_otherwise_is_the_same_letter_in_the_same_partition() -> None:
    """A sorter that was killed cuts the range anew."""
    for tenant in ("acme", None):
        some = _many(10, tenant=tenant)
        messages = pack(some) + pack(some[:5]) + to_messages(some[7]) + pack(some[3:])
        assert len({message.key for message in messages}) == 1
        assert _back(messages) == some


def test_markers_and_barriers_are_no_letters() -> None:
    marker = replayed([ONE.digest, LETTER.digest])
    assert _back([marker, Message(b"", b"", [("logflume-barrier", b"1")])]) == []
    assert marked(marker.value, marker.headers) == [ONE.digest, LETTER.digest]


@given(st.binary(max_size=200), st.integers(0, 100_000))
def test_whatever_says_that_it_is_a_batch_is_given_as_foreign(value: bytes, count: int) -> None:
    headers: list[tuple[str, bytes | None]] = [("letters", b"%d" % count), ("reason", b"r"), ("stage", b"s")]
    [found] = Letters().read(value, headers, 7)
    assert (found.letter.reason, found.letter.raw) == ("foreign", value)


@given(st.data())
def test_a_batch_with_changed_bytes_gives_letters_or_is_foreign(data: st.DataObject) -> None:
    (message,) = pack(_many(20))
    at = data.draw(st.integers(0, len(message.value) - 1))
    value = bytearray(message.value)
    value[at] ^= data.draw(st.integers(1, 255))
    found = Letters().read(bytes(value), message.headers)
    assert found


def test_a_batch_that_would_unpack_to_more_than_any_letter_has_is_foreign() -> None:
    bomb = pa.RecordBatch.from_pydict({"raw": pa.array([bytes(9 << 20)], pa.binary())})
    value = write_stream(bomb, pa.Codec("zstd"))
    assert len(value) < 20_000
    [found] = Letters().read(value, [("letters", b"1"), ("reason", b"r"), ("stage", b"s")])
    assert found.letter.reason == "foreign"
    assert "more than" in found.letter.detail


def test_a_part_that_claims_more_bytes_than_a_part_has_is_foreign() -> None:
    (message,) = to_messages(ONE)
    headers = [(name, value) for name, value in message.headers if name not in ("piece", "size")]
    [found] = Letters().read(message.value, [*headers, ("piece", b"9" * 15), ("size", b"9" * 15)])
    assert found.letter.reason == "foreign"


def test_l3_letters_that_stay_half_take_bounded_memory_and_whole_ones_still_come() -> None:
    reading = Letters(most_bytes=50_000)
    for number in range(100):
        first, *_ = to_messages(replace(ONE, offset=number, raw=os.urandom(10_000)), 4_000)
        assert reading.read(first.value, first.headers) == []
        assert reading.half <= 11
    whole = replace(ONE, offset=999, raw=os.urandom(20_000))
    found = [each.letter for message in to_messages(whole, 4_000) for each in reading.read(*message[1:])]
    assert found == [whole]


def test_without_bodies_the_ids_and_sizes_are_the_same() -> None:
    some = [*_many(3), replace(ONE, offset=9, raw=os.urandom(10_000))]
    messages = pack(some[:3]) + to_messages(some[3], 3_000)
    found = [each for message in messages for each in Letters.read(LAZY, *message[1:])]
    assert [(each.digest, each.size, each.letter.raw) for each in found] == [
        (letter.digest, len(letter.raw), b"") for letter in some
    ]


LAZY = Letters(bodies=False)


@pytest.mark.parametrize("fresh", [1, 3, 1000])
def test_ids_are_found_however_many_they_are(fresh: int) -> None:
    random = np.random.default_rng(1)
    every = [random.bytes(12) for _ in range(300)] + [b"\0" * 12, b"\1" + b"\0" * 11]
    ids = Ids(fresh)
    for digest in every[::2]:
        assert ids.new([digest, digest]) == [True, False]
    assert ids.have(every) == [n % 2 == 0 for n in range(len(every))]
    assert len(ids) == len(every[::2])


def test_the_count_of_a_batch_is_a_number() -> None:
    assert batches.count([("letters", b"12")]) == 12
    assert batches.count([("reason", b"x")]) is None
