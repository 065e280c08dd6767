"""``logflume care``: run a care worker until SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack, closing

import structlog

from logflume import contract, health, logs, memory
from logflume.care.look import Carer
from logflume.care.membership import Everything, Membership
from logflume.care.worker import Worker
from logflume.clock import SystemClock
from logflume.config import opened
from logflume.config.telling import in_force
from logflume.kafka import rights
from logflume.kafka.renewal import Renewal
from logflume.kafka.status import Condition, Reporter
from logflume.model import dataset
from logflume.settings import Settings
from logflume.table.probe import probe
from logflume.table.store import Store


def command() -> None:
    """Look after this worker's share of the tables; ends on SIGTERM or Ctrl-C, after the commit that is under way."""
    settings = Settings()
    logs.setup(settings.log_format, settings.log_level)
    memory.setup()
    Renewal(settings).start()
    rights.require(settings, "care")
    datasets = dataset.load(contract.find(settings.topics_dir))
    store = Store.from_settings(settings)
    probe(store)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock = SystemClock()
    carer = Carer(settings, datasets, store, clock)
    log = structlog.get_logger("logflume.care")
    with ExitStack() as ends:
        source = ends.enter_context(opened(settings, datasets))
        share = ends.enter_context(closing(Membership(settings) if settings.kafka_bootstrap else Everything()))
        worker = Worker(settings, carer, store, source, share, clock)

        def measure() -> Condition:
            return Condition(in_force=in_force(source, clock), troubles=tuple((worker.ready() or "").splitlines()))

        address = None
        if settings.http_port:
            server = health.serve(settings, worker.live, worker.ready)
            ends.callback(server.close)
            address = server.address
        if settings.kafka_bootstrap:
            ends.enter_context(Reporter(settings, "care", measure, clock=clock))
        log.info("care.started", pid=os.getpid(), group=settings.care_group, http=address)
        worker.run(stop)
    log.info("care.ended")
