"""``logflume sink``: run a sink worker until SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Collection
from typing import Annotated

import structlog
import typer

from logflume import contract, health, logs, memory, traces
from logflume.clock import SystemClock
from logflume.config import Source, opened
from logflume.errors import LogflumeError
from logflume.kafka import rights
from logflume.kafka.renewal import Renewal
from logflume.model import Datasets, dataset
from logflume.settings import Settings
from logflume.sink import telling
from logflume.sink.worker import Sink
from logflume.table.probe import probe
from logflume.table.store import Store

_STRAGGLER_SECONDS = 5.0


def command(
    adopt: Annotated[
        list[str] | None,
        typer.Option(help="A sorted topic that was made again on purpose: read the new one from its start."),
    ] = None,
) -> None:
    """Bring the rows of all sorted topics to rest in the tenants' tables; ends on SIGTERM or Ctrl-C, drained."""
    settings = Settings()
    logs.setup(settings.log_format, settings.log_level)
    memory.setup()
    traces.setup(settings, "sink")
    Renewal(settings).start()
    rights.require(settings, "sink")
    datasets = dataset.load(contract.find(settings.topics_dir))
    store = Store.from_settings(settings)
    probe(store)
    with opened(settings, datasets) as source:
        _run(settings, datasets, source, store, adopt or ())


def _run(settings: Settings, datasets: Datasets, source: Source, store: Store, adopt: Collection[str]) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock = SystemClock()
    sink = Sink(settings, datasets, source, store, clock, seed=time.time_ns(), adopt=adopt)
    server = None
    if settings.http_port:
        server = health.serve(settings, sink.health.live, sink.health.ready)
    log = structlog.get_logger("logflume.sink")
    log.info("sink.started", pid=os.getpid(), group=settings.sink_group, http=server.address if server else None)
    tells = telling.reporter(settings, source, sink.health, sink.tenants, clock).start()
    try:
        sink.run(stop)
    except Exception as error:
        log.error("sink.failed", error=str(error), exc_info=not isinstance(error, LogflumeError))
        _leave(sink, 1)
        raise
    finally:
        tells.close()
        if server is not None:
            server.close()
    log.info("sink.ended")
    _leave(sink, 0)


def _leave(sink: Sink, code: int) -> None:
    """End now when a flush still hangs in the store: Python would wait for its thread. Its rows are read again."""
    if not sink.settled(_STRAGGLER_SECONDS):
        sys.stderr.flush()
        os._exit(code)
