"""The Faust app of the sort stage, put together: an agent a dataset, and everything that Faust's defaults would lose.

See docs/sort.md for the table of Faust's defaults that lose data and what stops each.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
import uuid
from functools import partial
from typing import Any

import faust
import structlog
from confluent_kafka import Producer

from logflume import contract, health, memory, metrics, traces
from logflume.clock import SystemClock
from logflume.config import Origin, Source, State, manifest
from logflume.config.follow import Follower
from logflume.errors import Fatal, Misconfigured, Refused, Retryable, Unconfigured
from logflume.kafka import client, cursors, rights, topics
from logflume.kafka.deliveries import Deliveries
from logflume.kafka.identity import SameTopics
from logflume.kafka.named import instance_id
from logflume.kafka.registry import connect
from logflume.kafka.renewal import Renewal
from logflume.model import Configuration, Dataset, Datasets, load
from logflume.settings import Settings
from logflume.sort import credentials, telling
from logflume.sort.gather import Gatherer
from logflume.sort.policing import Policing
from logflume.sort.regroup import Regrouper
from logflume.sort.routes import RoutesInForce
from logflume.sort.routing import Routing
from logflume.sort.schemas import Schemas, of_contract
from logflume.sort.sorter import Limits, Sorter
from logflume.sort.transport import Consumer

log = structlog.get_logger(__name__)

EXIT_FAILED = 70
"""Exit code of a worker that could not keep its promises and ended itself; its successor reads the range again."""

_VALUE_SHARE = 0.95
"""Of a topic's ``max.message.bytes``; the rest is for headers and framing."""

_REQUEST_SECONDS = 90.0
_CONFIG_SECONDS = 30.0
_CHUNK_BYTES = 4 << 20
_CHUNKS_BUFFERED = 8
_LATE_SECONDS = 15.0  # after its time a request is over, but for a client that is lost
_CHECK_SECONDS = 5.0
_COMMIT_SECONDS = 1.0


