"""All who follow rows, and the one thread that reads for them: each sorted partition once, from its end on.

TH1 A row that comes into Kafka after ``follow`` has returned is offered to the follower, once: repeats are dropped.
TH2 Whatever followers do, and their filters cost, holds up neither the thread nor each other (see ``matching``); the
    pipeline does not know of them.
TH3 Nothing is read of partitions that nobody follows.
TH4 What is missed is told (``Follower.miss``): a tail shows rows as they come; the table has them all.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from logflume import metrics
from logflume.config import Source
from logflume.errors import Hole, LogflumeError, Misconfigured, Refused, Retryable
from logflume.explore.engine.turns import Busy
from logflume.explore.live import own, read
from logflume.explore.tail.follower import Coordinates, Follower, behind
from logflume.explore.tail.matching import Matching
from logflume.kafka import client, topics
from logflume.kafka.position import Position
from logflume.kafka.reader import SortedPartition
from logflume.model.dataset import Dataset
from logflume.model.route import places
from logflume.settings import Settings
from logflume.table import parquet

_POLL_SECONDS: Final = 0.05
_MESSAGES: Final = 50
_LOOK_SECONDS: Final = 1.0
"""Between two looks at where tenants are routed."""
_BEGIN_SECONDS: Final = 15.0
_ANSWER_SECONDS: Final = 5.0
_LINGER_SECONDS: Final = 30.0
"""For how long rows are read on for a follower that may come back (``Last-Event-ID``)."""
_KEPT_BYTES: Final = 4_000_000
"""Of a channel's last rows."""
_MOST: Final = 200
"""Followers in all: each may have ``explore_tail_bytes`` waiting."""

_log = structlog.get_logger(__name__)

Place = tuple[str, int]


@dataclass
class _Channel:
    """The rows of one tenant and dataset: who follows them, and the last of them."""

    tenant: str
    dataset: Dataset
    matching: Matching
    followers: list[Follower] = field(default_factory=list)
    beginning: list[tuple[Follower, Coordinates | None]] = field(default_factory=list)
    """Who follows as soon as all partitions are read, and after which row."""
    places: frozenset[Place] = frozenset()
    last: deque[pa.Table] = field(default_factory=deque)
    bytes: int = 0
    idle_since: float | None = None

    def offer(self, rows: pa.Table) -> None:
        self.last.append(rows)
        self.bytes += rows.nbytes
        while self.bytes > _KEPT_BYTES and len(self.last) > 1:
            self.bytes -= self.last.popleft().nbytes
        for follower in self.followers:
            self.matching.offer(follower, rows)

    def miss(self, why: str) -> None:
        for follower in self.followers:
            self.matching.miss(follower, why)

    def waits(self, follower: Follower) -> bool:
        return any(each is follower for each, _ in self.beginning)

    def begin(self) -> None:
        for follower, after in self.beginning:
            if after is not None:
                self._resume(follower, after)
            self.followers.append(follower)
            self.idle_since = None
        self.beginning = []

    def _resume(self, follower: Follower, at: Coordinates) -> None:
        """Offer what came after the row with these coordinates, if it is still known."""
        parts = list(self.last)
        for number, rows in enumerate(parts):
            if (place := behind(rows, at)) is not None:
                for each in (rows.slice(place), *parts[number + 1 :]):
                    self.matching.offer(follower, each)
                return
        self.matching.miss(follower, "what came in the meantime is not kept any more")


