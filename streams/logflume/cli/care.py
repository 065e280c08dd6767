"""``logflume care``: run a care worker until SIGTERM."""

from __future__ import annotations

import os
import signal
import threading

import structlog

from logflume import contract, health, logs, memory
from logflume.care.look import Carer
from logflume.care.membership import Everything, Membership
from logflume.care.worker import Worker
from logflume.clock import SystemClock
from logflume.config import opened
from logflume.model import dataset
from logflume.settings import Settings
from logflume.table.probe import probe
from logflume.table.store import Store


def command() -> None:
    """Look after this worker's share of the tables; ends on SIGTERM or Ctrl-C, after the commit that is under way."""
    settings = Settings()
    logs.setup(settings.log_format, settings.log_level)
    memory.setup()
    datasets = dataset.load(contract.find(settings.topics_dir))
    store = Store.from_settings(settings)
    probe(store)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock = SystemClock()
    carer = Carer(settings, datasets, store, clock)
    log = structlog.get_logger("logflume.care")
    with opened(settings, datasets) as source:
        share = Membership(settings) if settings.kafka_bootstrap else Everything()
        try:
            worker = Worker(settings, carer, store, source, share, clock)
            server = None
            if settings.http_port:
                server = health.serve(settings.http_host, settings.http_port, worker.live, worker.ready)
            log.info(
                "care.started", pid=os.getpid(), group=settings.care_group, http=server.address if server else None
            )
            try:
                worker.run(stop)
            finally:
                if server is not None:
                    server.close()
        finally:
            share.close()
    log.info("care.ended")
