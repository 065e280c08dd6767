"""Catching parked outlets up: who is parked when, whose scan begins when, and the consumer that reads for all scans.

Y1  One consumer for all partitions of the worker, one scan a partition, however many are parked.
Y2  The scan yields: it reads below six tenths of the memory budget only, and never past the main reader. But rows of
    a frozen cut are read on to its end, as they can't leave the memory before; and of such cuts only so many are read
    at once as fit into a quarter of it.
Y3  When almost all of much, and almost everyone, fails, nobody is parked: the partition pauses instead (``pausing``),
    as reading everything twice would help nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from logflume import metrics
from logflume.clock import Clock
from logflume.errors import LogflumeError, Refused
from logflume.kafka import client
from logflume.settings import Settings
from logflume.sink.assigned import Assigned
from logflume.sink.budget import Budget
from logflume.sink.buffers import NEVER, Pair
from logflume.sink.consumer import headers_of, place_of
from logflume.sink.opening import Place
from logflume.sink.parking.caps import Caps
from logflume.sink.parking.destinations import Destinations, destination
from logflume.sink.parking.parked import FAILING, NEW, Parked, Phase
from logflume.sink.parking.telling import Telling
from logflume.sink.partition import Partition
from logflume.sink.placing import Stop
from logflume.sink.schedule import Schedule

TICK_SECONDS = 0.2
_YIELDS = 0.6  # of the budget; under load it stands at half, from where the largest are flushed
_GATHERS = 0.25  # of the budget
_MOST_FAIL = 0.8  # of a partition's bytes: then the whole store is down, or as good as
_MUCH = 0.01  # of the budget; reading less than this twice costs nothing
_NEAR_MESSAGES = 16  # the main reader waits for a scan that is as near as this, or they might never meet
_MEETING_SECONDS = (10.0, 40.0)  # it waits so long at most, and then not again before
_TOGETHER = 50  # new ones begin together
_TELL_SECONDS = 1.0  # it looks at all who are parked

_log = structlog.get_logger(__name__)


class CatchUp:
    """The parked outlets of all partitions. Used by the worker's thread alone."""

    def __init__(
        self,
        settings: Settings,
        assigned: Assigned,
        schedule: Schedule,
        budget: Budget,
        destinations: Destinations,
        caps: Caps,
        starts: Callable[[str, int], int],
        retention: Callable[[str], float | None],
        clock: Clock,
        connect: Callable[[], Consumer] | None = None,
    ) -> None:
        """``starts`` gives the first offset that a partition still has, ``retention`` for how many seconds a topic
        keeps what it has (None: not known yet), ``connect`` the consumer for the scans.
        """
        self._park_seconds = settings.sink_park_seconds
        self._assigned = assigned
        self._schedule = schedule
        self._budget = budget
        self._destinations = destinations
        self._caps = caps
        self._starts = starts
        self._connect = connect or (lambda: _consumer(settings))
        self._consumer: Consumer | None = None
        self._reading: set[Place] = set()
        self._paused: set[Place] = set()
        self._strays: dict[Place, int] = {}
        self._meeting: dict[Place, float] = {}
        self._next_tick = self._next_tell = 0.0
        self.busy = False
        """Whether there was something to read the last time."""
        self.telling = Telling(assigned, retention, clock)

    def opened(self, partition: Partition, now: float) -> None:
        """Take over who is parked in a partition that was assigned: a probe goes first."""
        for entry in partition.behind.parking:
            if entry.reason == FAILING:
                self._destinations.found(destination(entry.outlet), now)

    def turn(self, most: int, now: float) -> None:
        """Read ``most`` messages of the scans, if there are as many already; never blocks."""
        self.busy = False
        while self._reading and self._consumer is not None and most > 0:
            message = self._consumer.poll(0)
            if message is None:
                return
            most -= 1
            self.busy = True
            self._take(message, now)

    def tick(self, now: float) -> None:
        """Park who fails for too long, begin scans and join them, hand over; now and then."""
        if now < self._next_tick:
            return
        self._next_tick = now + TICK_SECONDS
        for at, partition in self._assigned.open.items():
            self._park(partition, now)
            if len(partition.behind.parking) and not partition.stopped:
                self._hand_over(partition)
                self._admit(at, partition, now)
        self._steer(now)
        if now >= self._next_tell:
            self._next_tell = now + _TELL_SECONDS
            self.telling.tell()

    def forget(self, places: Iterable[Place]) -> None:
        """Read no more of partitions that are not this worker's any more."""
        if gone := [at for at in places if at in self._reading]:
            self._unassign(gone)

    def rest(self) -> None:
        """Read no more at all; what was read comes to rest as ever."""
        self._unassign(list(self._reading))

    def close(self) -> None:
        """Let go of the consumer."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
        self._reading.clear()

    # --- who is parked ------------------------------------------------------------------------------------------------

    def _park(self, partition: Partition, now: float) -> None:
        failing = [
            pair for pair in partition.buffers.failing() if not pair.flying and self._for_long(partition, pair, now)
        ]
        if not failing:
            return
        parking = partition.behind.parking
        others = [pair for pair in failing if parking.get(pair.outlet) is None]
        much = sum(p.buffers.failing_bytes for p in self._assigned.open.values()) > _MUCH * self._budget.limit_bytes
        if others and much and partition.buffers.failing_share > _MOST_FAIL:
            failing = [pair for pair in failing if parking.get(pair.outlet) is not None]  # Y3
        for pair in sorted(failing, key=lambda pair: (pair.failing_since, pair.tenant, pair.outlet.name)):
            self._destinations.failed(destination(pair.outlet, refused=pair.refused), now)
            entry = partition.behind.park(pair, FAILING)
            entry.refused = pair.refused
            entry.again_at = now + self._destinations.pause(entry.tries - 1) if entry.tries else now
            _log.warning(
                "sink.parked",
                tenant=entry.outlet.tenant,
                dataset=partition.dataset.name,
                job=entry.outlet.name or None,
                partition=partition.where,
                offset=entry.cursor.offset,
                error=entry.trouble,
            )

    def _for_long(self, partition: Partition, pair: Pair, now: float) -> bool:
        if now - pair.failing_since >= self._park_seconds:
            return True
        entry = partition.behind.parking.get(pair.outlet)
        return entry is not None and self._destinations.probes(entry)

    # --- scans --------------------------------------------------------------------------------------------------------

    def _admit(self, at: Place, partition: Partition, now: float) -> None:
        """Begin a scan for those who are due, or have them join the one that runs."""
        behind, room = partition.behind, self._budget.used < _YIELDS * self._budget.limit_bytes
        if not room:
            return
        begun = behind.scan is not None
        least = behind.scan.position.offset if behind.scan else 0
        waiting = [e for e in behind.parking if e.phase is Phase.WAITING and e.cursor.offset >= least]
        due = [e for e in sorted(waiting, key=lambda e: e.tries) if e.reason == FAILING and self._due(e, now)]
        due = self._that_fit(due)
        new = [entry for entry in waiting if entry.reason == NEW]
        # A scan costs the same for one as for many.
        new = new[: self._caps.grant(len(new), now, 0 if begun or due else min(len(new), _TOGETHER))]
        self._caps.seen(partition.where, [entry.outlet for entry in new], now)
        for entry in new:
            partition.known.add(entry.outlet)
        due += new
        if not due:
            return
        if begun:
            for entry in due:
                behind.join(entry)
        else:
            self._assign(at, behind.begin(due).position.offset)
        for entry in due:
            entry.tries += 1
        _log.info("sink.catching-up", partition=partition.where, pairs=len(due), lowest=least or None)
        self._hand_over(partition)

    def _due(self, entry: Parked, now: float) -> bool:
        if now < entry.again_at:
            return False
        return entry.reason == NEW or self._destinations.may_try(
            destination(entry.outlet, refused=entry.refused), entry, now
        )

    def _that_fit(self, due: list[Parked]) -> list[Parked]:
        """Of those whose frozen cut must be read again, as many as fit into the memory at once (Y2)."""
        scans = [partition.behind.scan for partition in self._assigned.open.values()]
        used = sum(entry.gather_bytes for scan in scans if scan is not None for entry in scan.members)
        fit = []
        for entry in due:
            if not entry.gather_bytes or not used or used + entry.gather_bytes <= _GATHERS * self._budget.limit_bytes:
                fit.append(entry)
                used += entry.gather_bytes
        return fit

    def _take(self, message: Message, now: float) -> None:
        at = place_of(message)
        partition = self._assigned.open.get(at)
        scan = partition.behind.scan if partition is not None else None
        if partition is None or scan is None or at not in self._reading:
            return
        error = message.error()
        if error is not None:
            self._event(error, at, partition)
            return
        offset, expected = message.offset(), scan.position.offset
        assert offset is not None
        if offset != expected:
            self._stray(at, partition, offset, expected)
            return
        if offset >= partition.position.offset:  # never past the main reader
            self._assign(at, expected)
            return
        self._strays.pop(at, None)
        try:
            value = message.value() or b""
            pairs = partition.read_behind(offset, message.timestamp()[1], value, headers_of(message), now)
        except Refused as refusal:
            self._unassign([at])
            self._assigned.stop(at, Stop(type(refusal).__name__.lower(), f"read again for who is parked: {refusal}"))
            return
        self._schedule.added(partition, pairs)
        metrics.SINK_CAUGHT_UP.labels(partition.dataset.name).inc()
        self._hand_over(partition)

    def _stray(self, at: Place, partition: Partition, offset: int, expected: int) -> None:
        """Have the scan go on from where it is when another offset came than expected; when that comes again, what is
        between is gone: by retention, or else the partition stops, as the main reader's does (``gap``).
        """
        if offset < expected:
            return
        if self._strays.get(at) != expected:
            self._strays[at] = expected
            self._assign(at, expected)
        elif self._go_on(at, partition) <= expected:
            self._unassign([at])
            detail = f"offset {offset} came where {expected} was next, read again for who is parked: the log has a gap"
            self._assigned.stop(at, Stop("gap", detail))

    def _event(self, error: KafkaError, at: Place, partition: Partition) -> None:
        if error.code() != KafkaError._AUTO_OFFSET_RESET:
            _log.warning("sink.catching-up-kafka", error=error.name(), detail=error.str(), partition=partition.where)
            return
        self._go_on(at, partition)

    def _go_on(self, at: Place, partition: Partition) -> int:
        """Have the scan go on where the log begins now, if that is after its place; returns its place then."""
        scan = partition.behind.scan
        assert scan is not None
        try:
            first = self._starts(*at)
        except LogflumeError as failure:
            _log.warning("sink.catching-up-kafka", detail=str(failure), partition=partition.where)
            self._unassign([at])  # and again with the next look
            return NEVER
        if first > scan.position.offset:
            self._schedule.added(partition, partition.lose(first))
        self._assign(at, scan.position.offset)
        return scan.position.offset

    def _hand_over(self, partition: Partition) -> None:
        if handed := partition.behind.hand_over(partition.position):
            _log.info(
                "sink.handed-over", partition=partition.where, pairs=len(handed), offset=partition.position.offset
            )

    # --- the consumer -------------------------------------------------------------------------------------------------

    def _steer(self, now: float) -> None:
        """Read where there is a scan, and pause it where it yields."""
        scans = {
            at: partition.behind.scan
            for at, partition in self._assigned.open.items()
            if partition.behind.scan is not None and not partition.stopped
        }
        if gone := self._reading - scans.keys():
            self._unassign(list(gone))
        for at in scans.keys() - self._reading:
            self._assign(at, scans[at].position.offset)
        yields = {at for at in scans if self._yields(self._assigned.open[at])}
        if self._consumer is not None:
            if pause := yields - self._paused:
                self._consumer.pause([TopicPartition(*at) for at in pause])
            if resume := self._paused - yields:
                self._consumer.resume([TopicPartition(*at) for at in resume & self._reading])
        self._paused = yields
        for at, partition in self._assigned.open.items():
            partition.meeting = at in scans and at not in yields and self._near(at, partition, now)

    def _yields(self, partition: Partition) -> bool:
        scan = partition.behind.scan
        assert scan is not None
        if scan.position.offset >= partition.position.offset:
            return True
        if (left := partition.gathers_behind) is not None:
            # The nearest of all reads on, as its memory gets free by nothing else; see also ``pausing``.
            others = [to_go for p in self._assigned.open.values() if (to_go := p.gathers_behind) is not None]
            return self._budget.full and left > min(others)
        return self._budget.used >= _YIELDS * self._budget.limit_bytes

    def _near(self, at: Place, partition: Partition, now: float) -> bool:
        """Whether the main reader should wait for the scan to come."""
        scan = partition.behind.scan
        assert scan is not None
        if partition.position.offset - scan.position.offset > _NEAR_MESSAGES:
            self._meeting.pop(at, None)
            return False
        waited = now - self._meeting.setdefault(at, now)
        patience, pause = _MEETING_SECONDS
        if waited > pause:
            self._meeting[at] = now
        return waited <= patience

    def _assign(self, at: Place, offset: int) -> None:
        if self._consumer is None:
            self._consumer = self._connect()
        if at in self._reading:
            self._unassign([at])
        self._consumer.incremental_assign([TopicPartition(*at, offset)])
        self._reading.add(at)
        # A pause outlives the assignment that it was made in.
        if self._yields(self._assigned.open[at]):
            self._consumer.pause([TopicPartition(*at)])
            self._paused.add(at)
        else:
            self._consumer.resume([TopicPartition(*at)])

    def _unassign(self, places: list[Place]) -> None:
        if self._consumer is not None and places:
            self._consumer.incremental_unassign([TopicPartition(*at) for at in places])
        for at in places:
            self._reading.discard(at)
            self._paused.discard(at)


def _consumer(settings: Settings) -> Consumer:
    """It belongs to no group: assigned by hand, committing nothing."""
    config = client.consumer_config(
        settings,
        client.reader_group(settings, "catches-up"),
        client_id="logflume-sink-catches-up",
        queued_max_messages_kbytes=16 * 1024,
        fetch_max_bytes=8 * 1024 * 1024,
    )
    return Consumer(config)
