"""From messages to sorted blocks: every row once, tenant by tenant, whatever has to be cut."""

from __future__ import annotations

import bisect
import json
import os
from collections import Counter

import numpy as np
import pytest

from logflume import contract
from logflume.block import Header, encode
from logflume.block.sorted import decode_sorted
from logflume.kafka.position import Position
from logflume.kafka.reader import SortedPartition
from logflume.model import load
from logflume.sort.gather import Gatherer
from logflume.sort.regroup import WHOLE_MESSAGE, Cover, Piece, Regrouper
from logflume.sort.routing import Routing
from logflume.sort.transport import Chunk
from tests.support.ingest import TOPIC_ID, chunk, ingest_block, message

EVENTS = load(contract.find())["events"]
PARTITIONS = 4


def regrouper(largest_bytes: int = 1 << 20) -> Regrouper:
    return Regrouper(EVENTS, "ingest.events", TOPIC_ID, "session", Routing("events", PARTITIONS), largest_bytes)


def covers(chunks: list[Chunk]) -> list[Cover]:
    return [Cover(each.topic_id, each.partition, each.first, each.last) for each in chunks]


def plain(count: int, partition: int = 0, start: int = 0, filler: int = 0) -> Chunk:
    """``count`` records of 5 tenants; ``filler`` random bytes (as hex) in each, which do not compress away."""
    records = []
    for number in range(start, start + count):
        body = {"message": f"{partition}/{number}", "service": os.urandom(filler).hex()}
        records.append(message(number, json.dumps(body).encode(), f"t{number % 5}".encode(), partition))
    return chunk(records)


def read(rounds: list[list[Piece]]) -> list[tuple[str, str]]:
    """(tenant, message) of every row, read as a sink would, round by round."""
    readers = {p: SortedPartition("sorted", "sid", p, Position(0)) for p in range(PARTITIONS)}
    found = []
    for pieces in rounds:
        assert len({piece.partition for piece in pieces}) == len(pieces), "at most one piece a partition in a round"
        for piece in pieces:
            reader = readers[piece.partition]
            block = reader.read(reader.position.offset, 0, piece.value, piece.headers)
            assert block is not None
            tenants = np.repeat(block.runs.tenants, block.runs.rows).tolist()
            found += list(zip(tenants, block.batch.column("message").to_pylist(), strict=True))
    return found


def test_every_row_comes_out_once_under_its_tenant() -> None:
    chunks = [plain(40), plain(30, partition=1, start=100)]
    gathered = Gatherer(EVENTS).gather(chunks)
    rounds = regrouper().regroup(gathered, covers(chunks), {})
    expected = [(f"t{n % 5}", f"0/{n}") for n in range(40)] + [(f"t{n % 5}", f"1/{n}") for n in range(100, 130)]
    assert Counter(read(rounds)) == Counter(expected)
    assert gathered.letters == []


def test_a_tenants_rows_lie_together_in_the_order_of_their_arrival() -> None:
    chunks = [plain(40)]
    for piece in regrouper().regroup(Gatherer(EVENTS).gather(chunks), covers(chunks), {})[0]:
        meta, batch = decode_sorted(piece.value, piece.headers)
        assert meta.runs.tenants == sorted(meta.runs.tenants)
        start = 0
        for rows in meta.runs.rows:
            offsets = batch.column("_src_offset").slice(start, rows).to_pylist()
            assert offsets == sorted(offsets)
            start += rows


def test_a_block_too_large_for_the_topic_is_cut_by_coordinates_and_nothing_is_lost() -> None:
    chunks = [plain(60, filler=300), plain(60, partition=1, filler=300)]
    rounds = regrouper(largest_bytes=9_000).regroup(Gatherer(EVENTS).gather(chunks), covers(chunks), {})
    assert len(rounds) > 2
    assert all(len(piece.value) <= 9_000 for pieces in rounds for piece in pieces)
    assert len(read(rounds)) == len(set(read(rounds))) == 120


def test_pieces_of_a_cut_block_name_the_end_of_the_one_before() -> None:
    chunks = [plain(60, filler=300)]
    rounds = regrouper(largest_bytes=9_000).regroup(Gatherer(EVENTS).gather(chunks), covers(chunks), {})
    ends: dict[int, tuple[int, int]] = {}
    for pieces in rounds:
        for piece in pieces:
            [source] = piece.sources
            assert source.previous == ends.get(piece.partition)
            ends[piece.partition] = source.last
    assert set(ends.values()) == {(59, WHOLE_MESSAGE)}


def test_a_row_that_alone_is_too_large_becomes_a_dead_letter_and_its_neighbours_go_on() -> None:
    big = json.dumps({"message": "big", "service": os.urandom(9_000).hex()}).encode()
    chunks = [chunk([message(0, b'{"message": "a"}'), message(1, big), message(2, b'{"message": "b"}')])]
    gathered = Gatherer(EVENTS).gather(chunks)
    rounds = regrouper(largest_bytes=8_000).regroup(gathered, covers(chunks), {})
    assert sorted(read(rounds)) == [("acme", "a"), ("acme", "b")]
    [letter] = gathered.letters
    assert (letter.reason, letter.tenant, letter.offset, letter.row) == ("too-large", "acme", 1, 0)
    assert json.loads(letter.raw)["message"] == "big"


