"""What a server hands in: I6, R1 and R2, on a producer that the contract suite compares with Kafka's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow as pa
import pytest

from logflume import contract, model
from logflume.edge import Client
from logflume.edge.lines import Lines
from logflume.edge.receipt import DETAILED, BadPlace, Piece, Receipt
from logflume.edge.tables import conformed
from logflume.errors import Fatal, LogflumeError
from logflume.settings import Settings
from tests.support.edge import blocks, letters, rows
from tests.support.producer import FakeProducer
from tests.support.waiting import until

DATASETS = model.load(contract.find())
LINE = b'{"message":"0123456789"}\n'


class Told:
    """A receipt, and what it was told."""

    def __init__(self) -> None:
        self.ends: list[LogflumeError | None] = []
        self.receipt = Receipt(self.ends.append)

    def ended(self) -> None:
        until(lambda: self.ends, 20, "the receipt has ended")


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


def client_of(producer: FakeProducer, **overrides: object) -> Client:
    values: dict[str, object] = {"kafka_bootstrap": "nowhere:1", "edge_timeout_seconds": 20.0, "edge_id": "here"}
    return Client(Settings(**(values | overrides)), datasets=DATASETS, make_producer=producer)


@pytest.fixture
def client(producer: FakeProducer) -> Iterator[Client]:
    made = client_of(producer, edge_linger_seconds=0.05, edge_block_rows=100, edge_memory_bytes=10_000)
    yield made
    producer.back()
    with contextlib.suppress(Fatal):
        made.close()


def lines(count: int) -> Lines:
    return Lines(LINE * count)


def test_r1_a_receipt_ends_once_when_all_its_blocks_are_stored(client: Client, producer: FakeProducer) -> None:
    told = Told()
    assert client.offer([Piece("a", "events", lines(250)), Piece("a", "dns_logs", Lines(b'{"x":1}\n'))], told.receipt)
    told.ended()
    stored = [header.rows for header, _ in blocks(producer.log, DATASETS)]
    assert sum(stored) == 251
    client.flush()
    assert told.ends == [None]
    assert not told.receipt.bad


def test_r1_no_receipt_ends_before_kafka_has_it(client: Client, producer: FakeProducer) -> None:
    producer.away = True
    told = Told()
    assert client.offer([Piece("a", "events", lines(120))], told.receipt)
    until(lambda: len(producer._waiting) == 2, 20, "both blocks are on their way")
    assert not told.ends
    producer.back()
    told.ended()


def test_small_pieces_of_several_tenants_become_one_block(producer: FakeProducer) -> None:
    client = client_of(producer, edge_linger_seconds=60.0)
    every = [Told() for _ in range(40)]
    for number, told in enumerate(every):
        text = Lines(b'{"message":"%d"}\n' % number)
        assert client.offer([Piece(f"t{number % 3}", "events", text)], told.receipt)
    client.close()
    assert [header.rows for header, _ in blocks(producer.log, DATASETS)] == [40]
    assert {(tenant, record["message"]) for tenant, record in rows(producer.log, DATASETS)} == {
        (f"t{number % 3}", str(number)) for number in range(40)
    }
    assert all(told.ends == [None] for told in every)


def test_r2_bad_records_are_named_with_their_numbers_to_their_own_receipt(
    client: Client, producer: FakeProducer
) -> None:
    one, two = Told(), Told()
    assert client.offer([Piece("a", "events", Lines(b'{"message":"x"}\n\nnonsense\n[]\n'))], one.receipt)
    assert client.offer([Piece("b", "events", Lines(b'1\n{"message":"y"}\n'))], two.receipt)
    one.ended()
    two.ended()
    assert [(bad.number, bad.reason) for bad in one.receipt.bad] == [(3, "not-json"), (4, "not-object")]
    assert [(bad.number, bad.reason) for bad in two.receipt.bad] == [(1, "not-object")]
    assert [letter.raw for letter in letters(producer.log, "logflume.deadletter")] == [b"nonsense", b"[]", b"1"]


def test_details_of_a_body_that_is_all_bad_are_bounded() -> None:
    receipt = Receipt(lambda failure: None)
    for number in range(DETAILED + 1):
        receipt.note(number, "not-json", "why")
    assert receipt.bad[-2:] == [BadPlace(DETAILED - 1, "not-json", "why"), BadPlace(DETAILED, "not-json", "")]


def test_i6_without_room_nothing_of_an_offer_is_taken(client: Client, producer: FakeProducer) -> None:
    producer.away = True
    first, second = Told(), Told()
    assert client.offer([Piece("a", "events", lines(200))], first.receipt)
    assert not client.offer([Piece("a", "events", lines(1)), Piece("a", "events", lines(390))], second.receipt)
    producer.back()
    client.flush()
    assert len(rows(producer.log, DATASETS)) == 200
    assert first.ends == [None]
    assert not second.ends


def test_i6_an_offer_larger_than_the_memory_goes_alone(client: Client, producer: FakeProducer) -> None:
    told = Told()
    assert client.offer([Piece("a", "events", lines(1000))], told.receipt)
    told.ended()
    assert len(rows(producer.log, DATASETS)) == 1000


def test_an_offer_without_records_ends_at_once(client: Client) -> None:
    told = Told()
    assert client.offer([Piece("a", "events", Lines(b"\n \n"))], told.receipt)
    assert told.ends == [None]


def test_i6_a_failure_is_told_to_every_receipt_once_those_of_open_buffers_too(producer: FakeProducer) -> None:
    client = client_of(producer, edge_linger_seconds=60.0, edge_block_rows=10)
    producer.away = True
    cut, waiting = Told(), Told()
    assert client.offer([Piece("a", "events", lines(10))], cut.receipt)
    assert client.offer([Piece("a", "events", lines(3))], waiting.receipt)
    client._on_failed(Fatal("first"))
    client._on_failed(Fatal("second"))
    assert [str(end) for end in cut.ends + waiting.ends] == ["first", "first"]
    with pytest.raises(Fatal, match="first"):
        client.offer([Piece("a", "events", lines(1))], Told().receipt)


def test_rows_of_an_offered_table_are_numbered_from_one(client: Client, producer: FakeProducer) -> None:
    told = Told()
    table = conformed(pa.table({"message": ["one", "two", "three"]}), DATASETS["events"])
    assert client.offer([Piece("a", "events", table)], told.receipt)
    told.ended()
    assert [record["message"] for _, record in rows(producer.log, DATASETS)] == ["one", "two", "three"]
