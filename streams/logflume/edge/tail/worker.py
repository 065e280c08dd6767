"""The worker that follows files: files → spool by one thread, spool → Kafka by the client's."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from logflume import config
from logflume.clock import Clock
from logflume.config.telling import in_force
from logflume.edge import telling
from logflume.edge.client import Client
from logflume.edge.packing import Packer
from logflume.edge.spool import Spool
from logflume.edge.tail.followed import Limits
from logflume.edge.tail.follower import Follower
from logflume.edge.tail.gate import Gate
from logflume.edge.tail.source import Source
from logflume.edge.tail.turn import Blocks
from logflume.kafka import topics
from logflume.kafka.status import InForce
from logflume.model import Datasets
from logflume.settings import Settings

_SCAN_SECONDS: Final = 1.0
_MOST_SCAN_SECONDS: Final = 5.0
_SCAN_SHARE: Final = 20
"""Between two scans there are so many times what one takes: with many thousands of files a scan costs most of all."""
_PAUSE_SECONDS: Final = 0.25
"""Between two turns when little was read: each costs an fsync, and small blocks cost everybody behind."""
_MUCH_BYTES: Final = 1 << 20
_log = structlog.get_logger("logflume.tail")


def limits(settings: Settings) -> Limits:
    """Return what the settings allow."""
    return Limits(
        record_bytes=settings.edge_tail_record_bytes,
        open_files=settings.edge_tail_open_files,
        record_seconds=settings.edge_tail_record_seconds,
        partial_seconds=settings.edge_tail_partial_seconds,
    )


class Tail:
    """Follows ``sources`` until told to stop; ``run`` is one thread's, the checks may be called by any.

    The spool lies in ``edge_spool_dir``, or in ``tail`` in the state folder.
    """

    def __init__(
        self,
        settings: Settings,
        datasets: Datasets,
        sources: Sequence[Source],
        clock: Clock,
        *,
        from_end: bool = False,
        once: bool = False,
        configuration: config.Source | None = None,
    ) -> None:
        """``configuration`` None: none is followed, and everything is sent."""
        self._settings = settings
        self._configuration = configuration
        self._datasets = datasets
        self._sources = sources
        self._clock = clock
        self._from_end = from_end
        self._once = once
        self._beat = clock.monotonic()
        self._why_not = "no file was looked for yet"

    def live(self) -> str | None:
        """Why the worker does nothing any more, or None."""
        still = self._clock.monotonic() - self._beat
        if still > self._settings.stall_seconds:
            return f"nothing was done for {still:.0f} s: does the disk of the files or of the spool hang?"
        return None

    def ready(self) -> str | None:
        """Why nothing is read at the moment, or None."""
        return self.live() or self._why_not or None

    def run(self, stop: threading.Event) -> None:
        """Follow the files until ``stop``; with ``once`` until all are read and Kafka has them.

        When it returns, what was read is in Kafka, or after ``edge_timeout_seconds`` in the spool, which the next start
        sends. Raises what the spool and the client raise.
        """
        folder = Path(self._settings.edge_spool_dir or self._settings.state_dir / "tail")
        with (
            Spool.open(folder, cap_bytes=self._settings.edge_spool_bytes, clock=self._clock) as spool,
            self._client(spool) as client,
            telling.reporter(self._settings, client, self._clock, self._in_force, self.ready),
        ):
            packer = Packer(
                self._datasets,
                topic=lambda dataset: topics.ingest_topic(self._settings, dataset),
                deadletter_topic=topics.deadletter_topic(self._settings),
                edge=self._settings.edge_id,
                epoch=self._clock.now_ns(),
                generation=lambda: self._in_force().generation,
            )
            follower = Follower(
                self._sources,
                spool,
                Blocks(
                    packer.pack,
                    Gate.of(client.admission),
                    self._settings.edge_block_rows,
                    self._settings.edge_block_bytes,
                ),
                self._clock,
                limits(self._settings),
                host=self._settings.edge_id,
                from_end=self._from_end,
                once=self._once,
            )
            try:
                done = self._follow(follower, client, stop)
            finally:
                follower.close()
            self._drain(spool, client, stop if done else None)

    def _client(self, spool: Spool) -> Client:
        return Client(
            self._settings,
            datasets=self._datasets,
            spool=spool,
            source=self._configuration,
            tells=False,
            clock=self._clock,
        )

    def _in_force(self) -> InForce:
        return InForce() if self._configuration is None else in_force(self._configuration, self._clock)

    def _follow(self, follower: Follower, client: Client, stop: threading.Event) -> bool:
        """Return whether all was read (``once``), not only until ``stop``."""
        scan_at = self._clock.monotonic()
        fresh = False
        while not stop.is_set():
            now = self._clock.monotonic()
            self._beat = now
            if now >= scan_at:
                client.flush(0)  # nothing goes through its buffers here: this raises when it can't send any more
                follower.scan()
                fresh = True
                took = self._clock.monotonic() - now
                scan_at = now + min(_MOST_SCAN_SECONDS, max(_SCAN_SECONDS, _SCAN_SHARE * took))
            if client.restraint.active and (delay := client.restraint.delay()):
                self._why_not = client.restraint.pressure.because if math.isinf(delay) else ""
                stop.wait(min(delay, _PAUSE_SECONDS))  # files wait as they are
                continue
            put = follower.turn()
            client.restraint.took(put)
            self._why_not = follower.full
            if self._once and fresh and not put and follower.idle:
                return True
            fresh = fresh and not put
            if put < _MUCH_BYTES:
                stop.wait(_PAUSE_SECONDS)
        return False

    def _drain(self, spool: Spool, client: Client, stop: threading.Event | None) -> None:
        """Wait until Kafka has what is in the spool: for ever until ``stop``, or without one for the time-out."""
        self._why_not = "it is ending"
        until = self._clock.monotonic() + self._settings.edge_timeout_seconds
        waiter = stop or threading.Event()
        while spool.waiting and not waiter.is_set():
            self._beat = self._clock.monotonic()
            if stop is None and self._beat > until:
                break
            client.flush(0)
            waiter.wait(_PAUSE_SECONDS / 5)
        if spool.waiting:
            _log.warning("tail.left-in-spool", messages=spool.waiting, what="the next start sends them")
