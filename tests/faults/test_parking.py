"""A destination is away: its job is parked, all others flow on, a sink dies meanwhile, and all comes once."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import Producer

from logflume.kafka import client, cursors, parked, topics
from logflume.kafka.position import Position
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.faults.test_file_jobs import PARTITION, expected, made, produce, rows, until_at_rest, want_job  # noqa: F401
from tests.support.careless_store import careless_store
from tests.support.pipeline import Pipeline
from tests.support.s3_proxy import Exchange, Held, answer, s3_proxy
from tests.support.sorted_log import sorted_message, stored
from tests.support.waiting import until
from tests.support.worker import Worker


def parked_cursors(settings: Settings) -> list[parked.ParkedCursor]:
    """Who is parked, by the cursors topic."""
    admin, codec = client.admin(settings), parked.Codec(settings)
    name = topics.cursors_topic(settings)
    homes = range(topics.present(admin, [name])[name].partitions)
    prefix = parked.prefix(settings.sink_group, topics.sorted_topic(settings, "events"), PARTITION)
    values = cursors.read_to_end(settings, admin, homes, 30)
    return [codec.decode(value) for key, value in values.items() if key.startswith(prefix)]


def position(settings: Settings) -> int:
    admin = client.admin(settings)
    of = cursors.key(settings.sink_group, topics.sorted_topic(settings, "events"), PARTITION)
    name = topics.cursors_topic(settings)
    home = cursors.home(of, topics.present(admin, [name])[name].partitions)
    value = cursors.read_to_end(settings, admin, [home], 30).get(of)
    return 0 if value is None else cursors.Codec(settings).decode(value).position.offset


@pytest.mark.usefixtures("made")
def test_a_destination_that_is_away_holds_nobody_up_and_gets_each_row_once_when_it_is_back(
    made: Settings,  # noqa: F811
    worker: StartWorker,
) -> None:
    settings = made.model_copy(update={"sink_park_seconds": 1.0})
    with careless_store() as store, s3_proxy(store) as proxy:
        proxy.on("PutObject", answer(503), times=math.inf)
        want_job(settings, proxy.endpoint, max_rows=12, max_age_seconds=1)
        produce(settings, 0, 10)
        dying = worker("sink", settings)
        until(lambda: parked_cursors(settings), 120, "the job is parked", pause=0.3)
        # The position goes on, past rows that the job lacks; the table has them.
        produce(settings, 10, 20)
        until(lambda: position(settings) == 20, 60, "the position passes the job's rows", pause=0.3)
        assert stored(settings, "acme") == expected(20)
        assert rows(store.below("/bucket/out/")) == {}
        [cursor] = parked_cursors(settings)
        assert (cursor.tenant, cursor.job, cursor.reason) == ("acme", "copy", "failing")
        assert cursor.position.offset == 0
        until(lambda: "is parked at offset 0" in dying.get("/ready")[1], 10, "it says so")
        dying.kill()
        produce(settings, 20, 30)
        sink = worker("sink", settings)
        until(lambda: position(settings) == 30, 120, "a successor leaves the job's rows out, too", pause=0.3)
        assert rows(store.below("/bucket/out/")) == {}
        proxy.heal()
        produce(settings, 30, 40)
        until_at_rest(settings, store, 40)
        until(lambda: not parked_cursors(settings), 60, "nobody is parked", pause=0.3)
        sink.wait_ready(60)
        assert "sink.handed-over" in sink.output()
        assert sink.stop() == 0
    assert rows(store.below("/bucket/out/")) == expected(40)


# --- under load -------------------------------------------------------------------------------------------------------

ROWS = {"acme": 100, "bell": 200}
"""Of a message; their numbers follow one another."""

MESSAGES_A_SECOND = 20
LATE_SECONDS = 3.0
"""What is usual is one: the flush age, and the flush. Whoever waited for the job would be late by the whole outage."""


class Load:
    """6,000 rows a second for two tenants; ``cole`` may be asked to send one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sent: list[float] = []
        """When each message was."""
        self.cole: list[int] = []
        """Which of them had a row of hers, the last of its message."""
        self.wake_cole = threading.Event()
        self._end = threading.Event()

    def run(self) -> None:
        began, topic = time.monotonic(), topics.sorted_topic(self._settings, "events")
        producer = Producer(client.producer_config(self._settings))
        while not self._end.wait(max(0.0, began + len(self.sent) / MESSAGES_A_SECOND - time.monotonic())):
            offset, tenants = len(self.sent), dict(ROWS)
            if self.wake_cole.is_set() and not self.cole:
                tenants["cole"] = 1
                self.cole.append(offset)
            value, headers = sorted_message(tenants, offset)
            producer.produce(topic, value, partition=PARTITION, headers=list(headers))
            producer.poll(0)
            self.sent.append(time.monotonic())
        assert producer.flush(30) == 0

    @contextmanager
    def running(self) -> Iterator[Load]:
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join()

    def late(self, rows: float) -> float:
        """How long the first row waits that is not among so many."""
        whole = int(rows) // sum(ROWS.values())
        return time.monotonic() - self.sent[whole] if whole < len(self.sent) else 0.0

    def expected(self, tenant: str) -> Counter[str]:
        if tenant == "cole":
            return Counter(f"m{offset}.{sum(ROWS.values())}" for offset in self.cole)
        start = 0 if tenant == "acme" else ROWS["acme"]
        numbers = range(start, start + ROWS[tenant])
        return Counter(f"m{offset}.{row}" for offset in range(len(self.sent)) for row in numbers)


