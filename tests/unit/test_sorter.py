"""The sorter's invariants B1 to B7, with deliveries held in hand."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from logflume import contract, metrics
from logflume.block.marker import headers as marker_headers
from logflume.block.sorted import decode_sorted
from logflume.errors import Fatal, Retryable
from logflume.kafka.deliveries import Deliveries
from logflume.kafka.identity import TopicChanged
from logflume.kafka.registry import Registered
from logflume.model import load
from logflume.sort.gather import Gatherer
from logflume.sort.regroup import Regrouper
from logflume.sort.routes import RoutesInForce
from logflume.sort.routing import Routing
from logflume.sort.schemas import Schemas
from logflume.sort.sorter import Limits, Sorter, size_of
from logflume.sort.transport import Chunk
from tests.support.generations import Generations, generation
from tests.support.ingest import TOPIC_ID, chunk, message

EVENTS = load(contract.find())["events"]


@dataclass
class FakeEvent:
    value: Chunk
    acked: bool = False

    def ack(self) -> bool:
        self.acked = True
        return True


@dataclass
class HeldDeliveries(Deliveries):
    """Deliveries whose reports come when the test says so. The contract of the real ones: tests of Deliveries."""

    sent: list[tuple[str, int | None, bytes]] = field(default_factory=list)
    reports: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    broken: Exception | None = None

    def send(self, topic: str, partition: int | None, key: Any, value: bytes | None, headers: Any = ()) -> None:
        self.sent.append((topic, partition, value or b""))

    def wait(self, timeout: float) -> None:
        if not self.reports.acquire(timeout=0.05):
            raise Retryable("no report yet")
        if self.broken:
            raise self.broken

    @property
    def failed(self) -> bool:
        return self.broken is not None


@dataclass
class Running:
    sorter: Sorter
    deliveries: HeldDeliveries
    failures: list[BaseException]

    def blocks(self) -> list[tuple[str, int | None, bytes]]:
        return [sent for sent in self.deliveries.sent if sent[0] == "sorted"]


def it_is(since: float) -> None:
    """The topic is the one it was."""


def start(
    held_bytes: int = 1 << 20,
    unit_bytes: int = 1 << 20,
    linger_seconds: float = 0.0,
    same_topic: Any = it_is,
    schemas: Schemas | None = None,
    stopping: Any = lambda: False,
    source: Any = None,
) -> Running:
    deliveries = HeldDeliveries()
    failures: list[BaseException] = []
    sorter = Sorter(
        Gatherer(EVENTS, schemas),
        Regrouper(EVENTS, "ingest.events", TOPIC_ID, "session", Routing("events", 1), 1 << 20),
        deliveries,
        sorted_topic="sorted",
        deadletter_topic="dead",
        limits=Limits(held_bytes, unit_bytes, linger_seconds, retry_seconds=0.01),
        same_topic=same_topic,
        routes=RoutesInForce("events", source or Generations(), lambda: 99, stopping),
        fail=failures.append,
        stopping=stopping,
    )
    return Running(sorter, deliveries, failures)


def event(first: int, last: int, partition: int = 0) -> FakeEvent:
    body = json.dumps({"message": "m"}).encode()
    return FakeEvent(chunk([message(offset, body, partition=partition) for offset in range(first, last + 1)]))


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def settle() -> None:
    """Let everything run that can: two report time-outs of HeldDeliveries and the threads' work."""
    await asyncio.sleep(0.15)


def scenario(play: Any, **limits: Any) -> None:
    async def main() -> None:
        running = start(**limits)
        tasks = running.sorter.start()
        try:
            await play(running)
        finally:
            running.deliveries.reports.release(1000)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())


def test_the_next_range_is_produced_only_after_the_reports_of_the_one_before() -> None:
    async def play(running: Running) -> None:
        first, second = event(0, 9), event(20, 29)
        await running.sorter.submit(first)
        await running.sorter.submit(second)
        await until(lambda: len(running.blocks()) == 1)
        await settle()
        assert len(running.blocks()) == 1
        assert not first.acked
        running.deliveries.reports.release()
        await until(lambda: len(running.blocks()) == 2)
        assert first.acked
        assert not second.acked
        running.deliveries.reports.release()
        await until(lambda: second.acked)

    scenario(play)


