"""A thread that follows the configuration on Kafka, so that ``current`` is the newest good one (see ``following``)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from types import TracebackType
from typing import Final

import structlog
from confluent_kafka.admin import AdminClient

from logflume.clock import Clock
from logflume.config import last_good
from logflume.config.feed import Feed, KafkaFeed
from logflume.config.following import Following, Shelf
from logflume.config.guard import Limits
from logflume.config.last_good import LastGood
from logflume.config.library import Library
from logflume.config.state import State
from logflume.config.uptake import InForce
from logflume.errors import Unconfigured
from logflume.kafka import client
from logflume.model.tenant import Configuration
from logflume.settings import Settings

PATIENCE_SECONDS: Final = 10.0
"""How long a start waits for Kafka before it takes what the disk or the store has."""

_POLL_SECONDS: Final = 0.5
_AGAIN_SECONDS: Final = 0.5
_CLOSE_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


class Follower:
    """A ``Source``. ``start`` and ``close`` once each, or a ``with`` block."""

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
        if shelf is None and settings.store_url:
            shelf = Library.from_settings(settings)
        self._following = Following(
            Limits(settings.config_shrink, settings.config_growth),
            clock,
            make_feed=make_feed or _kafka(settings),
            shelf=shelf,
            disk=LastGood(last_good.folder(settings), settings.topics_dir),
            patience_seconds=patience_seconds,
            topics_dir=settings.topics_dir,
            took=self._took,
        )
        self._listeners: list[Callable[[Configuration], None]] = []
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
        """Return the generation in force. Raises ``Unconfigured`` while there is none."""
        now = self._following.now
        if now is None:
            raise Unconfigured(
                "there is no configuration yet, neither from Kafka nor on this host's disk nor in the store: "
                f"{self._following.why_not or 'none was ever applied'}"
            )
        return now.configuration

    def wait(self, seconds: float) -> Configuration:
        """Return the generation in force; ``Unconfigured`` when there is none after ``seconds`` either."""
        with self._changed:
            self._changed.wait_for(lambda: self._following.now is not None or self._ended.is_set(), seconds)
        return self.current()

    def listen(self, listener: Callable[[Configuration], None]) -> None:
        """Have ``listener`` called, from the thread, with each generation that comes in force from now on."""
        self._listeners.append(listener)

    def state(self) -> State:
        """Say what is in force."""
        return self._following.state()

    def _run(self) -> None:
        self._following.begin()
        while not self._ended.is_set():
            if not self._following.turn(_POLL_SECONDS):
                self._ended.wait(_AGAIN_SECONDS)
        self._following.end()

    def _took(self, taken: InForce) -> None:
        with self._changed:
            self._changed.notify_all()
        for listener in self._listeners:
            try:
                listener(taken.configuration)
            except Exception:
                _log.exception("config.listener-failed")


def _kafka(settings: Settings) -> Callable[[], Feed]:
    @cache
    def admin() -> AdminClient:
        return client.lasting_admin(settings)

    return lambda: KafkaFeed(settings, admin())
