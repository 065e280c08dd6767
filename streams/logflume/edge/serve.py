"""``logflume edge serve``: one client, and every listener that the settings ask for, on one event loop, until SIGTERM.

S1  It is ready once every listener listens; live as long as the client can keep its promises.
S2  At SIGTERM listeners stop first and end what they have in work; then the client is flushed: exit code 0 means that
    all that was taken is durable.
S3  A client that has failed ends the process, with an error: a successor starts anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from functools import partial
from typing import Protocol

import structlog

from logflume import contract, health, model
from logflume.clock import SystemClock
from logflume.config import Source
from logflume.config import opened as opened_source
from logflume.config.telling import in_force
from logflume.edge import telling
from logflume.edge.client import Client
from logflume.edge.http.landing import NEARLY_FULL
from logflume.edge.http.server import HttpListener
from logflume.edge.rates import Pacing, allowances
from logflume.edge.syslog.server import SyslogServer
from logflume.errors import LogflumeError
from logflume.model import Datasets
from logflume.settings import Settings

_LOOK_SECONDS = 0.5

_log = structlog.get_logger(__name__)


class Listener(Protocol):
    """A way in. ``start`` and ``stop`` once each, on the loop; ``stop`` returns when all it took is handed in."""

    addresses: list[str]
    """Where it listens, as URLs."""

    async def start(self) -> None:
        """Listen, or raise ``Misconfigured``."""
        ...

    async def stop(self) -> None:
        """Take nothing new, end what is in work."""
        ...


async def serve(settings: Settings, *, http: bool = True) -> None:
    """Serve until SIGTERM or SIGINT (S2); raises what ended it otherwise. Without ``http``: syslog alone."""
    if not http:
        settings.require("edge_syslog_listen")
    datasets = model.load(contract.find(settings.topics_dir))
    with opened_source(settings, datasets) as source:
        await _serve(settings, datasets, source, http=http)
    _log.info("edge.ended")


async def _serve(settings: Settings, datasets: Datasets, source: Source, *, http: bool) -> None:
    clock = SystemClock()
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    failures: list[LogflumeError] = []

    def failed(failure: LogflumeError) -> None:
        failures.append(failure)
        stop.set()

    client = Client(settings, datasets=datasets, source=source, limited=False, tells=False, clock=clock)
    pacing = Pacing(allowances(settings, source, clock), clock)  # one for all ways in
    listeners: list[Listener] = []
    if http:
        listeners.append(HttpListener(settings, datasets, source, client, clock, pacing=pacing))
    if settings.edge_syslog_listen:
        syslog = SyslogServer(
            settings, client, source.current, failed=failed, ending=client.heed_no_more, clock=clock, pacing=pacing
        )
        listeners.append(syslog)
    state = _State(client, stop)
    with contextlib.ExitStack() as opened:
        if settings.http_port:
            server = health.serve(settings, state.live, state.ready)
            opened.callback(server.close)
        configured = partial(in_force, source, clock)
        opened.enter_context(telling.reporter(settings, client, clock, configured, state.ready))
        try:
            await _listen(listeners, state, failures)
        finally:
            await asyncio.to_thread(client.close)


async def _listen(listeners: Sequence[Listener], state: _State, failures: list[LogflumeError]) -> None:
    started: list[Listener] = []
    try:
        for listener in listeners:
            await listener.start()
            started.append(listener)
        state.listening = True
        at = [address for listener in started for address in listener.addresses]
        _log.info("edge.started", pid=os.getpid(), addresses=at)
        await state.wait()
    finally:
        state.listening = False
        for listener in started:
            await listener.stop()
    if failures:
        raise failures[0]


class _State:
    """What ``/live`` and ``/ready`` tell, from another thread."""

    def __init__(self, client: Client, stop: asyncio.Event) -> None:
        self._client = client
        self._stop = stop
        self.listening = False

    def live(self) -> str | None:
        failure = self._client.failure
        return None if failure is None else str(failure)

    def ready(self) -> str | None:
        if not self.listening:
            return "not listening"
        if self._client.fill > NEARLY_FULL:
            return f"memory for records is nearly full, requests are answered 503. {self._client.trouble}".strip()
        spool = self._client.spool
        if spool is not None and self._client.restraint.spool_full(spool.share):
            return f"the spool is nearly full, requests are answered 503. {self._client.trouble}".strip()
        return self.live()

    async def wait(self) -> None:
        """Until told to stop; raises the client's failure (S3)."""
        while not self._stop.is_set():
            if self._client.failure is not None:
                raise self._client.failure
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _LOOK_SECONDS)
