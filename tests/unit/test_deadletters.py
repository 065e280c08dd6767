"""Dead letters: every byte and every coordinate survives the way through messages."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.errors import Poison
from logflume.kafka import deadletters
from logflume.kafka.deadletters import DeadLetter, Message, assemble, from_message, pack, to_messages
from logflume.kafka.deadletters.messages import PART_BYTES

LETTER = DeadLetter(
    reason="not-json",
    stage="sort",
    tenant="acme",
    dataset="events",
    raw=b"\x00not json\xff",
    detail="character 1",
    topic="logflume.ingest.events",
    topic_id="Zm9v",
    partition=3,
    offset=12345678901,
    row=0,
    key=b"\xfe\xff",
    headers=(("a", b"1"), ("a", None), ("logflume-block", b"9")),
)


def _back(letter: DeadLetter, part_bytes: int = PART_BYTES) -> list[DeadLetter]:
    return list(_assembled(to_messages(letter, part_bytes)))


def _assembled(messages: Iterable[Message]) -> Iterator[DeadLetter]:
    return assemble((message.value, message.headers) for message in messages)


optional = st.none() | st.integers(0, 2**62)
letters = st.builds(
    DeadLetter,
    reason=st.sampled_from(["not-json", "tenant"]),
    stage=st.sampled_from(["edge", "sort"]),
    tenant=st.none() | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    dataset=st.none() | st.just("events"),
    raw=st.binary(max_size=400),
    detail=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    topic=st.sampled_from(["", "t"]),
    topic_id=st.sampled_from(["", "id"]),
    partition=optional,
    offset=optional,
    row=optional,
    edge=st.sampled_from(["", "host/1"]),
    key=st.none() | st.binary(max_size=20),
    headers=st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.binary(max_size=9)), max_size=4).map(tuple),
)


@given(letters, st.integers(1, 100))
def test_any_letter_comes_back_equal_in_however_many_parts(letter: DeadLetter, part_bytes: int) -> None:
    assert _back(letter, part_bytes) == [letter]


def test_its_key_is_the_tenant_and_its_headers_can_be_read_without_decoding_it() -> None:
    (message,) = to_messages(LETTER)
    assert message.key == b"acme"
    headers = dict(message.headers)
    assert headers["reason"] == b"not-json"
    assert headers["stage"] == b"sort"
    assert (headers["topic-id"], headers["partition"], headers["offset"], headers["row"]) == (
        b"Zm9v",
        b"3",
        b"12345678901",
        b"0",
    )
    assert message.value.startswith(b"\x28\xb5\x2f\xfd")  # zstd's magic number: `zstd -d` reads it


def test_what_is_larger_than_a_message_is_split_and_all_parts_have_one_key() -> None:
    letter = replace(LETTER, raw=os.urandom(10_000), tenant=None)
    messages = to_messages(letter, 3_000)
    assert len(messages) == 4
    assert all(len(message.value) <= 3_100 for message in messages)
    assert {message.key for message in messages} == {b"logflume.ingest.events/3"}
    assert _back(letter, 3_000) == [letter]


def test_parts_that_repeat_and_mix_give_each_letter_once() -> None:
    first, second = (replace(LETTER, raw=os.urandom(1_000), row=row) for row in (1, 2))
    a, b = to_messages(first, 400), to_messages(second, 400)
    mixed = [b[0], a[2], a[0], a[0], b[2], a[1], b[1], *a, *b]
    assert list(_assembled(mixed)) == [first, second]


def test_a_letter_without_its_last_part_is_not_given() -> None:
    messages = to_messages(replace(LETTER, raw=os.urandom(1_000)), 400)[:-1]
    assert list(_assembled(messages)) == []


def test_two_letters_about_equal_bytes_at_different_places_are_two() -> None:
    assert replace(LETTER, offset=1).id != replace(LETTER, offset=2).id
    assert LETTER.id == replace(LETTER, detail="said otherwise").id


def test_a_huge_header_rides_in_a_letter_of_its_own_and_no_message_exceeds_the_topic() -> None:
    letter = replace(LETTER, raw=os.urandom(9 << 20), headers=(("x", os.urandom(5 << 20)),))
    messages = to_messages(letter)
    for message in messages:
        around = len(message.key) + sum(len(n) + len(v or b"") for n, v in message.headers)
        assert len(message.value) + around < 16 << 20
    first, second = _assembled(messages)
    assert first == replace(letter, key=None, headers=(), apart=True)
    assert letter.headers[0][1].hex().encode() in second.raw  # type: ignore[union-attr]
    assert second.detail == f"key and headers (hexadecimal) of the letter {first.id}"


@pytest.mark.parametrize("headers", [None, [], [("reason", b"x")], [("reason", None)]])
def test_a_message_that_is_no_dead_letter_is_poison(headers: list[tuple[str, bytes | None]] | None) -> None:
    with pytest.raises(Poison, match="not a dead letter"):
        from_message(b"hello", headers)


def test_torn_bytes_are_given_as_foreign_and_stop_nothing() -> None:
    (message,) = to_messages(LETTER)
    torn = message._replace(value=message.value[:-1] + b"\x00\x00")
    found, whole = _assembled([torn, message])
    assert (found.reason, found.raw) == ("foreign", torn.value)
    assert "can't be unpacked" in found.detail
    assert whole == LETTER


def test_two_lost_ranges_that_begin_at_one_offset_are_two_letters() -> None:
    """A sorter may die between its letter and its commit, and find more gone when it comes back."""
    where = ("sort", "events", "ingest", "id", 3)
    early, late = deadletters.deleted(*where, 100, 199), deadletters.deleted(*where, 100, 299)
    assert early.id != late.id
    assert early.id == deadletters.deleted(*where, 100, 199).id
    found = list(_assembled(pack([early, late])))
    assert [letter.detail for letter in found] == [early.detail, late.detail]