class Hub:
    """See TH1 to TH4. ``start`` and ``close`` once each, or a ``with`` block; the rest by any thread."""

    def __init__(self, settings: Settings, source: Source, datasets: Mapping[str, Dataset]) -> None:
        self._settings = settings
        self._source = source
        self._datasets = datasets
        self._changed = threading.Condition()
        self._channels: dict[tuple[str, str], _Channel] = {}
        self._ended = False
        self._matching = Matching()
        self._thread = threading.Thread(target=self._run, name="logflume-tail", daemon=True)
        # The thread's own:
        self._admin: AdminClient | None = None
        self._consumer: Consumer | None = None
        self._topics: dict[str, topics.Present] = {}
        self._readers: dict[Place, SortedPartition] = {}
        self._trouble = ""

    def start(self) -> Hub:
        """Begin; returns itself. Kafka is asked when somebody follows."""
        self._matching.start()
        self._thread.start()
        return self

    def close(self) -> None:
        """End, and with it whoever follows."""
        with self._changed:
            self._ended = True
            for channel in self._channels.values():
                for follower in channel.followers:
                    follower.end("the server ends; ask again")
            self._changed.notify_all()
        self._thread.join(_BEGIN_SECONDS)
        self._matching.close()

    def __enter__(self) -> Hub:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def follow(self, follower: Follower, after: Coordinates | None = None) -> None:
        """Offer rows to ``follower`` from now on (TH1), and before them, if they are known, those after the row with
        the coordinates ``after``. Blocks until it follows.

        Raises ``Refused`` when the tenant does not keep the dataset, ``Busy`` when it has as many followers as it may,
        ``Misconfigured`` without Kafka, ``Retryable`` when Kafka does not answer.
        """
        self._settings.require("kafka_bootstrap")
        key = follower.tenant, follower.dataset
        if not self._source.current().wants(*key):
            raise Refused(f"the tenant {follower.tenant!r} does not keep the dataset {follower.dataset!r}")
        with self._changed:
            self._check_room(follower)
            new = _Channel(follower.tenant, self._datasets[follower.dataset], self._matching)
            channel = self._channels.setdefault(key, new)
            channel.beginning.append((follower, after))
            self._changed.notify_all()
            self._changed.wait_for(lambda: not channel.waits(follower) or self._ended, timeout=_BEGIN_SECONDS)
            if self._ended or channel.waits(follower):
                channel.beginning = [each for each in channel.beginning if each[0] is not follower]
                channel.idle_since = time.monotonic()
                raise Retryable(self._trouble or "Kafka does not answer, so that nothing can be followed")
            metrics.EXPLORE_TAIL_FOLLOWERS.inc()

    def leave(self, follower: Follower) -> None:
        """Offer nothing to ``follower`` any more. Once for each that follows."""
        with self._changed:
            channel = self._channels.get((follower.tenant, follower.dataset))
            if channel is not None:
                channel.followers = [each for each in channel.followers if each is not follower]
                if not channel.followers:
                    channel.idle_since = time.monotonic()
            self._matching.leave(follower)
            metrics.EXPLORE_TAIL_FOLLOWERS.dec()

    def _check_room(self, follower: Follower) -> None:
        if self._ended:
            raise Retryable("the server ends; ask again")
        channels = self._channels.values()
        mine = sum(len(each.followers) + len(each.beginning) for each in channels if each.tenant == follower.tenant)
        if mine >= self._settings.explore_tail_followers:
            raise Busy(f"{mine} follow rows of {follower.tenant} already; as many may at once")
        if sum(len(each.followers) + len(each.beginning) for each in channels) >= _MOST:
            raise Busy("too many follow rows here already; ask again later")

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        look_at = 0.0
        while True:
            with self._changed:
                while not self._channels and not self._ended:
                    self._changed.wait()
                if self._ended:
                    break
                new = any(channel.beginning for channel in self._channels.values())
            try:
                if new or time.monotonic() >= look_at:
                    self._arrange()
                    look_at = time.monotonic() + _LOOK_SECONDS
                self._read_some()
            except (KafkaException, LogflumeError) as error:
                self._fail(error)
            except Exception:  # the outermost of the thread: those who follow are told, and it goes on
                _log.exception("explore.tail-failed")
                self._fail(Retryable("it failed here; the server's log says how"))
        self._forget()

    def _arrange(self) -> None:
        """Read what is followed, and nothing else (TH3); whoever waits for its beginning follows then."""
        with self._changed:
            for key, channel in list(self._channels.items()):
                idle = channel.idle_since is not None and time.monotonic() > channel.idle_since + _LINGER_SECONDS
                if idle and not channel.followers and not channel.beginning:
                    del self._channels[key]
            channels = list(self._channels.values())
        configuration = self._source.current()
        for channel in channels:
            topic = topics.sorted_topic(self._settings, channel.dataset.name)
            routes = configuration.routes(channel.dataset.name).get(channel.tenant, ())
            numbers = places(channel.dataset.name, channel.tenant, routes, self._present(topic).partitions)
            channel.places = frozenset((topic, number) for number in numbers)
            if not configuration.wants(channel.tenant, channel.dataset.name):
                for follower in channel.followers:
                    follower.end("the tenant does not keep this dataset any more")
        wanted = frozenset[Place]().union(*(channel.places for channel in channels))
        consumer = self._assigned()
        if gone := set(self._readers) - wanted:
            consumer.incremental_unassign([TopicPartition(*place) for place in gone])
            for place in gone:
                del self._readers[place]
        for place in sorted(wanted - set(self._readers)):
            self._begin_reading(consumer, place)
        with self._changed:
            for channel in channels:
                channel.begin()
            self._trouble = ""
            self._changed.notify_all()

    def _begin_reading(self, consumer: Consumer, place: Place) -> None:
        _, end = consumer.get_watermark_offsets(TopicPartition(*place), timeout=_ANSWER_SECONDS, cached=False)
        # What lies before was not read: ranges that are missing may lie there, and are no hole.
        position = Position(end, floor=max(1, end))
        self._readers[place] = SortedPartition(place[0], self._present(place[0]).id, place[1], position)
        consumer.incremental_assign([TopicPartition(*place, end)])

    def _read_some(self) -> None:
        if self._consumer is None or not self._readers:
            return
        for message in self._consumer.consume(_MESSAGES, _POLL_SECONDS):
            place = str(message.topic()), -1 if message.partition() is None else int(message.partition() or 0)
            if (error := message.error()) is not None:
                if error.code() != KafkaError._PARTITION_EOF and not isinstance(client.typed(error, ""), Retryable):
                    raise client.typed(error, f"following {place[0]}[{place[1]}]")
                continue
            if place in self._readers:
                self._read(place, message)

    def _read(self, place: Place, message: Message) -> None:
        reader = self._readers[place]
        with self._changed:
            channels = [channel for channel in self._channels.values() if place in channel.places]
        if (message.offset() or 0) < reader.position.offset:
            return
        try:
            block = read(reader, message)
        except (Hole, Refused) as trouble:
            # The sinks stop here, and know why. Who only watches goes on behind it.
            _log.warning("explore.tail-gap", trouble=str(trouble))
            beyond = (message.offset() or 0) + (not isinstance(trouble, Hole))
            position = reader.position.lost_until(beyond)
            self._readers[place] = SortedPartition(reader.topic, reader.topic_id, reader.partition, position)
            for channel in channels:
                channel.miss("what was sorted is not whole here; the sinks wait for it")
            if isinstance(trouble, Hole):
                self._read(place, message)
            return
        if block is None:
            return
        for channel in channels:
            if (rows := own(block, channel.tenant)) is not None:
                at_rest = parquet.at_rest(rows, channel.dataset)
                with self._changed:
                    channel.offer(at_rest)

    def _assigned(self) -> Consumer:
        if self._consumer is None:
            config = client.consumer_config(
                self._settings,
                client.reader_group(self._settings, "tails"),
                client_id="logflume-tail",
                fetch_wait_max_ms=100,
                queued_max_messages_kbytes=16 * 1024,
                fetch_max_bytes=8 * 1024 * 1024,
            )
            self._consumer = Consumer(config)
        return self._consumer

    def _present(self, topic: str) -> topics.Present:
        if topic not in self._topics:
            if self._admin is None:
                self._admin = client.admin(self._settings)
            found = topics.present(self._admin, [topic])
            if topic not in found:
                raise Misconfigured(f"Kafka has no topic {topic}; `logflume topics apply` makes it")
            self._topics[topic] = found[topic]
        return self._topics[topic]

    def _fail(self, error: LogflumeError | KafkaException) -> None:
        """Begin anew, and say so."""
        trouble = client.typed(error, "following") if isinstance(error, KafkaException) else error
        _log.warning("explore.tail-anew", trouble=str(trouble))
        self._forget()
        with self._changed:
            self._trouble = f"nothing can be followed just now: {trouble}"
            for channel in self._channels.values():
                channel.miss("Kafka was away, or the topic was made again")
            self._changed.wait_for(lambda: self._ended, timeout=_LOOK_SECONDS)

    def _forget(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
        self._consumer, self._admin = None, None
        self._topics, self._readers = {}, {}