def test_a_failed_delivery_ends_the_process_before_anything_more_is_produced_or_committed() -> None:
    async def play(running: Running) -> None:
        first, second = event(0, 9), event(20, 29)
        running.deliveries.broken = Fatal("MSG_SIZE_TOO_LARGE")
        await running.sorter.submit(first)
        await running.sorter.submit(second)
        running.deliveries.reports.release(10)
        await until(lambda: running.failures)
        await settle()
        assert isinstance(running.failures[0], Fatal)
        assert len(running.blocks()) == 1
        assert not first.acked
        assert not second.acked

    scenario(play)


def test_a_chunk_of_poison_alone_is_acknowledged_only_when_its_dead_letters_are_safe() -> None:
    async def play(running: Running) -> None:
        poison = FakeEvent(chunk([message(0, b"{broken")]))
        await running.sorter.submit(poison)
        await until(lambda: running.deliveries.sent)
        await settle()
        assert [topic for topic, *_ in running.deliveries.sent] == ["dead"]
        assert not poison.acked
        running.deliveries.reports.release()
        await until(lambda: poison.acked)

    scenario(play)


def test_b7_nothing_is_produced_of_a_unit_before_its_dead_letters_are_safe() -> None:
    """A block that covers a letter's place, without the letter: whoever finds a row there later drops it."""

    async def play(running: Running) -> None:
        mixed = FakeEvent(chunk([message(0, b"{broken"), message(1, b'{"message":"m"}')]))
        await running.sorter.submit(mixed)
        await until(lambda: running.deliveries.sent)
        await settle()
        assert [topic for topic, *_ in running.deliveries.sent] == ["dead"]
        running.deliveries.reports.release()
        await until(running.blocks)
        await settle()
        assert not mixed.acked
        running.deliveries.reports.release()
        await until(lambda: mixed.acked)

    scenario(play)


def test_blocks_name_the_end_of_the_sessions_range_before() -> None:
    async def play(running: Running) -> None:
        running.deliveries.reports.release(10)
        for each in (event(0, 9), event(20, 29)):
            await running.sorter.submit(each)
            await until(lambda each=each: each.acked)
        metas = [decode_sorted(value, [("logflume-block", b"1"), ("rows", b"10")])[0] for *_, value in running.blocks()]
        assert [meta.sources[0].previous for meta in metas] == [None, metas[0].sources[0].last]
        assert len({meta.session for meta in metas}) == 1

    scenario(play)


def test_of_a_topic_that_was_made_again_nothing_is_produced_or_acknowledged() -> None:
    """Its messages were fetched by name: they would be sorted under the old topic's coordinates."""
    asked: list[float] = []

    def another(since: float) -> None:
        asked.append(since)
        if len(asked) == 1:
            raise Retryable("Kafka does not answer")
        raise TopicChanged("ingest.events", "it has another id now")

    async def play(running: Running) -> None:
        one = event(0, 9)
        one.value.range.since = 7.0
        await running.sorter.submit(one)
        await until(lambda: running.failures)
        assert isinstance(running.failures[0], TopicChanged)
        assert running.deliveries.sent == []
        assert not one.acked

    scenario(play, same_topic=another)
    assert asked == [7.0, 7.0]


