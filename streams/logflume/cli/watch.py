"""``logflume watch``: measure the pipeline and publish the pressure, until SIGTERM; or look once."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from typing import Annotated

import structlog
import typer

from logflume import health, logs
from logflume.cli.listing import AsJson, show
from logflume.clock import SystemClock
from logflume.kafka import rights, status
from logflume.kafka.renewal import Renewal
from logflume.settings import Settings
from logflume.watch import causes, looking, worker


def command(
    once: Annotated[bool, typer.Option("--once", help="Look once, print it, and publish nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how late each stage is and how its workers are, and publish the pressure that edges follow."""
    settings = Settings()
    if once:
        _once(settings, as_json=as_json)
        return
    logs.setup(settings.log_format, settings.log_level)
    Renewal(settings).start()
    rights.require(settings, "watch")
    clock = SystemClock()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    me = status.identity(settings, "watch", clock)
    watch = worker.build(settings, me, clock)
    server = None
    if settings.http_port:
        server = health.serve(settings, watch.live, watch.ready)
    log = structlog.get_logger("logflume.watch")
    log.info("watch.started", pid=os.getpid(), id=me.id, http=server.address if server else None)
    try:
        with status.Reporter(settings, "watch", watch.condition, clock=clock, worker=me):
            watch.run(stop)
    finally:
        watch.close()
        if server is not None:
            server.close()
    log.info("watch.ended")


def _once(settings: Settings, *, as_json: bool) -> None:
    with closing(looking.build(settings, SystemClock())) as looks:
        look = looks.look()
    found = causes.causes(look.late, look.workers, causes.Limits.of(settings))
    level = str(look.pressure.level)
    rows = [
        {"stage": cause.stage, "share": round(cause.share, 3), "level": level, "cause": cause.text} for cause in found
    ]
    show(rows, ["stage", "share", "level", "cause"], as_json=as_json, empty="nothing has a limit")
