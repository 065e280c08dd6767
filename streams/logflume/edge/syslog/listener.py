"""The syslog listeners as one listener of an edge: on a loop in a thread of its own, as the HTTP one is.

SL1  After ``start`` messages are taken at ``address``; ``Misconfigured`` when an address or a certificate won't do.
SL2  ``stop`` returns when all that was read is handed to the client, or the log tells how much was not. The client is
     its owner's to flush and close.
SL3  ``alive`` becomes false when nothing can be taken any more: the process should end then.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Final

import structlog
import uvloop

from logflume.clock import Clock, SystemClock
from logflume.config import Source
from logflume.edge.syslog.feed import Taking
from logflume.edge.syslog.server import SyslogServer
from logflume.errors import LogflumeError
from logflume.settings import Settings

_START_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)


class SyslogListener:
    """See SL1 to SL3. ``start`` and ``stop`` once each, from one thread."""

    name: Final = "syslog"

    def __init__(self, settings: Settings, source: Source, client: Taking, clock: Clock | None = None) -> None:
        """Check the settings; ``Misconfigured``."""
        self._clock = clock or SystemClock()
        self._server = SyslogServer(settings, client, source.current, failed=self._failed, clock=self._clock)
        self._thread = threading.Thread(target=self._run, name="logflume-syslog", daemon=True)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._refusal: LogflumeError | None = None

    @property
    def address(self) -> str:
        """All addresses as bound, with commas between: ``udp://127.0.0.1:1514``."""
        return ", ".join(self._server.addresses)

    @property
    def alive(self) -> bool:
        """Whether messages are still taken (SL3)."""
        return self._thread.is_alive() and self._refusal is None

    def start(self) -> None:
        """Listen (SL1)."""
        self._thread.start()
        self._started.wait(_START_SECONDS)
        if self._refusal is not None:
            raise self._refusal

    def stop(self) -> None:
        """End (SL2)."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        try:
            await self._server.start()
        except LogflumeError as refusal:
            self._refusal = refusal
            return
        finally:
            self._started.set()
        await self._stopping.wait()
        await self._server.stop()

    def _failed(self, failure: LogflumeError) -> None:
        _log.error("syslog takes nothing more", reason=str(failure))
        self._refusal = failure