def test_whether_a_row_is_too_large_depends_on_no_neighbour_and_on_nothing_else_of_its_unit() -> None:
    """Read again, a unit is cut otherwise: what became a dead letter before would be a row, and be there twice."""
    big = message(0, json.dumps({"message": "big", "service": os.urandom(2_000).hex()}).encode())
    other = message(1, json.dumps({"level": "INFO", "host": "h", "attributes": {"a": "b"}}).encode())
    units = [[chunk([big])], [chunk([big, other]), plain(3, partition=1), plain(3, partition=2)]]

    def is_row(unit: list[Chunk], largest: int) -> bool:
        gathered = Gatherer(EVENTS).gather(unit)
        rows = read(regrouper(largest).regroup(gathered, covers(unit), {}))
        assert (("acme", "big") in rows) == (gathered.letters == [])
        return ("acme", "big") in rows

    least = [bisect.bisect_left(range(20_000), True, key=lambda size, unit=unit: is_row(unit, size)) for unit in units]
    assert 4_000 < least[0] == least[1]


def test_what_was_read_before_is_named_as_the_previous_range() -> None:
    chunks = [plain(20, start=50)]
    previous = {(target, 0): (49, WHOLE_MESSAGE) for target in range(PARTITIONS)}
    rounds = regrouper().regroup(Gatherer(EVENTS).gather(chunks), covers(chunks), previous)
    assert {source.previous for piece in rounds[0] for source in piece.sources} == {(49, WHOLE_MESSAGE)}


def test_messages_without_a_readable_row_make_no_block() -> None:
    chunks = [chunk([message(0, b"{broken"), message(1, b"{}", key=None)])]
    gathered = Gatherer(EVENTS).gather(chunks)
    assert regrouper().regroup(gathered, covers(chunks), {}) == []
    assert [(letter.offset, letter.reason) for letter in gathered.letters] == [(0, "not-json"), (1, "no-tenant")]


def test_a_row_of_a_block_whose_tenant_has_no_possible_name_costs_only_itself() -> None:
    rows = [("acme", "a"), ("../acme", "b"), ("acme", "c")]
    value, headers = encode(ingest_block(EVENTS, rows), Header("events", "edge", 1, 1, len(rows), 100, 1, 1))
    gathered = Gatherer(EVENTS).gather([chunk([message(4, value, None, headers=headers)])])
    assert gathered.batch.column("message").to_pylist() == ["a", "c"]
    assert (gathered.offsets.tolist(), gathered.rows.tolist()) == ([4, 4], [0, 2])
    assert gathered.tenants == ["acme"]
    [letter] = gathered.letters
    assert (letter.reason, letter.offset, letter.row) == ("bad-tenant", 4, 1)
    assert json.loads(letter.raw) == {"_tenant": "../acme", "message": "b"}


def test_a_sorted_block_names_the_newest_generation_of_the_blocks_that_it_was_made_of() -> None:
    def unit(*generations: int) -> set[int]:
        records = []
        for offset, generation in enumerate(generations):
            header = Header("events", "edge", 1, 1, 1, 100, 1, 1, generation)
            value, headers = encode(ingest_block(EVENTS, [("acme", "a")]), header)
            records.append(message(offset, value, None, headers=headers))
        chunks = [chunk(records)]
        rounds = regrouper().regroup(gatherer.gather(chunks), covers(chunks), {})
        return {decode_sorted(piece.value, piece.headers)[0].generation for pieces in rounds for piece in pieces}

    gatherer = Gatherer(EVENTS)
    assert unit(3, 7, 0) == {7}
    assert unit(2, 0) == {2}
    assert unit(0) == {0}


def test_a_plain_record_arrived_when_kafka_appended_it() -> None:
    gathered = Gatherer(EVENTS).gather([chunk([message(7, b"{}")])])
    assert gathered.batch.column("_received").cast("int64").to_pylist() == [7_000_000]


@pytest.mark.parametrize("tenants", [1, 3, 70_000])
def test_ranks_hold_any_number_of_tenants(tenants: int) -> None:
    records = [message(n, b'{"message": "m"}', f"t{n}".encode()) for n in range(tenants)]
    chunks = [chunk(records)]
    assert len(read(regrouper(64 << 20).regroup(Gatherer(EVENTS).gather(chunks), covers(chunks), {}))) == tenants


def test_routing_depends_on_dataset_and_tenant_alone_and_never_changes() -> None:
    """These numbers are in use: another result would send a tenant's rows past its table's watermarks."""
    homes_of = {
        dataset: [Routing(dataset, 16).partition(tenant) for tenant in ("acme", "globex", "initech")]
        for dataset in ("events", "http_requests")
    }
    assert homes_of == {"events": [0, 0, 6], "http_requests": [3, 12, 12]}
    homes = Counter(Routing("events", 16).partition(f"tenant-{n}") for n in range(16_000))
    assert len(homes) == 16
    assert max(homes.values()) < 1.2 * 1000


def test_fields_without_a_value_are_in_no_sorted_block() -> None:
    chunks = [chunk([message(0, b'{"message":"m"}'), message(1, b'{"message":"m","level":"INFO"}')])]
    [[piece]] = regrouper().regroup(Gatherer(EVENTS).gather(chunks), covers(chunks), {})
    own = {"_received", "_extra", "_src_topic", "_src_partition", "_src_offset", "_src_row"}
    assert set(decode_sorted(piece.value, piece.headers)[1].schema.names) == own | {"message", "level"}
