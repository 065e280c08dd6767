"""The client and its intake: E1 to E5 and I1 to I5, on a producer that the contract suite compares with Kafka's."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import KafkaError

from logflume import contract, metrics, model
from logflume.clock import ManualClock
from logflume.edge import Accepted, BadRecord, Client, NotAccepted, publisher, spooling
from logflume.errors import Fatal, Misconfigured, Poison, Refused, Unavailable
from logflume.settings import Settings
from tests.support.edge import blocks, letters, rows
from tests.support.lookup import FakeLookup
from tests.support.producer import FakeProducer
from tests.support.waiting import until

DATASETS = model.load(contract.find())
DEAD = "logflume.deadletter"
LINE = b'{"message":"0123456789"}\n'

Make = Callable[..., Client]


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def make(producer: FakeProducer) -> Iterator[Make]:
    made: list[Client] = []

    def build(on_bad: Callable[[BadRecord], None] | None = None, **overrides: Any) -> Client:
        values: dict[str, Any] = {"kafka_bootstrap": "nowhere:1", "edge_timeout_seconds": 20.0, "edge_id": "here"}
        settings = Settings(**(values | overrides))
        made.append(Client(settings, datasets=DATASETS, make_producer=producer, on_bad=on_bad))
        return made[-1]

    yield build
    producer.back()
    for client in made:
        with contextlib.suppress(Fatal):
            client.close()


def test_e2_after_flush_every_record_is_stored_once_under_its_tenant(make: Make, producer: FakeProducer) -> None:
    client = make()
    client.log("a", "events", {"message": "one", "n": 1})
    client.log("b", "events", {"message": "two"})
    client.log("a", "http_requests", {"RayID": "r1"})
    assert client.log_many("c", "events", ({"message": str(n)} for n in range(3))) == Accepted(3)
    assert client.log_ndjson("a", "events", b'{"message":"three"}\n\n{"message":"four"}') == Accepted(2)
    assert client.log_table("d", "events", pa.table({"message": ["five", "six"]})) == Accepted(2)
    client.flush()
    texts = [(tenant, record.get("message") or record["RayID"]) for tenant, record in rows(producer.log, DATASETS)]
    assert sorted(texts) == sorted(
        [("a", text) for text in ("one", "three", "four", "r1")]
        + [("b", "two"), ("c", "0"), ("c", "1"), ("c", "2"), ("d", "five"), ("d", "six")]
    )
    assert {message.topic for message in producer.log} == {"logflume.ingest.events", "logflume.ingest.http_requests"}


def test_records_of_several_tenants_share_a_block(make: Make, producer: FakeProducer) -> None:
    client = make(edge_linger_seconds=60)
    for number in range(100):
        client.log(f"t{number % 7}", "events", {"message": str(number)})
    client.flush()
    assert [header.rows for header, _ in blocks(producer.log, DATASETS)] == [100]


def test_a_block_closes_at_its_rows(make: Make, producer: FakeProducer) -> None:
    client = make(edge_block_rows=10, edge_linger_seconds=60)
    client.log_ndjson("a", "events", LINE * 7)
    client.log_ndjson("a", "events", LINE * 25)
    for _ in range(9):
        client.log("a", "events", {})
    client.flush()
    assert [header.rows for header, _ in blocks(producer.log, DATASETS)] == [10, 10, 10, 10, 1]


def test_a_block_closes_at_its_bytes_and_a_larger_record_goes_alone(make: Make, producer: FakeProducer) -> None:
    client = make(edge_block_bytes=4 * len(LINE), edge_linger_seconds=60)
    client.log_ndjson("a", "events", LINE * 6 + b'{"message":"%s"}\n' % (b"x" * 500) + LINE)
    client.flush()
    assert [header.rows for header, _ in blocks(producer.log, DATASETS)] == [4, 2, 1, 1]


def test_i1_a_block_closes_at_its_age_without_a_flush(make: Make, producer: FakeProducer) -> None:
    client = make(edge_linger_seconds=0.05)
    client.log("a", "events", {"message": "1"})
    until(lambda: producer.log, what="the block")


def test_blocks_carry_the_clients_id_its_start_and_numbers_from_one(make: Make, producer: FakeProducer) -> None:
    client = make(edge_block_rows=1)
    client.log_ndjson("a", "events", LINE * 3)
    client.flush()
    headers = [header for header, _ in blocks(producer.log, DATASETS)]
    assert [header.seq for header in headers] == [1, 2, 3]
    assert {header.edge for header in headers} == {"here"}
    assert len({header.epoch for header in headers}) == 1


def test_e2_a_flush_that_times_out_gives_nothing_up(make: Make, producer: FakeProducer) -> None:
    producer.away = True
    client = make()
    client.log("a", "events", {"message": "1"})
    with pytest.raises(Unavailable, match="are not acknowledged by Kafka"):
        client.flush(0.05)
    assert producer.log == []
    producer.back()
    client.flush()
    assert len(rows(producer.log, DATASETS)) == 1


def test_e2_close_that_times_out_leaves_the_client_open(make: Make, producer: FakeProducer) -> None:
    producer.away = True
    client = make()
    client.log("a", "events", {"message": "1"})
    with pytest.raises(Unavailable):
        client.close(0.05)
    client.log("a", "events", {"message": "2"})
    producer.back()
    client.close()
    client.close()
    assert len(rows(producer.log, DATASETS)) == 2
    with pytest.raises(Refused, match="closed"):
        client.log("a", "events", {})


def test_i4_a_flush_is_not_held_up_by_what_comes_after_it(make: Make, producer: FakeProducer) -> None:
    client = make(edge_linger_seconds=0.0)
    stop = threading.Event()

    def go_on() -> None:
        while not stop.is_set():
            client.log("b", "events", {"message": "more"})

    busy = threading.Thread(target=go_on)
    busy.start()
    try:
        client.log("a", "events", {"message": "mine"})
        client.flush(10)
        assert "a" in {tenant for tenant, _ in rows(list(producer.log), DATASETS)}
    finally:
        stop.set()
        busy.join()


def test_e3_without_room_a_record_is_refused_and_not_stored(make: Make, producer: FakeProducer) -> None:
    producer.away = True
    client = make(edge_memory_bytes=20_000, edge_linger_seconds=60)
    accepted = 0
    refused: NotAccepted | None = None
    while refused is None:
        try:
            client.log("a", "events", {"message": str(accepted), "x": os.urandom(500).hex()}, timeout=0.1)
            accepted += 1
        except NotAccepted as error:
            refused = error
    assert refused.accepted == 0
    assert "no room for" in str(refused)
    assert 10 < accepted < 200
    producer.back()
    client.flush()
    assert sorted(int(record["message"]) for _, record in rows(producer.log, DATASETS)) == list(range(accepted))


def test_e3_a_call_with_many_records_says_how_many_went_in(make: Make, producer: FakeProducer) -> None:
    producer.away = True
    client = make(edge_memory_bytes=20_000, edge_block_bytes=2_000)
    lines = [b'{"message":"%d","x":"%s"}\n' % (number, os.urandom(200).hex().encode()) for number in range(500)]
    with pytest.raises(NotAccepted) as caught:
        client.log_ndjson("a", "events", b"".join(lines), timeout=0.1)
    producer.back()
    client.log_ndjson("a", "events", b"".join(lines[caught.value.accepted :]))
    client.flush()
    assert sorted(int(record["message"]) for _, record in rows(producer.log, DATASETS)) == list(range(500))


def test_e4_memory_stays_within_the_setting_and_a_waiting_caller_goes_on_as_room_comes(
    make: Make, producer: FakeProducer
) -> None:
    client = make(edge_memory_bytes=20_000, edge_block_bytes=2_000, edge_linger_seconds=60)
    used: list[int] = []
    for number in range(300):
        client.log("a", "events", {"message": str(number), "x": os.urandom(200).hex()})
        used.append(client._intake.used)
    client.flush()
    assert max(used) <= 20_000
    assert len(rows(producer.log, DATASETS)) == 300
    assert client._intake.used == 0


def test_i1_a_caller_that_waits_for_room_closes_blocks_before_their_age(make: Make, producer: FakeProducer) -> None:
    client = make(edge_memory_bytes=2_000, edge_linger_seconds=3_600)
    for number in range(200):
        client.log("a", "events", {"message": str(number)})
    client.flush()
    assert len(rows(producer.log, DATASETS)) == 200


def test_e4_a_record_larger_than_the_whole_memory_goes_alone(make: Make, producer: FakeProducer) -> None:
    client = make(edge_memory_bytes=1_000)
    client.log("a", "events", {"message": "x" * 5_000})
    client.log("a", "events", {"message": "small"})
    client.flush()
    assert len(rows(producer.log, DATASETS)) == 2


def test_e5_bad_records_are_told_counted_and_kept_and_the_others_flow_on(make: Make, producer: FakeProducer) -> None:
    told: list[BadRecord] = []

    def on_bad(record: BadRecord) -> None:
        told.append(record)
        raise RuntimeError("the caller's own mistake")

    count = metrics.EDGE_BAD_ROWS.labels("events", "not-json")
    before = count._value.get()
    client = make(on_bad)
    client.log_ndjson("a", "events", b'{"message":"1"}\n\nbad\n{"message":"2"}\n', first_line=10)
    client.flush()
    assert [(bad.tenant, bad.reason, bad.raw, bad.line) for bad in told] == [("a", "not-json", b"bad", 12)]
    assert [letter.raw for letter in letters(producer.log, DEAD)] == [b"bad"]
    assert [record["message"] for _, record in rows(producer.log, DATASETS)] == ["1", "2"]
    assert count._value.get() == before + 1
    client.log("a", "events", {"message": "3"})
    client.flush()
    assert len(rows(producer.log, DATASETS)) == 3


def test_e2_flush_waits_for_the_dead_letters_too(
    make: Make, producer: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "AGAIN_SECONDS", 0.1)
    producer.missing.add(DEAD)
    client = make()
    client.log_ndjson("a", "events", b"bad\n")
    with pytest.raises(Unavailable, match="_UNKNOWN_TOPIC"):
        client.flush(0.3)
    producer.missing.clear()
    client.flush()
    assert [letter.raw for letter in letters(producer.log, DEAD)] == [b"bad"]


def test_e5_when_a_block_may_be_lost_or_stored_every_call_raises(make: Make, producer: FakeProducer) -> None:
    producer.failing.append(KafkaError._MSG_TIMED_OUT)
    client = make()
    client.log("a", "events", {"message": "1"})
    with pytest.raises(Fatal, match="_MSG_TIMED_OUT"):
        client.flush()
    with pytest.raises(Fatal, match="_MSG_TIMED_OUT"):
        client.log("a", "events", {"message": "2"})
    with pytest.raises(Fatal, match="_MSG_TIMED_OUT"):
        client.close()


def test_e5_a_caller_that_waits_for_room_hears_of_the_end(make: Make, producer: FakeProducer) -> None:
    producer.away = True
    producer.failing.append(KafkaError._MSG_TIMED_OUT)
    client = make(edge_memory_bytes=100)
    client.log("a", "events", {"message": os.urandom(200).hex()})
    timer = threading.Timer(0.1, producer.back)
    timer.start()
    with pytest.raises(Fatal, match="_MSG_TIMED_OUT"):
        client.log("a", "events", {"message": "2"})
    timer.join()


def test_if_one_of_many_is_poison_none_is_accepted(make: Make, producer: FakeProducer) -> None:
    client = make()
    with pytest.raises(Poison):
        client.log_many("a", "events", [{"message": "1"}, {"message": object()}])
    client.flush()
    assert producer.log == []


@pytest.mark.parametrize(("tenant", "dataset"), [("../x", "events"), ("", "events"), ("a", "nonesuch")])
def test_a_wrong_tenant_or_dataset_is_told_at_once(make: Make, tenant: str, dataset: str) -> None:
    client = make()
    for call in (
        lambda: client.log(tenant, dataset, {}),
        lambda: client.log_many(tenant, dataset, [{}]),
        lambda: client.log_ndjson(tenant, dataset, b"{}"),
        lambda: client.log_table(tenant, dataset, pa.table({"a": [1]})),
    ):
        with pytest.raises(Misconfigured):
            call()


def test_a_dataset_that_a_web_servers_log_cannot_fill_is_told_at_once(make: Make) -> None:
    with pytest.raises(Misconfigured, match="combined"):
        make().log_combined("a", "dns_logs", b"x")


def test_its_producer_retries_for_ever_and_drops_repeats(make: Make, producer: FakeProducer) -> None:
    make()
    config = producer.config
    assert config["message.timeout.ms"] == 0
    assert config["enable.idempotence"] is True
    assert config["acks"] == "all"


def test_a_copy_in_a_forks_child_refuses_every_call_and_the_parent_goes_on(make: Make, producer: FakeProducer) -> None:
    client = make()
    client.log("a", "events", {"message": "1"})
    child = os.fork()
    if child == 0:
        code = 1
        try:
            client.log("a", "events", {"message": "2"})
        except Fatal:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.log("a", "events", {"message": "3"})
    client.flush()
    assert len(rows(producer.log, DATASETS)) == 2


def test_many_threads_lose_nothing(make: Make, producer: FakeProducer) -> None:
    client = make(edge_memory_bytes=50_000, edge_block_rows=50, edge_linger_seconds=0.01)

    def work(thread: int) -> None:
        for number in range(200):
            if number % 2:
                client.log(f"t{thread}", "events", {"message": f"{thread}-{number}"})
            else:
                client.log_ndjson(f"t{thread}", "events", b'{"message":"%d-%d"}' % (thread, number))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.flush()
    found = rows(producer.log, DATASETS)
    assert len(found) == 800
    assert {(tenant, record["message"]) for tenant, record in found} == {
        (f"t{thread}", f"{thread}-{number}") for thread in range(4) for number in range(200)
    }


def test_p7_what_a_closed_client_had_in_flight_is_left_to_the_next_opener_of_its_spool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spooling, "SETTLE_SECONDS", 0.0)
    clock, first = ManualClock(), FakeProducer()
    second = FakeProducer(log=first.log)
    settings = Settings(kafka_bootstrap="nowhere:1", edge_spool_dir=str(tmp_path), edge_id="here")

    def client(producer: FakeProducer) -> Client:
        return Client(
            settings,
            datasets=DATASETS,
            clock=clock,
            make_producer=producer,
            make_lookup=lambda settings: FakeLookup(producer),
        )

    one = client(first)
    assert one.spool is not None
    spool = one.spool
    one.log("a", "events", {"message": "0"})
    one.flush()
    until(lambda: not spool.waiting, what="the first one, by way of the spool")
    first.away = True
    one.log("a", "events", {"message": "1"})
    with contextlib.suppress(Unavailable):
        one.flush(0)
    until(lambda: first._waiting, what="the second one to be in flight")
    clock.advance(publisher.AWAY_SECONDS + 1)
    until(lambda: spool.waiting, what="the spool to take it, too")
    one.close()
    with client(second) as two:
        assert two.spool is not None
        spool = two.spool
        until(lambda: not spool.waiting, what="the next client to send it")
    first.away = False
    first.poll(0)  # Kafka's client lives as long as anybody refers to it, and goes on by itself
    assert [record["message"] for _, record in rows(first.log, DATASETS)] == ["0", "1"]
    assert one.failure is None