class HeldFrom(Held):
    """Holds the objects of a tenant from its second on; all others pass."""

    def __init__(self, tenant: str) -> None:
        super().__init__()
        object.__setattr__(self, "tenant", tenant)
        object.__setattr__(self, "first", threading.Lock())

    tenant: str
    first: threading.Lock

    def _hold(self, exchange: Exchange) -> None:
        if f"/{self.tenant}/" in exchange.path and not self.first.acquire(blocking=False):
            super()._hold(exchange)
        else:
            exchange.reply(exchange.ask(exchange.body()))


@pytest.mark.usefixtures("made")
def test_under_load_a_sink_that_dies_while_it_catches_up_leaves_every_sum_exact_and_nobody_else_is_late(
    made: Settings,  # noqa: F811
    worker: StartWorker,
) -> None:
    brief = {
        "sink_park_seconds": 0.0,  # as soon as it fails
        "destination_timeout_seconds": 2.0,
        "sink_flush_age_seconds": 1.0,
        "sink_session_timeout_ms": 3000,
        "sink_transaction_timeout_ms": 2000,
    }
    settings, load = made.model_copy(update=brief), Load(made)
    with careless_store() as store, s3_proxy(store) as proxy:
        proxy.on("PutObject", answer(503), times=math.inf)
        want_job(settings, proxy.endpoint, max_rows=2000, max_age_seconds=1)
        acme = Path(settings.tenants_dir, "acme.yaml")
        acme.with_name("cole.yaml").write_text(acme.read_text().replace("acme", "cole"))
        dying = worker("sink", settings)
        dying.wait_ready(60)
        with load.running():
            until(lambda: "sink.parked" in dying.output(), 60, "the job is parked")
            time.sleep(2 * LATE_SECONDS)  # who waited for the job would be late by that, and by ever more
            until(lambda: not late(dying, load), 30, "tables and commits go on beside what is parked")
            left = Pipeline.gauge(dying, "logflume_sink_parked_left_seconds")
            assert 71 * 3600 < left <= 72 * 3600  # as Kafka says of the topic
            held = HeldFrom("acme")
            proxy.heal()
            proxy.on("PutObject", held, times=math.inf)
            load.wake_cole.set()  # her object tells the sink that the bucket is back
            until(held.arrived.is_set, 60, "what waited for the bucket is on its way there")
            until(lambda: not late(dying, load), 30, "tables and commits go on beside who catches up")
            [cursor] = parked_cursors(settings)
            dying.kill()
            assert 0 < cursor.position.offset < len(load.sent) / 2  # the first cut is there, and most is not
            proxy.heal()
            sink = worker("sink", settings)
            until(lambda: "sink.handed-over" in sink.output(), 60, "a successor has caught up")
        until(lambda: position(settings) == len(load.sent) and not parked_cursors(settings), 60, "all is at rest")
        assert stored(settings, "bell") == load.expected("bell")
        assert stored(settings, "acme") == load.expected("acme")
        assert stored(settings, "cole") == load.expected("cole")
        held.release()  # and what the dead one sent comes late
        until(held.done.is_set, 30, "the late object")
        assert rows(store.below("/bucket/out/acme/")) == load.expected("acme")
        assert rows(store.below("/bucket/out/cole/")) == load.expected("cole")
        assert sink.stop() == 0


def late(worker: Worker, load: Load) -> list[str]:
    """What is late: rows of tables that are not at rest, and commits."""
    waits = load.late(Pipeline.gauge(worker, "logflume_sink_rows_total"))
    age = Pipeline.gauge(worker, "logflume_sink_commit_age_seconds")
    found = {f"rows wait for {waits:.1f} s": waits, f"no commit for {age:.1f} s": age}
    return [what for what, seconds in found.items() if seconds >= LATE_SECONDS]


def test_a_record_comes_back_as_it_was() -> None:
    codec = parked.Codec(Settings())
    one = parked.ParkedCursor("t", "id", 3, "acme", "copy", "failing", 5, 7, Position(9, {("in", 1): (2, 3)}, 4))
    assert codec.decode(codec.encode(one)) == one