class _Chunks(faust.Schema[Any, Any]):
    """Hands an agent the chunk as it is. Decoding here would acknowledge what can't be read before anyone saw it."""

    def loads_key(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> None:
        return None

    def loads_value(self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None) -> Any:
        return message.value


def build(settings: Settings, datasets: Datasets | None = None, source: Source | None = None) -> App:
    """Return the app that sorts every dataset of the contract. ``source``: whom it asks for routes; None: as it is set.

    Raises:
        Misconfigured: a setting or a topic is missing.
    """
    memory.setup()
    traces.setup(settings, "sort")
    renewal = Renewal(settings)
    rights.require(settings, "sort")
    datasets = datasets or load(contract.find(settings.topics_dir))
    app = App(
        settings.sort_group,
        broker=[f"logflume://{host}" for host in settings.require("kafka_bootstrap").split(",")],
        broker_credentials=credentials.of(settings),
        store="memory://",
        datadir=_empty_folder(),
        web_enabled=False,
        processing_guarantee="at_least_once",
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        consumer_auto_offset_reset="none",
        consumer_max_fetch_size=_CHUNK_BYTES,
        stream_buffer_maxsize=_CHUNKS_BUFFERED,
        stream_wait_empty=True,
        broker_commit_interval=_COMMIT_SECONDS,
        broker_session_timeout=settings.sort_session_timeout_seconds,
        consumer_group_instance_id=instance_id(settings, "ingest.<dataset>"),
        broker_heartbeat_interval=min(3.0, settings.sort_session_timeout_seconds / 3),
        broker_request_timeout=max(_REQUEST_SECONDS, settings.sort_session_timeout_seconds),
        broker_max_poll_interval=settings.sort_session_timeout_seconds * 10,
    )
    if source is None:
        source = _Unrouted() if settings.tenants_dir else Follower(settings, SystemClock())
    Stage(app, settings, datasets, source, renewal)
    return app


class _Unrouted:
    """The source of a worker that is configured by files. They have no routes, and it needs nothing else of them."""

    def current(self) -> Configuration:
        """Raise ``Unconfigured``: rows before the first marker of routing need no configuration."""
        raise Unconfigured("this worker is configured by the files of tenants_dir, and follows no configuration")

    def state(self) -> State:
        """There is none."""
        return State(origin=Origin.FILES)


def _empty_folder() -> str:
    """Faust wants a folder for tables; there are none, so it stays empty and goes with the process."""
    folder = tempfile.mkdtemp(prefix="logflume-faust-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class App(faust.App):
    """A Faust app that knows its stage; ``sort.transport`` asks it for the topics before it reads any."""

    stage: Stage


class Stage:
    """Sorters, agents and health, tied together over the life of the app."""

    def __init__(self, app: App, settings: Settings, datasets: Datasets, source: Source, renewal: Renewal) -> None:
        app.stage = self
        self._app = app
        self._settings = settings
        self._datasets = datasets
        self._source = source
        self._policing = Policing(settings, source.current, SystemClock())
        self._renewal = renewal
        self._following = False
        self._session = uuid.uuid4().hex
        self._sorters: dict[str, Sorter] = {}
        self._ids: dict[str, str] = {}
        self._admin = client.lasting_admin(settings)
        self._same = SameTopics(self._admin, SystemClock())
        self._working: list[asyncio.Task[None]] = []
        self._turned = time.monotonic()
        for dataset in datasets.values():
            self._add_agent(dataset)
        app.task(self._watch)

    def _add_agent(self, dataset: Dataset) -> None:
        topic = self._app.topic(topics.ingest_topic(self._settings, dataset.name), schema=_Chunks())

        async def sort(stream: Any) -> None:
            # noack: a chunk is acknowledged by its sorter, when it is safe; the agent takes the next one before that.
            async for event in stream.noack().events():
                await self._sorters[dataset.name].submit(event)

        self._app.agent(topic, name=f"sort-{dataset.name}")(sort)

    async def prepare(self) -> dict[str, str]:
        """Learn the topics' ids and partition counts, make the sorters, and return the ids of the ingest topics."""
        if not self._ids:
            self._follow()
            names = self._ingest_topics()
            self._ids = await asyncio.to_thread(topics.topic_ids, self._admin, names)
            counts = await asyncio.to_thread(self._sorted_partitions)
            for dataset in self._datasets.values():
                self._sorters[dataset.name] = sorter = self._sorter(dataset, counts[dataset.name])
                self._working += sorter.start()
            log.info("sorting", session=self._session, datasets=list(self._datasets))
        return self._ids

    def _follow(self) -> None:
        if isinstance(self._source, Follower) and not self._following:
            self._following = True
            self._source.start()

    def _ingest_topics(self) -> list[str]:
        return [topics.ingest_topic(self._settings, name) for name in self._datasets]

    def _sorted_partitions(self) -> dict[str, int]:
        """Return each sorted topic's partition count, which must be the declared one: routing depends on it."""
        counts = {}
        declared = {topic.name: topic.partitions for topic in topics.declared(self._settings)}
        names = {dataset: topics.sorted_topic(self._settings, dataset) for dataset in self._datasets}
        actual = topics.partitions(self._admin, list(names.values()))
        for dataset, name in names.items():
            if actual[name] != declared[name]:
                raise Misconfigured(
                    f"topic {name} has {actual[name]} partitions and {declared[name]} are declared: rows would be "
                    f"routed otherwise than before; `logflume topics diff` says how to move"
                )
            counts[dataset] = actual[name]
        return counts

    def _sorter(self, dataset: Dataset, partitions: int) -> Sorter:
        topic = topics.ingest_topic(self._settings, dataset.name)
        regrouper = Regrouper(
            dataset=dataset,
            topic=topic,
            topic_id=self._ids[topic],
            session=self._session,
            routing=Routing(dataset.name, partitions),
            largest_bytes=int(self._largest_message(topics.sorted_topic(self._settings, dataset.name)) * _VALUE_SHARE),
        )
        return Sorter(
            Gatherer(dataset, self._schemas(dataset), self._policing),
            regrouper,
            Deliveries(Producer(client.producer_config(self._settings, client_id=f"{self._settings.sort_group}"))),
            sorted_topic=topics.sorted_topic(self._settings, dataset.name),
            deadletter_topic=topics.deadletter_topic(self._settings),
            limits=Limits(
                self._settings.sort_memory_bytes // len(self._datasets),
                self._settings.sort_unit_bytes,
                self._settings.sort_linger_seconds,
            ),
            same_topic=partial(self._same.check, topic, self._ids[topic]),
            routes=RoutesInForce(dataset.name, self._source, self.newest, lambda: self._app.should_stop),
            fail=end_process,
            stopping=lambda: self._app.should_stop,
        )

    def newest(self) -> int | None:
        """Return the generation that the configuration's log ends with; None: there is none, or none that can be read.

        Where files configure, none at all is 0: there nobody publishes, and so no marker is real. Blocks; raises
        ``Retryable`` when Kafka does not answer.
        """
        try:
            name = topics.config_topic(self._settings)
            values = cursors.read_to_end(self._settings, self._admin, [0], _CONFIG_SECONDS, topic=name)
            return manifest.Codec(self._settings.topics_dir).decode(values[manifest.KEY]).generation
        except (KeyError, Misconfigured):
            return 0 if self._settings.tenants_dir else None
        except Refused:
            return None

    def _schemas(self, dataset: Dataset) -> Schemas:
        url = self._settings.sort_schema_registry
        registry = connect(url) if url else None
        return of_contract(dataset, contract.find(self._settings.topics_dir), registry)

    def _largest_message(self, name: str) -> int:
        return next(int(t.config["max.message.bytes"]) for t in topics.declared(self._settings) if t.name == name)

    @property
    def consumer(self) -> Consumer:
        """Faust's consumer, which is ours."""
        consumer = self._app.consumer
        assert isinstance(consumer, Consumer), "the broker's URL must begin with logflume://"
        return consumer

    def expelled(self, why: str) -> None:
        """End this process, which Kafka takes for no member of its group any more."""
        end_process(Fatal(why))

    async def _watch(self) -> None:
        """Serve health, and end the process when its work is stuck or its topics are not the ones it started with."""
        self._turned = time.monotonic()
        threading.Thread(target=self._watch_the_loop, name="sort-watch", daemon=True).start()
        self._renewal.start()
        if self._settings.http_port:
            health.serve(self._settings, live=self.not_live, ready=self.not_ready)
        tells = telling.reporter(
            self._settings, self._source, SystemClock(), ready=self.not_ready, stopped=self._stopped
        ).start()
        try:
            await self._look()
        finally:
            await asyncio.to_thread(tells.close)
            if isinstance(self._source, Follower):
                await asyncio.to_thread(self._source.close)

    async def _look(self) -> None:
        while not self._app.should_stop:
            self._turned = time.monotonic()
            metrics.SORT_COMMIT_AGE.set(self._stalled_seconds())
            if self._stalled_seconds() > 3 * self._settings.stall_seconds and not self._waiting():
                end_process(Fatal(f"nothing was committed for {self._stalled_seconds():.0f} s though there is work"))
            await self._check_topics()
            await asyncio.sleep(_CHECK_SECONDS)

    async def _check_topics(self) -> None:
        try:
            asking = asyncio.to_thread(topics.topic_ids, self._admin, self._ingest_topics())
            present = await asyncio.wait_for(asking, client.REQUEST_SECONDS + _LATE_SECONDS)
        except (Retryable, Misconfigured, TimeoutError) as error:
            log.warning("topics can't be checked", error=str(error) or "Kafka's client does not come back")
            return
        if present != self._ids:
            changed = sorted(name for name, topic_id in present.items() if topic_id != self._ids[name])
            end_process(Fatal(f"topics were deleted and made again, starting anew with them: {', '.join(changed)}"))

    def _waiting(self) -> str:
        """Say for what configuration a dataset's rows wait: a restart would not bring it."""
        return next((f"{name}: {why}" for name, each in self._sorters.items() if (why := each.waiting)), "")

    def _stalled_seconds(self) -> float:
        oldest = self.consumer.rule.oldest()
        return time.monotonic() - oldest[1].since if oldest else 0.0

    def _watch_the_loop(self) -> None:
        """End the process when the event loop itself hangs: what runs on it can't tell."""
        while True:
            time.sleep(_CHECK_SECONDS)
            if time.monotonic() - self._turned > 3 * self._settings.stall_seconds:
                end_process(Fatal(self.not_live() or "the event loop hangs"))

    def _stopped(self) -> list[str]:
        return [f"{place.topic}[{place.partition}]" for place in list(self.consumer.stopped)]

    def not_live(self) -> str | None:
        """Say why this worker should be restarted, or None."""
        silent = time.monotonic() - self._turned
        return f"the event loop has not turned for {silent:.0f} s" if silent > self._settings.stall_seconds else None

    def not_ready(self) -> str | None:
        """Say why this worker is not ready, or None."""
        if not self._ids:
            return "the topics are not known yet"
        if (silent := self.not_live()) is not None:
            return silent
        if not self.consumer.joined:
            return "it has not joined its group yet"
        for partition, reason in self.consumer.stopped.items():
            return f"{partition.topic}[{partition.partition}] is stopped: {reason}"
        if waiting := self._waiting():
            return waiting
        stalled = self._stalled_seconds()
        if stalled > self._settings.stall_seconds:
            return f"the oldest message in work is {stalled:.0f} s old and not committed"
        return None


def end_process(error: BaseException) -> None:
    """End this process at once, committing nothing more: its successor reads everything again that was not safe."""
    log.critical("ending the process", error=f"{type(error).__name__}: {error}", exc_info=error)
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_FAILED)
