"""A thread that follows the configuration on Kafka, so that ``current`` is the newest good one.

FO1 What is in force obeys W1 to W5 (``uptake``), whatever stands on the topic, on the disk or in the store, and
    whatever fails: when in doubt, the last good one stays.
FO2 Nothing is refused for being half before the topic was read again from its very start: it may have been emptied or
    made again in between.
FO3 At the start Kafka is asked first. If it says nothing in time, or has nothing, the last good one of this host's disk
    is taken, and without one the store's newest; Kafka's follows them, by the same guards, as soon as there is one.
FO4 With none at all ``current`` raises ``Unconfigured``, and all three are tried on.
FO5 What comes in force is on the disk after that, unless the disk has a newer one or does not work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from functools import cache
from types import TracebackType
from typing import Final, Protocol

import structlog
from confluent_kafka.admin import AdminClient

from logflume import metrics
from logflume.clock import Clock
from logflume.config import guard, last_good
from logflume.config import manifest as manifests
from logflume.config.assembly import Assembly, NotWhole
from logflume.config.feed import Anew, Feed, KafkaFeed
from logflume.config.last_good import LastGood
from logflume.config.library import Entry, Library
from logflume.config.manifest import Manifest
from logflume.config.state import Origin, State
from logflume.config.tenants import Codec
from logflume.config.uptake import InForce, Uptake, reason_of
from logflume.errors import LogflumeError, Refused, Unconfigured
from logflume.kafka import client
from logflume.model.tenant import Configuration
from logflume.settings import Settings

PATIENCE_SECONDS: Final = 10.0
"""How long a start waits for Kafka before it takes what the disk or the store has."""

_POLL_SECONDS: Final = 0.5
_AGAIN_SECONDS: Final = 1.0
_STORE_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 5.0

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


class Follower:
    """See FO1 to FO5; a ``Source``. ``start`` and ``close`` once each, or a ``with`` block."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        make_feed: Callable[[], Feed] | None = None,
        shelf: Shelf | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Raises ``Misconfigured``; Kafka, the disk and the store are the thread's."""
        settings.require("kafka_bootstrap")
        self._topics_dir = settings.topics_dir
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._make_feed = make_feed or _kafka(settings)
        if shelf is None and settings.store_url:
            shelf = Library.from_settings(settings)
        self._shelf = shelf
        self._disk = LastGood(last_good.folder(settings), settings.topics_dir)
        self._manifests = manifests.Codec(settings.topics_dir)
        self._uptake = Uptake(guard.Limits(settings.config_shrink, settings.config_growth))
        self._listeners: list[Callable[[Configuration], None]] = []
        self._floor: tuple[Manifest, Assembly] | None = None  # the disk's, as long as nothing is in force
        self._started = clock.monotonic()
        self._confirmed = self._started  # when what is in force was last known to be the newest
        self._store_at = float("-inf")
        self._empty = False
        self._refused = ""
        self._trouble = "Kafka was not asked yet"
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logflume-config", daemon=True)

    def start(self) -> Follower:
        """Begin; returns itself."""
        self._thread.start()
        return self

    def close(self) -> None:
        """End; what is in force stays so."""
        self._ended.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(_CLOSE_SECONDS)

    def __enter__(self) -> Follower:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def current(self) -> Configuration:
        """Return the generation in force. Raises ``Unconfigured`` (FO4)."""
        now = self._uptake.now
        if now is None:
            raise Unconfigured(
                f"there is no configuration yet, neither from Kafka nor on this host's disk nor in the store: "
                f"{self._refused or self._trouble}"
            )
        return now.configuration

    def wait(self, seconds: float) -> Configuration:
        """Return the generation in force; ``Unconfigured`` when there is none after ``seconds`` either."""
        with self._changed:
            self._changed.wait_for(lambda: self._uptake.now is not None or self._ended.is_set(), seconds)
        return self.current()

    def listen(self, listener: Callable[[Configuration], None]) -> None:
        """Have ``listener`` called, from the thread, with each generation that comes in force from now on."""
        self._listeners.append(listener)

    def state(self) -> State:
        """Say what is in force."""
        now, age = self._uptake.now, self._clock.monotonic() - self._confirmed
        if now is None:
            return State(age_seconds=age, refused=self._refused)
        manifest = now.manifest
        return State(manifest.generation, manifest.hash, manifest.made_ns, now.origin, age, self._refused)

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._floor = self._disk.read()
        while not self._ended.is_set():
            try:
                self._follow()
            except Exception as failure:  # the outermost loop: the last good one stays (FO1)
                self._say(failure)
            self._come_up()
            metrics.CONFIG_AGE.set(self._clock.monotonic() - self._confirmed)
            self._ended.wait(_AGAIN_SECONDS)

    def _follow(self) -> None:
        """Read the log from its start, and on."""
        feed, reading = self._make_feed(), _Reading(self._topics_dir)
        try:
            while not self._ended.is_set():
                if feed.poll(_POLL_SECONDS, reading.take):
                    self._at_end(reading)
                    self._trouble = ""
                if feed.current and not reading.fresh and not self._refused and self._uptake.now is not None:
                    self._confirmed = self._clock.monotonic()
                metrics.CONFIG_AGE.set(self._clock.monotonic() - self._confirmed)
                self._come_up()
        finally:
            feed.close()

    def _at_end(self, reading: _Reading) -> None:
        """Judge what the log has now."""
        fresh, reading.fresh = reading.fresh, False
        if not reading.changed:
            return
        reading.changed = False
        self._empty = reading.manifest is None and not len(reading.messages)
        if self._empty and self._uptake.now is None:
            return  # nobody has published anything yet
        try:
            if reading.manifest is None:
                raise NotWhole(f"the topic has {len(reading.messages)} tenants and no manifest")
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
        self._floor = None
        try:
            taken = self._uptake.offer(manifest, messages, origin)
        except (guard.Shrunk, guard.Grown) as refused:
            taken = self._by_steps(manifest, messages, origin, refused)
        if self._refused:
            _log.info("config.good-again", generation=manifest.generation)
        self._refused = ""
        if taken is not None:
            self._took(taken, messages)

    def _took(self, taken: InForce, messages: Iterable[tuple[str, bytes]]) -> None:
        found = taken.configuration
        self._confirmed = self._clock.monotonic() if taken.origin is Origin.KAFKA else self._confirmed
        metrics.CONFIG_GENERATION.set(found.generation)
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
        with self._changed:
            self._changed.notify_all()
        for listener in self._listeners:
            try:
                listener(found)
            except Exception:
                _log.exception("config.listener-failed")
        if taken.origin is not Origin.DISK:
            self._disk.keep(taken.manifest, messages)

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
            return self._reach(manifest, messages, origin, between) if between else self._again(refused)
        except Refused:
            raise
        except LogflumeError as failure:
            _log.warning("config.steps-unknown", error=str(failure))
            raise refused from failure

    def _reach(self, manifest: Manifest, messages: Assembly, origin: Origin, between: list[int]) -> InForce | None:
        try:
            return self._uptake.offer(manifest, messages, origin)
        except (guard.Shrunk, guard.Grown):
            if not between or self._shelf is None:
                raise
            middle = len(between) // 2
            self._reach(*self._shelf.messages(between[middle]), Origin.STORE, between[:middle])
            return self._reach(manifest, messages, origin, between[middle + 1 :])

    @staticmethod
    def _again(refused: Refused) -> InForce | None:
        raise refused

    # --- the start ----------------------------------------------------------------------------------------------------

    def _come_up(self) -> None:
        """Take the disk's or the store's while nothing is in force (FO3)."""
        if self._uptake.now is not None:
            return
        now = self._clock.monotonic()
        if not self._empty and now - self._started < self._patience_seconds:
            return
        if self._floor is not None:
            self._take_floor()
        if self._uptake.now is None and self._shelf is not None and now >= self._store_at:
            self._store_at = now + _STORE_SECONDS
            self._take_newest(self._shelf)

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


def _kafka(settings: Settings) -> Callable[[], Feed]:
    @cache
    def admin() -> AdminClient:
        return client.admin(settings)

    return lambda: KafkaFeed(settings, admin())
