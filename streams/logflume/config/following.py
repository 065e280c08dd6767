"""Following the configuration, step by step: what the log, this host's disk and the store have comes in force, or not.

FO1 What is in force obeys W1 to W5 (``uptake``), whatever stands on the topic, on the disk or in the store, and
    whatever fails: when in doubt, the last good one stays.
FO2 Nothing is refused for being half before the topic was read again from its very start: it may have been emptied or
    made again in between.
FO3 At the start Kafka is asked first. If it says nothing in time, or has nothing, the last good one of this host's disk
    is taken, and without one the store's newest; Kafka's follows them, by the same guards, as soon as there is one.
FO4 With none at all there is none in force, and all three are tried on.
FO5 What comes in force is on the disk after that, unless the disk has a newer one; a disk that does not work is tried
    again and again.
FO6 Who comes with nothing compares Kafka's, or the store's newest, with the one before it that the store has: a new
    machine is no way round the guards. Without a store, or while that is away, there is nothing to compare with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from logflume import metrics
from logflume.clock import Clock
from logflume.config import guard
from logflume.config import manifest as manifests
from logflume.config.assembly import Assembly, NotWhole
from logflume.config.feed import Anew, Feed
from logflume.config.guard import Limits
from logflume.config.last_good import LastGood
from logflume.config.library import Entry
from logflume.config.manifest import Manifest
from logflume.config.state import Origin, State
from logflume.config.tenants import Codec
from logflume.config.uptake import InForce, Uptake, reason_of
from logflume.errors import LogflumeError, Refused

_STORE_SECONDS: Final = 10.0  # between two tries

_log = structlog.get_logger(__name__)


class Shelf(Protocol):
    """What is used of ``library.Library``."""

    def entries(self) -> list[Entry]:
        """Every generation that the store has, the oldest first."""
        ...

    def messages(self, generation: int) -> tuple[Manifest, Assembly]:
        """One of them, not yet proven to be whole."""
        ...


class _Reading:
    """What one feed has told so far."""

    def __init__(self, topics_dir: str) -> None:
        self.messages = Assembly(Codec(topics_dir))
        self.manifest: bytes | None = None
        self.changed = True
        self.fresh = True  # the end was not seen yet

    def take(self, key: bytes, value: bytes | None) -> None:
        self.changed = True
        if key == manifests.KEY:
            self.manifest = value
        elif (tenant := manifests.tenant_of(key)) is not None:
            self.messages.put(tenant, value)


class Following:
    """See FO1 to FO6. ``begin``, ``turn`` and ``end`` are one thread's; ``now``, ``state`` and ``why_not`` any's."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        *,
        make_feed: Callable[[], Feed],
        shelf: Shelf | None,
        disk: LastGood,
        patience_seconds: float,
        topics_dir: str = "",
        took: Callable[[InForce], None] = lambda taken: None,
    ) -> None:
        """``took`` hears, from within ``turn``, of what came in force."""
        self._limits = limits
        self._clock = clock
        self._make_feed = make_feed
        self._shelf = shelf
        self._disk = disk
        self._patience_seconds = patience_seconds
        self._topics_dir = topics_dir
        self._told = took
        self._manifests = manifests.Codec(topics_dir)
        self._uptake = Uptake(limits)
        self._feed: Feed | None = None
        self._reading = _Reading(topics_dir)
        self._floor: tuple[Manifest, Assembly] | None = None  # the disk's, as long as nothing is in force
        self._started = clock.monotonic()
        self._confirmed = self._started  # when what is in force was last known to be the newest
        self._unkept: tuple[Manifest, tuple[tuple[str, bytes], ...]] | None = None
        self._keep_at = float("-inf")
        self._store_at = float("-inf")
        self._steps_at = float("inf")  # when the store is asked again for the generations in between
        self._empty = False
        self._agrees = False  # whether the log, as it is now, is what is in force
        self._refused = ""
        self._trouble = "Kafka has not told yet what is on the topic"
        self._said_none = False

    @property
    def now(self) -> InForce | None:
        """What is in force."""
        return self._uptake.now

    @property
    def why_not(self) -> str:
        """What was refused last, or fails."""
        return self._refused or self._trouble

    @property
    def age_seconds(self) -> float:
        """How long ago what is in force was last known to be the newest."""
        return self._clock.monotonic() - self._confirmed

    def state(self) -> State:
        """Say what is in force."""
        now = self._uptake.now
        if now is None:
            return State(age_seconds=self.age_seconds, refused=self._refused)
        manifest = now.manifest
        return State(manifest.generation, manifest.hash, manifest.made_ns, now.origin, self.age_seconds, self._refused)

    def begin(self) -> None:
        """Read what this host's disk has; it is not in force yet (FO3)."""
        self._floor = self._disk.read()

    def turn(self, seconds: float) -> bool:
        """Go one step on, waiting ``seconds`` at most for the log; False: it failed, so make a pause. Never raises."""
        try:
            try:
                self._read_on(seconds)
                self._keep()
            finally:
                self._come_up()
            return True
        except Exception as failure:  # the outermost: the last good one stays (FO1)
            self._say(failure)
            self.end()
            return False
        finally:
            metrics.CONFIG_AGE.set(self.age_seconds)

    def end(self) -> None:
        """Let go of the log; the next ``turn`` would begin with it anew."""
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    # --- the log ------------------------------------------------------------------------------------------------------

    def _read_on(self, seconds: float) -> None:
        if self._feed is None:
            self._agrees = False
            self._feed, self._reading = self._make_feed(), _Reading(self._topics_dir)
        if self._feed.poll(seconds, self._reading.take):
            self._trouble = ""
            self._at_end(self._reading)
        elif self._clock.monotonic() >= self._steps_at and not self._reading.changed:
            self._reading.changed = True
            self._at_end(self._reading)
        if self._agrees and self._feed.current:
            self._confirmed = self._clock.monotonic()

    def _at_end(self, reading: _Reading) -> None:
        """Judge what the log has now."""
        fresh, reading.fresh = reading.fresh, False
        if not reading.changed:
            return
        reading.changed, self._steps_at = False, float("inf")
        self._empty = reading.manifest is None and not len(reading.messages)
        if self._empty and self._uptake.now is None:
            return  # nobody has published anything yet
        try:
            if reading.manifest is None:
                raise NotWhole(
                    f"the topic has {len(reading.messages)} tenants and no manifest, as when it was emptied or made "
                    "again; `logflume config apply` writes all of it anew"
                )
            self._offer(self._manifests.decode(reading.manifest), reading.messages, Origin.KAFKA)
        except NotWhole as half:
            if not fresh:
                raise Anew(f"what came since does not agree, so the topic is read from its start: {half}") from half
            self._refuse(half, Origin.KAFKA)
        except Refused as refused:
            self._refuse(refused, Origin.KAFKA)

    def _offer(self, manifest: Manifest, messages: Assembly, origin: Origin) -> None:
        if self._floor is not None and origin is Origin.KAFKA:
            kept, _ = self._floor
            if (kept.generation, kept.hash) != (manifest.generation, manifest.hash):
                self._take_floor()  # the guard compares with it: a restart must not be a way round
        if self._shelf is not None and origin is not Origin.DISK and self._uptake.now is None:
            self._compare(self._shelf, manifest, messages)
        try:
            taken = self._uptake.offer(manifest, messages, origin)
        except (guard.Shrunk, guard.Grown) as refused:
            taken = self._by_steps(manifest, messages, origin, refused)
        self._floor = None
        if origin is Origin.KAFKA:
            self._agrees, self._refused = True, ""
        if taken is not None:
            self._took(taken, messages)

    def _compare(self, shelf: Shelf, manifest: Manifest, messages: Assembly) -> None:
        """FO6: put the one before it in force when this must not follow it, so that this is refused."""
        offered = messages.whole(manifest)
        try:
            published = [each.generation for each in shelf.entries() if each.published]
            before = [each for each in published if each < manifest.generation]
            if not before:
                return
            told, kept = shelf.messages(before[-1])
            known = kept.whole(told)
        except LogflumeError as failure:
            _log.warning("config.not-compared", error=str(failure))
            return
        try:
            guard.check_offered(known, offered, self._limits, manifest.accepted)
        except (guard.Shrunk, guard.Grown):
            self._offer(told, kept, Origin.STORE)

    def _took(self, taken: InForce, messages: Iterable[tuple[str, bytes]]) -> None:
        found = taken.configuration
        metrics.CONFIG_GENERATION.set(found.generation)
        metrics.CONFIG_HASH.clear()
        metrics.CONFIG_HASH.labels(found.hash).set(1)
        metrics.CONFIG_PAIRS.set(len(found.pairs))
        _log.info(
            "config.in-force",
            generation=found.generation,
            hash=found.hash[:16],
            origin=str(taken.origin),
            tenants=len(found.tenants),
            pairs=len(found.pairs),
            who=taken.manifest.who,
            why=taken.manifest.why,
        )
        self._told(taken)
        if taken.origin is not Origin.DISK:
            self._unkept, self._keep_at = (taken.manifest, tuple(messages)), float("-inf")
            self._keep()

    def _keep(self) -> None:
        """FO5."""
        now = self._clock.monotonic()
        if self._unkept is None or now < self._keep_at:
            return
        again = self._disk.keep(*self._unkept)
        if again is None:
            self._unkept = None
        else:
            self._keep_at = now + again

    def _by_steps(self, manifest: Manifest, messages: Assembly, origin: Origin, refused: Refused) -> InForce | None:
        """Go by the generations in between, which the store has: each was allowed to follow the one before.

        A worker that was away for months would otherwise refuse for ever what many small changes have made.
        """
        mine = self._uptake.now
        if self._shelf is None or mine is None:
            raise refused
        try:
            entries = [entry.generation for entry in self._shelf.entries() if entry.published]
            between = [each for each in entries if mine.manifest.generation < each < manifest.generation]
            if not between:
                raise refused
            return self._reach(self._shelf, manifest, messages, origin, between)
        except Refused:
            raise
        except LogflumeError as failure:
            _log.warning("config.steps-unknown", error=str(failure))
            self._steps_at = self._clock.monotonic() + _STORE_SECONDS
            raise refused from failure

    def _reach(
        self, shelf: Shelf, manifest: Manifest, messages: Assembly, origin: Origin, between: list[int]
    ) -> InForce | None:
        try:
            return self._uptake.offer(manifest, messages, origin)
        except (guard.Shrunk, guard.Grown):
            if not between:
                raise
        middle = len(between) // 2
        halfway, its_messages = shelf.messages(between[middle])
        taken = self._reach(shelf, halfway, its_messages, Origin.STORE, between[:middle])
        if taken is not None:
            self._took(taken, its_messages)
        return self._reach(shelf, manifest, messages, origin, between[middle + 1 :])

    # --- the start ----------------------------------------------------------------------------------------------------

    def _come_up(self) -> None:
        """Take the disk's or the store's while nothing is in force (FO3)."""
        if self._uptake.now is not None:
            return
        now = self._clock.monotonic()
        if not (self._empty or self._refused) and now - self._started < self._patience_seconds:
            return
        if self._floor is not None:
            self._take_floor()
        if self._uptake.now is None and self._shelf is not None and now >= self._store_at:
            self._store_at = now + _STORE_SECONDS
            self._take_newest(self._shelf)
        if self._uptake.now is None and not self._said_none:
            self._said_none = True  # or a worker that waits for one would wait in silence
            _log.warning("config.none-yet", detail=self.why_not or "none was ever applied: `logflume config apply`")

    def _take_floor(self) -> None:
        assert self._floor is not None
        (manifest, messages), self._floor = self._floor, None
        try:
            self._offer(manifest, messages, Origin.DISK)
        except Refused as refused:
            self._refuse(refused, Origin.DISK)

    def _take_newest(self, shelf: Shelf) -> None:
        try:
            published = [entry.generation for entry in shelf.entries() if entry.published]
            if published:
                self._offer(*shelf.messages(published[-1]), Origin.STORE)
        except Refused as refused:
            self._refuse(refused, Origin.STORE)
        except LogflumeError as failure:
            self._say(failure)

    # --- what is wrong ------------------------------------------------------------------------------------------------

    def _refuse(self, refused: Refused, origin: Origin) -> None:
        """Say so once for each thing that is wrong (W4)."""
        self._agrees = False
        if str(refused) == self._refused:
            return
        self._refused = str(refused)
        reason = reason_of(refused)
        metrics.CONFIG_REFUSED.labels(str(reason)).inc()
        now = self._uptake.now
        _log.error(
            "config.refused",
            reason=str(reason),
            origin=str(origin),
            in_force=now.manifest.generation if now else None,
            detail=self._refused,
        )

    def _say(self, failure: Exception) -> None:
        trouble = str(failure) if isinstance(failure, LogflumeError) else f"{type(failure).__name__}: {failure}"
        if trouble != self._trouble:
            _log.warning("config.not-followed-for-now", error=trouble, exc_info=not isinstance(failure, LogflumeError))
        self._trouble = trouble
