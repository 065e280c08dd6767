"""The syslog server of an edge on a loop in a thread of its own, so that a test can be its clients."""

from __future__ import annotations

import asyncio
import threading

import uvloop

from logflume.config import Source
from logflume.edge.syslog.feed import Taking
from logflume.edge.syslog.server import SyslogServer
from logflume.errors import LogflumeError
from logflume.settings import Settings


class Listening:
    """A started server; ``failures`` is what it told of."""

    def __init__(self, settings: Settings, source: Source, client: Taking) -> None:
        self.failures: list[LogflumeError] = []
        self.server = SyslogServer(settings, client, source.current, failed=self.failures.append)
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._refused: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait(30)
        if self._refused is not None:
            self._thread.join()
            raise self._refused

    def port(self, at: int = 0) -> int:
        """Of the ``at``-th listener."""
        return int(self.server.addresses[at].rpartition(":")[2])

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self.server.start()
        except LogflumeError as refused:
            self._refused = refused
            return
        finally:
            self._ready.set()
        await self._stopping.wait()
        await self.server.stop()
