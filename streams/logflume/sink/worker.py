"""The sink worker: one thread that polls, buffers and commits; a pool of threads that flush.

The two meet in ``FlushPool``; everything else is the polling thread's alone, rebalance callbacks included (they run
inside ``poll``). Its promises:

I1  A row is stored exactly once: reading is repeatable, a table knows how far it holds each partition, and positions
    move in transactions that a zombie can't complete.
I2  No flush of a partition begins after its revocation began, or after it was given up; a table's that runs is waited
    for at a revocation, and the process ends rather than let it outlive that. Of a partition given up a straggler's
    result is not heard, and can only be rows that the successor finds stored (table, T5), or the very object that the
    successor writes (cuts, J1).
I5  The stored position never passes a row that is not durable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence

import structlog
from confluent_kafka import OFFSET_END, Consumer, KafkaError, Message, TopicPartition

from logflume import metrics
from logflume.block.schema import sorted_schema
from logflume.clock import Clock
from logflume.config import Source
from logflume.errors import Fatal, Refused, Retryable
from logflume.kafka import client, cursors, topics
from logflume.kafka.identity import Lookout, SameTopics, TopicChanged
from logflume.kafka.retention import Retentions
from logflume.kafka.transaction import Stale
from logflume.model.dataset import Datasets
from logflume.model.tenant import Configuration
from logflume.settings import Settings
from logflume.sink.assigned import Assigned
from logflume.sink.budget import Budget
from logflume.sink.buffers import Lane
from logflume.sink.commit import Committer
from logflume.sink.consumer import ABOUT_THE_LOG, consumer, headers_of, place_of
from logflume.sink.cuts import Key
from logflume.sink.flushes import FlushPool
from logflume.sink.flushing import Flushing
from logflume.sink.generations import Generations
from logflume.sink.health import NOT_JOINED, UNCONFIGURED, Health
from logflume.sink.opening import Opening, Place
from logflume.sink.parking.caps import Caps
from logflume.sink.parking.catchup import CatchUp
from logflume.sink.parking.destinations import Destinations
from logflume.sink.partition import Partition
from logflume.sink.placing import OLD_CONFIGURATION, Start, Stop
from logflume.sink.rests import Rests
from logflume.sink.schedule import Limits, Schedule
from logflume.table.store import Store

COMMIT_SECONDS = 1.0
"""A commit costs 12 to 15 ms; what a crash reads again grows with the time between two."""

_TICK_SECONDS = 0.02
_UNCONFIGURED_SECONDS = 0.5
_EASY = 0.25  # below this part of the budget new ones are let in faster
_SCANNED_MESSAGES = (2, 20)  # a turn: with something else to read, and without
_IDLE_SECONDS = 0.1
_REVOKE_SECONDS = 30.0  # the group waits for us up to max.poll.interval.ms, 300 s
_DRAIN_SECONDS = 50.0  # supervisors give 60 s and more

_log = structlog.get_logger(__name__)


class Sink:
    """One worker. ``run`` blocks until it is told to stop; a process has one."""

    def __init__(
        self,
        settings: Settings,
        datasets: Datasets,
        source: Source,
        store: Store,
        clock: Clock,
        seed: int,
        adopt: Collection[str] = (),
    ) -> None:
        self._settings = settings
        self._generations = Generations(source, settings.sink_generation_wait_seconds)
        self._clock = clock
        declared = {topic.name: topic for topic in topics.declared(settings)}
        self._datasets = {topics.sorted_topic(settings, name): datasets[name] for name in datasets}
        admin = client.lasting_admin(settings)
        self._same = SameTopics(admin, clock)
        self._lookout = Lookout(admin, clock)
        self._opening = Opening(settings, admin, declared, adopt)
        self._committer = Committer(settings, declared[topics.cursors_topic(settings)], self._same, clock)
        rests = Rests(settings, store, self._same, clock)
        self._pool = FlushPool(settings.sink_flush_threads, rests.bring, settings.sink_object_threads)
        self._budget = Budget(settings.sink_memory_bytes)
        limits = Limits(settings.sink_flush_age_seconds, settings.sink_flush_rows, settings.sink_flush_bytes)
        self._schedule = Schedule(limits)
        self._assigned = Assigned(self._pool, self._budget, settings.sink_behind_bytes)
        destinations = Destinations(seed)
        self._caps = Caps(settings.sink_active_pairs, settings.sink_new_pairs_a_minute, self._pressed)
        self._flushing = Flushing(
            settings, self._pool, self._schedule, self._budget, self._assigned, destinations, self._caps, clock, seed
        )
        self._catch_up = CatchUp(
            settings,
            self._assigned,
            self._schedule,
            self._budget,
            destinations,
            self._caps,
            lambda topic, number: cursors.starts(admin, topic, [number])[number],
            Retentions(admin, clock).seconds,
            clock,
        )
        self.tenants = self._flushing.tenants
        self._joined = self._draining = self._ending = False
        self._commit_error = ""
        self._next_tick = self._next_commit = 0.0
        self._failure: BaseException | None = None
        self._consumer = consumer(settings)
        self.health = Health(clock)

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; then flush, commit and leave the group. Raises ``Fatal`` when it can't go on."""
        consumer = self._consumer
        if not self._configured(stop):
            return
        consumer.subscribe(
            list(self._datasets), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        try:
            while not stop.is_set():
                self._turn(self._take)
            self._drain()
        finally:
            self._ending = True
            # Leaving calls _on_revoke: what is durable by then is committed.
            consumer.close()
            self._committer.close()
            self._catch_up.close()
            self._pool.close()
        self._raise_failure()

    def settled(self, seconds: float) -> bool:
        """Wait for flushes that still run after ``run``; returns whether there are none left."""
        return self._pool.settle(None, seconds)

    def _configured(self, stop: threading.Event) -> bool:
        """Wait until there is a configuration; without one nobody's rows can be judged. False: told to stop."""
        while not self._generations.there:
            self.health.tick([UNCONFIGURED])
            if stop.wait(_UNCONFIGURED_SECONDS):
                self._consumer.close()
                return False
        return True

    # --- the loop -----------------------------------------------------------------------------------------------------

    def _turn(self, take: Callable[[Message], None]) -> None:
        idle = 0.0 if self._catch_up.busy else _TICK_SECONDS if self._pool.busy else _IDLE_SECONDS
        message = self._consumer.poll(idle)
        self._raise_failure()
        if message is not None:
            error = message.error()
            if error is None:
                take(message)
            else:
                self._event(error, place_of(message))
        now = self._clock.monotonic()
        self._catch_up.turn(_SCANNED_MESSAGES[message is None], now)
        if now >= self._next_tick:
            self._next_tick = now + _TICK_SECONDS
            self._tick(now)

    def _tick(self, now: float) -> None:
        self._configure(now)
        self._flushing.land()
        self._assigned.drop_topics(self._lookout.changed(self._assigned.topic_ids()))
        if not self._draining:
            self._catch_up.tick(now)
        self._flushing.launch(now, draining=self._draining)
        if now >= self._next_commit:
            self._next_commit = now + COMMIT_SECONDS
            self._commit(self._assigned.open.values())
        self._assigned.steer(self._consumer, draining=self._draining)
        self._tell(now)

    def _take(self, message: Message) -> None:
        """Read one sorted message into the buffers."""
        at = place_of(message)
        partition = self._assigned.open.get(at)
        if partition is None or at in self._assigned.stops:
            return
        now = self._clock.monotonic()
        offset, value, headers = message.offset(), message.value(), headers_of(message)
        if offset != partition.position.offset:
            lack = f"offset {offset} came where {partition.position.offset} was next: the log has a gap"
            self._assigned.stop(
                at, Stop("gap", f"{lack}; sorted topics have none unless somebody deleted or compacted records")
            )
            return
        waits, outlets = self._generations.waits, self._generations.current.outlets
        try:
            pairs = partition.read(offset, message.timestamp()[1], value or b"", headers, outlets, now, waits)[1]
        except Refused as error:
            self._assigned.stop(at, Stop(type(error).__name__.lower(), str(error)))
            return
        self._schedule.added(partition, pairs)

    def _configure(self, now: float) -> None:
        """Take up a newer generation (G1), and judge the blocks that waited for it, or in vain (G2)."""
        taken_up = self._generations.take_up()
        outlets = self._generations.current.outlets
        for partition in self._assigned.open.values():
            if taken_up:
                self._schedule.changed(partition, partition.configure(outlets))
            if partition.ahead and not self._generations.waits(partition.ahead, now):
                self._schedule.added(partition, partition.judge(outlets, now)[1])
        if taken_up and (waiting := self._assigned.stopped_by(OLD_CONFIGURATION)):
            self._assigned.forget(waiting)
            self._consumer.incremental_unassign([TopicPartition(*at) for at in waiting])
            self._assign(self._consumer, waiting)

    def _event(self, error: KafkaError, at: Place) -> None:
        """Act on what librdkafka says instead of a message."""
        if at in self._assigned.open and error.code() in ABOUT_THE_LOG:
            self._suspect(self._assigned.open[at], error)
        elif error.code() == KafkaError._FATAL:  # of which a consumer's message says fatal() = False (2.16)
            raise Fatal(f"the consumer cannot go on: {error.name()}: {error.str()}")
        else:
            _log.warning("sink.kafka", error=error.name(), detail=error.str(), topic=at[0], partition=at[1])

    def _suspect(self, partition: Partition, error: KafkaError) -> None:
        """The log is not where it was: because the topic is another, or because its retention was quicker."""
        try:
            self._same.check(partition.topic, partition.topic_id, self._clock.monotonic())
        except TopicChanged as changed:
            self._assigned.drop_topic(changed)
            return
        except Retryable as failure:
            _log.warning("sink.kafka", error=error.name(), detail=str(failure), topic=partition.topic)
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            where = f"offset {partition.position.offset} is not in the log any more"
            detail = f"{where}; a restart records what was lost and goes on: {error.str()}"
            self._assigned.stop((partition.topic, partition.number), Stop("out-of-range", detail))

    # --- commits ------------------------------------------------------------------------------------------------------

    def _commit(self, partitions: Iterable[Partition]) -> None:
        """Try to commit what is durable; what could not be comes with the next one."""
        try:
            self._committer.commit(list(partitions), self._consumer, self._generations.current.generation)
            self._commit_error = ""
        except TopicChanged as error:
            metrics.SINK_ERRORS.labels(type(error).__name__).inc()
            self._assigned.drop_topic(error)
        except (Stale, Retryable) as error:
            # Stale: a rebalance is under way, or we are out; poll calls back and says which.
            metrics.SINK_ERRORS.labels(type(error).__name__).inc()
            self._commit_error = str(error)
            _log.warning("sink.not-committed", error=str(error))
        self._schedule.wake()

    # --- the group ----------------------------------------------------------------------------------------------------

    def _on_assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        self._guarded(lambda: self._assign(consumer, [(p.topic, p.partition) for p in assigned]))

    def _assign(self, consumer: Consumer, assigned: Sequence[Place]) -> None:
        self._joined = True
        found = self._opening.places(assigned, self._generations.current.generation)
        where = []
        for at, (topic_id, start) in found.items():
            if isinstance(start, Start):
                where.append(TopicPartition(*at, start.position.offset))
                self._assigned.open[at] = self._opened(at, topic_id, start)
                self._catch_up.opened(self._assigned.open[at], self._clock.monotonic())
            else:
                where.append(TopicPartition(*at, OFFSET_END))
                self._assigned.stop(at, start)
        consumer.incremental_assign(where)
        consumer.resume(where)  # a pause outlives the assignment that it was made in (librdkafka 2.16)
        self._assigned.steer(self._consumer, draining=self._draining)
        _log.info(
            "sink.assigned", partitions=len(assigned), now=len(self._assigned.open), stopped=len(self._assigned.stops)
        )

    def _opened(self, at: Place, topic_id: str, start: Start) -> Partition:
        topic, number = at
        dataset = self._datasets[topic]
        if start.lost is not None:
            first, end = start.lost
            metrics.SINK_LOST.labels(dataset.name).inc(end - first)
            _log.error("sink.lost-to-retention", topic=topic, partition=number, first=first, end=end)
        jobs = _jobs(self._generations.current, dataset.name)
        schema, now = sorted_schema(dataset), self._clock.monotonic()
        made = Partition(topic, topic_id, number, dataset, schema, start, self._budget, jobs, self._caps, now)
        made.configure(self._generations.current.outlets)  # the definitions of those jobs that are parked
        return made

    def _on_revoke(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        self._guarded(lambda: self._revoke(consumer, revoked))

    def _revoke(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        theirs = [self._assigned.open[at] for p in revoked if (at := (p.topic, p.partition)) in self._assigned.open]
        if not self._pool.settle(theirs, _REVOKE_SECONDS):
            lack = f"a flush still runs {_REVOKE_SECONDS:.0f} s after its partition was revoked"
            if not self._ending:
                raise Fatal(f"{lack}: the process ends, its successors read the rows again")
            _log.warning("sink.straggler", detail=lack)
        self._flushing.land()
        self._commit(partition for partition in theirs if not partition.closed)
        self._forget(revoked)
        consumer.incremental_unassign(revoked)
        _log.info("sink.revoked", partitions=len(revoked), now=len(self._assigned.open))

    def _on_lost(self, consumer: Consumer, lost: list[TopicPartition]) -> None:
        """Somebody else may own them already: nothing is committed, whoever is next reads it again."""
        _log.warning("sink.lost", partitions=len(lost))
        self._guarded(lambda: self._abandon(consumer, lost))

    def _abandon(self, consumer: Consumer, lost: list[TopicPartition]) -> None:
        self._forget(lost)
        consumer.incremental_unassign(lost)

    def _forget(self, partitions: Sequence[TopicPartition]) -> None:
        places = [(p.topic, p.partition) for p in partitions]
        self._catch_up.forget(places)
        self._assigned.forget(places)

    def _guarded(self, work: Callable[[], object]) -> None:
        """An exception must not pass through librdkafka's callback; ``_turn`` raises it."""
        try:
            work()
        except BaseException as error:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    # --- telling ------------------------------------------------------------------------------------------------------

    def _pressed(self) -> bool:
        """Whether new tables and jobs would be felt by those that are there."""
        return self._budget.used >= _EASY * self._budget.limit_bytes or not self._pool.room(Lane.TABLES)

    def _tell(self, now: float) -> None:
        parts = self._assigned
        oldest = parts.oldest()
        age = 0.0 if oldest is None else now - oldest
        metrics.SINK_BUFFERED_BYTES.set(self._budget.used)
        metrics.SINK_BEHIND_BYTES.set(parts.behind_bytes)
        metrics.SINK_COMMIT_AGE.set(age)
        metrics.SINK_PAUSED.set(parts.paused_share)
        metrics.SINK_STOPPED.clear()
        for stop in parts.stops.values():
            metrics.SINK_STOPPED.labels(stop.reason).inc()
        troubles = [] if self._joined else [NOT_JOINED]
        if age > self._settings.stall_seconds + self._generations.current.longest_wait:
            why = self._commit_error or self._pool.longest(now)
            troubles.append(f"nothing was committed for {age:.0f} s{why and ': '}{why}")
        metrics.SINK_WAITING.set(sum(bool(partition.ahead) for partition in parts.open.values()))
        told = self._catch_up.telling
        # The status has room for a few lines: what ends in a loss stands before what only waits.
        troubles += told.running_out
        troubles += [*self._generations.troubles(now), *parts.troubles(), *told.troubles]
        self.health.tick(troubles, parts.stops)

    # --- the end ------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Flush and commit everything that was read, as far as the time goes; nothing is lost otherwise."""
        self._draining = True
        self._catch_up.rest()
        deadline = self._clock.monotonic() + _DRAIN_SECONDS
        self._assigned.steer(self._consumer, draining=self._draining)
        while self._unfinished() and self._clock.monotonic() < deadline:
            self._next_tick = 0.0
            self._turn(lambda message: None)
        if self._unfinished():
            _log.warning("sink.not-drained", behind_bytes=self._assigned.behind_bytes)

    def _unfinished(self) -> bool:
        # Rows of a stored cut that were not all read again are left to the successor: it writes the same cut.
        if any(partition.buffers.busy for partition in self._assigned.open.values()):
            return True
        self._next_commit = 0.0
        return any(partition.committable() is not None for partition in self._assigned.open.values())


def _jobs(configuration: Configuration, dataset: str) -> set[Key]:
    """The jobs of a dataset."""
    return {
        (tenant.name, job.key)
        for tenant in configuration.tenants.values()
        for job in tenant.jobs.values()
        if job.dataset == dataset
    }
