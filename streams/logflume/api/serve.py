"""``logflume serve``: the explorer's API, until SIGTERM.

It follows the configuration and tells its status like every worker: a token that is revoked opens nothing any more
within seconds, and a blank generation takes nothing away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from functools import partial

import structlog
from starlette.types import ASGIApp

from logflume import contract, health, metrics, model
from logflume.api.app import Api
from logflume.api.audit import Audit
from logflume.clock import Clock, SystemClock
from logflume.config import Source
from logflume.config import opened as opened_source
from logflume.config.telling import in_force
from logflume.errors import Unconfigured
from logflume.explore.engine.engine import Engine
from logflume.explore.live import Live
from logflume.explore.tail.hub import Hub
from logflume.kafka.status import Condition, Reporter
from logflume.model import Datasets
from logflume.settings import Settings
from logflume.table.store import Store
from logflume.web.connection import ConnectionLimits
from logflume.web.listener import Listener, Place

_DRAIN_SECONDS = 20
_HEADER_BYTES = 32_000
_HEADER_SECONDS = 10.0

_log = structlog.get_logger(__name__)


Front = Callable[[Api], ASGIApp]
"""What stands before the API, and hands on to it what is its."""


async def serve(settings: Settings, front: Front = Api.application) -> None:
    """Serve until SIGTERM or SIGINT. Raises ``Misconfigured``."""
    datasets = model.load(contract.find(settings.topics_dir))
    with opened_source(settings, datasets) as source:
        await _serve(settings, datasets, source, SystemClock(), front)
    _log.info("explore.ended")


async def _serve(settings: Settings, datasets: Datasets, source: Source, clock: Clock, front: Front) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    live = Live(settings, source)
    engine = Engine(settings, Store.from_settings(settings), datasets, live=live, serves=True)
    audit = Audit.opened(settings, datasets, source, clock)
    hub = Hub(settings, source, datasets)
    api = Api(settings, datasets, source, engine, clock, audit, hub)
    listener = Listener(
        front(api),
        Place("serve_", settings.serve_host, settings.serve_port, settings.serve_certificate, settings.serve_key),
        ConnectionLimits(_HEADER_BYTES, _HEADER_SECONDS, settings.serve_connections, metrics.EXPLORE_CONNECTIONS),
        idle_seconds=75,
        drain_seconds=_DRAIN_SECONDS,
    )
    ready = partial(_ready, source, listener)
    with contextlib.ExitStack() as opened:
        opened.callback(audit.close)
        if settings.http_port:
            server = health.serve(settings, lambda: None, ready)
            opened.callback(server.close)
        opened.enter_context(Reporter(settings, "explore", lambda: _condition(source, clock, ready()), clock=clock))
        try:
            await engine.start()
            hub.start()
            await listener.start()
            _log.info("explore.started", pid=os.getpid(), addresses=[listener.address])
            await stop.wait()
        finally:
            await asyncio.to_thread(hub.close)  # or those who follow would be waited for
            await listener.stop()
            await engine.close()
            await asyncio.to_thread(live.close)


def _ready(source: Source, listener: Listener) -> str | None:
    """Why nothing is answered, or None."""
    if not listener.address:
        return "not listening"
    try:
        source.current()
    except Unconfigured as error:
        return str(error)
    return None


def _condition(source: Source, clock: Clock, trouble: str | None) -> Condition:
    return Condition(in_force=in_force(source, clock), troubles=(trouble,) if trouble else ())
