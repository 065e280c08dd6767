"""K1 to K5: batches of messages as they are fetched, whatever they hold and however much they unpack to."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record import default_records, memory_records
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from logflume import contract
from logflume.model import load
from logflume.sort import batches, unpacking
from logflume.sort.batches import BoundedRecords, CountedResult, Fetched, Torn
from logflume.sort.gather import Gatherer
from logflume.sort.unpacking import Unreadable
from tests.support.ingest import chunk

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
EVENTS = load(contract.find())["events"]


def batch(count: int = 3, codec: str = "none", first: int = 0, filler: bytes = b"") -> bytes:
    """A batch of ``count`` messages from offset ``first``, as Kafka sends it."""
    builder = default_records._DefaultRecordBatchBuilderPy(2, CODECS[codec], 0, -1, -1, -1, 1 << 30)
    for number in range(count):
        builder.append(number, 1, b"acme", b'{"message":"%d"}' % (first + number) + filler, [])
    return struct.pack(">q", first) + bytes(builder.build())[8:]


def summed(data: bytes) -> bytes:
    """The batch with the checksum that it should have."""
    crc = calc_crc32c(data[21:])
    return data[:17] + struct.pack(">I", crc) + data[21:]


def fetched(data: bytes, first: int = 0) -> tuple[list[Any], int]:
    """The records that aiokafka makes of fetched bytes, and where it goes on."""
    found = PartitionRecords(TopicPartition("t", 0), BoundedRecords(data), [], first, None, None, True, READ_COMMITTED)
    return list(found), found.next_fetch_offset


def offsets(records: list[Any]) -> list[int]:
    return [record.offset for record in records]


def batch_with_header(name: bytes) -> bytes:
    """A batch of two messages, as Kafka sends it; the first has a header of that name."""
    builder = default_records._DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1_000_000)
    builder.append(0, 1, b"acme", b"{}", [("x" * len(name), b"value")])
    builder.append(1, 1, b"acme", b'{"message": "next"}', [])
    return bytes(builder.build()).replace(b"x" * len(name), name)


def read_batches(data: bytes) -> list[Any]:
    batches = BoundedRecords(data)
    found = []
    while batches.has_next():
        found += list(batches.next_batch())
    return found


def test_a_header_whose_name_is_not_utf_8_costs_nobody_anything() -> None:
    with pytest.raises(UnicodeDecodeError):
        list(memory_records.MemoryRecords(batch_with_header(b"\xff\xfe")).next_batch())
    first, second = read_batches(batch_with_header(b"\xff\xfe"))
    assert (first.offset, first.key, first.value) == (0, b"acme", b"{}")
    assert first.headers == [("\\xff\\xfe", b"value")]
    assert (second.offset, second.value) == (1, b'{"message": "next"}')


def test_batches_with_ordinary_headers_are_read_as_ever() -> None:
    first, second = read_batches(batch_with_header(b"name"))
    assert first.headers == [("name", b"value")]
    assert (second.offset, second.key) == (1, b"acme")


@pytest.mark.parametrize("codec", CODECS)
def test_k2_each_codec_is_unpacked_as_aiokafka_unpacks_it(codec: str) -> None:
    data = batch(50, codec) + batch(2, codec, first=50)
    records, end = fetched(data)
    stock = [
        record
        for each in (batch(50, codec), batch(2, codec, 50))
        for record in default_records.DefaultRecordBatch(each)
    ]
    assert [(r.offset, r.key, r.value) for r in records] == [(r.offset, r.key, r.value) for r in stock]
    assert end == 52


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_k2_k3_a_batch_that_unpacks_to_too_much_is_one_letter_and_the_next_one_is_read(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_BATCH_BYTES", 1_000_000)
    bomb = batch(3, codec, filler=bytes(400_000))
    records, end = fetched(bomb + batch(2, codec, first=3))
    assert (offsets(records), end) == ([2, 3, 4], 5)
    assert offsets(fetched(bomb, first=1)[0]) == [2]
    found = Gatherer(EVENTS).gather([chunk(records)])
    assert found.offsets.tolist() == [3, 4]
    [letter] = found.letters
    assert (letter.reason, letter.offset, letter.raw) == ("unreadable-batch", 2, bomb)
    assert letter.detail == "offsets 0 to 2: a batch that unpacks to more than 1000000 bytes"


def test_k2_a_batch_of_too_many_messages_is_one_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_BATCH_MESSAGES", 10)
    for codec in ("none", "zstd"):
        [record] = fetched(batch(11, codec))[0]
        assert isinstance(record.value, Unreadable)


@pytest.mark.parametrize("ends_as", ["aborted", "committed"])
def test_what_a_transaction_aborted_is_left_out_and_what_comes_behind_its_end_is_read(ends_as: str) -> None:
    """aiokafka looks into a control batch for the end of an aborted transaction: without it, all behind it is lost."""
    builder = default_records._DefaultRecordBatchBuilderPy(2, 0, 1, 9, 0, 0, 1 << 20)
    builder.append(0, 1, b"acme", b'{"message":"0"}', [])
    inside = bytes(builder.build())
    marker = default_records._DefaultRecordBatchBuilderPy(2, 0, 1, 9, 0, -1, 1 << 20)
    marker.append(0, 1, struct.pack(">hh", 0, ends_as == "committed"), bytes(6), [])
    end = bytearray(struct.pack(">q", 1) + bytes(marker.build())[8:])
    end[22] |= 0x20
    data = inside + summed(bytes(end)) + struct.pack(">q", 2) + inside[8:]
    aborted = [(9, 0)] if ends_as == "aborted" else []
    found = PartitionRecords(TopicPartition("t", 0), BoundedRecords(data), aborted, 0, None, None, True, READ_COMMITTED)
    assert (offsets(list(found)), found.next_fetch_offset) == ([2] if aborted else [0, 2], 3)
    # K5: without a message behind it, the transaction's end is still covered.
    place = TopicPartition("t", 0)
    ended = PartitionRecords(place, BoundedRecords(data[: -len(inside)]), [], 0, None, None, True, READ_COMMITTED)
    state = SimpleNamespace(paused=False, position=0, consumed_to=lambda offset: None)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: state)
    read = CountedResult(place, assignment=assignment, partition_records=ended, backoff=0).getall()
    assert isinstance(read, Fetched)
    assert (offsets(read), read.last) == ([0], 1)


def test_k2_what_was_fetched_at_once_is_left_when_it_has_grown_past_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "FETCH_BYTES", 100_000)
    data = b"".join(batch(1, "zstd", first=n, filler=bytes(60_000)) for n in range(5))
    records, end = fetched(data)
    assert (offsets(records), end) == ([0, 1], 2)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "zeros", "unknown"])
def test_k3_a_batch_that_cannot_be_unpacked_is_one_letter(codec: str, damage: str) -> None:
    data = bytearray(batch(40, codec))
    if damage == "cut":
        del data[-9:]
        struct.pack_into(">i", data, 8, len(data) - 12)
    elif damage == "zeros":
        data[-20:] = bytes(20)
    else:
        struct.pack_into(">h", data, 21, 7)
    broken = summed(bytes(data))
    records, end = fetched(broken + batch(1, first=40))
    assert (offsets(records), end) == ([39, 40], 41)
    assert bytes(records[0].value) == broken


def test_k3_messages_that_contradict_their_batch_are_one_letter() -> None:
    data = bytearray(batch(3))
    struct.pack_into(">i", data, 57, 5)  # five messages, it says
    [record] = fetched(summed(bytes(data)))[0]
    assert record.value.poison.detail.startswith("its messages can't be told apart")


def test_k4_a_batch_that_fails_its_checksum_ends_what_was_fetched_and_loses_nothing_before_it() -> None:
    torn = bytearray(batch(3, "zstd", first=3))
    torn[-1] ^= 1
    torn[22] |= 0x30  # says that it is a marker of a transaction; nothing of it may be believed
    records, _ = fetched(batch(3) + bytes(torn) + batch(1, first=6))
    assert offsets(records)[:3] == [0, 1, 2]
    [last] = records[3:]
    assert isinstance(last.value, Torn)
    assert b"offset 3" in last.value