def test_submit_waits_while_the_budget_is_held() -> None:
    async def play(running: Running) -> None:
        first, second = event(0, 9), event(10, 19)
        await running.sorter.submit(first)
        waiting = asyncio.create_task(running.sorter.submit(second))
        await settle()
        assert not waiting.done()
        running.deliveries.reports.release()
        await asyncio.wait_for(waiting, 10)
        running.deliveries.reports.release()
        await until(lambda: second.acked)

    size = size_of(event(0, 9).value)
    scenario(play, held_bytes=size + size // 2)


def test_chunks_that_come_within_the_linger_time_are_sorted_together_and_a_whole_unit_waits_no_longer() -> None:
    async def play(running: Running) -> None:
        running.deliveries.reports.release(10)
        first, second = event(0, 9), event(10, 19)
        await running.sorter.submit(first)
        await settle()
        assert running.blocks() == []
        await running.sorter.submit(second)
        await until(lambda: second.acked)
        assert len(running.blocks()) == 1

    scenario(play, linger_seconds=3600.0, unit_bytes=2 * size_of(event(0, 9).value))


@pytest.mark.parametrize("name", ["stage", "sorter", "transport"])
def test_the_stages_modules_need_no_settings_to_be_imported(name: str) -> None:
    import importlib

    importlib.import_module(f"logflume.sort.{name}")


def test_a_range_lost_to_retention_is_counted_when_its_letter_is_safe() -> None:
    async def play(running: Running) -> None:
        before = metrics.SORT_LOST.labels("ingest.events")._value.get()
        lost = event(5, 6)
        lost.value = replace(lost.value, lost=(2, 4))
        await running.sorter.submit(lost)
        running.deliveries.reports.release()
        await until(running.blocks)
        assert metrics.SORT_LOST.labels("ingest.events")._value.get() == before
        running.deliveries.reports.release()
        await until(lambda: lost.acked)
        assert metrics.SORT_LOST.labels("ingest.events")._value.get() == before + 3

    scenario(play)


class LateRegistry:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.away = True
        self.asked = 0

    def by_id(self, number: int) -> Registered:
        self.asked += 1
        if self.away:
            raise Retryable("nobody answers")
        return Registered("JSON", "{}", ())

    def by_guid(self, guid: str) -> Registered:
        return self.by_id(0)


def test_a_unit_waits_for_the_schema_registry_and_is_then_sorted_whole() -> None:
    registry = LateRegistry()

    async def play(running: Running) -> None:
        running.deliveries.reports.release(10)
        one = FakeEvent(chunk([message(0, b'{"message":"a"}'), message(1, b"\0\0\0\0\1" + b'{"message":"b"}')]))
        await running.sorter.submit(one)
        await until(lambda: registry.asked > 2)
        assert running.deliveries.sent == []
        assert not one.acked
        registry.away = False
        await until(lambda: one.acked)
        [(_, _, value)] = running.blocks()
        assert decode_sorted(value, [("logflume-block", b"1"), ("rows", b"2")])[1].num_rows == 2

    scenario(play, schemas=Schemas(EVENTS, (), registry))


def test_a_sorter_that_is_to_stop_waits_for_no_schema_registry_and_acknowledges_nothing() -> None:
    """SIGTERM while the registry is away: the process ends, and its successor reads the unit again."""
    registry, asked = LateRegistry(), threading.Event()

    async def play(running: Running) -> None:
        one = FakeEvent(chunk([message(0, b"\0\0\0\0\1{}")]))
        await running.sorter.submit(one)
        await until(lambda: registry.asked > 2)
        assert running.failures == []
        asked.set()
        await until(lambda: running.failures)
        assert isinstance(running.failures[0], Retryable)
        assert not one.acked

    scenario(play, schemas=Schemas(EVENTS, (), registry), stopping=asked.is_set)


def test_a_flood_of_empty_messages_weighs_what_their_objects_do() -> None:
    assert size_of(chunk([message(offset, b"") for offset in range(1000)])) >= 320_000


def test_b8_rows_behind_a_marker_wait_for_its_generation_and_go_by_its_routes() -> None:
    marker = message(1, b"", headers=marker_headers(7))
    source = Generations(generation(6))

    async def play(running: Running) -> None:
        told = FakeEvent(chunk([message(0, b'{"message": "m"}'), marker, message(2, b'{"message": "m"}')]))
        await running.sorter.submit(told)
        await until(lambda: source.asked > 3)
        assert running.deliveries.sent == []
        source.present = generation(8)
        await until(running.blocks)
        running.deliveries.reports.release(1)
        await until(lambda: told.acked)
        assert told.value.routing == 7, "what a commit behind it notes"
        _, batch = decode_sorted(running.blocks()[0][2], [("logflume-block", b"1"), ("rows", b"2")])
        assert batch.column("_src_offset").to_pylist() == [0, 2]

    scenario(play, source=source)


def test_b8_who_goes_on_behind_a_marker_that_another_passed_waits_as_well() -> None:
    source = Generations()

    async def play(running: Running) -> None:
        told = event(3, 4)
        told.value.routing = 7
        await running.sorter.submit(told)
        await until(lambda: source.asked > 3)
        assert running.deliveries.sent == []
        source.present = generation(7)
        await until(running.blocks)

    scenario(play, source=source)
