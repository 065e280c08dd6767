"""``logflume edge tail``: follow files until SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import structlog
import typer

from logflume import contract, health, logs, memory, model
from logflume.clock import SystemClock
from logflume.config import opened_if_good
from logflume.edge.tail import source
from logflume.edge.tail.source import Options, Source
from logflume.edge.tail.worker import Tail
from logflume.errors import LogflumeError, Misconfigured
from logflume.kafka import rights
from logflume.kafka.renewal import Renewal
from logflume.model import Datasets
from logflume.settings import Settings


def command(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(help="Files, or patterns of them in quotes: '/var/log/app/**/*.log'.", show_default=False),
    ] = None,
    tenant: Annotated[str, typer.Option(help="Whose the records are.")] = "",
    dataset: Annotated[str, typer.Option(help="Which kind of log they are.")] = "events",
    format: Annotated[str, typer.Option(help="json, combined, logfmt, cri (Kubernetes) or text.")] = "text",
    multiline_start: Annotated[
        str, typer.Option(help="Text: a regular expression that the first line of a record matches.")
    ] = "",
    exclude: Annotated[list[str] | None, typer.Option(help="Names or paths to leave out, as a pattern.")] = None,
    namespace: Annotated[
        list[str] | None, typer.Option(help="Kubernetes: NAMESPACE=TENANT; others are --tenant's, or left.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of many sources, instead of all this.")] = None,
    from_end: Annotated[
        bool,
        typer.Option("--from-end/--from-start", help="Where files begin that exist at the very first start."),
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Read all to the end, wait until Kafka has it, and exit.")
    ] = False,
) -> None:
    """Follow files, each line exactly once, whatever rotates them; ends on SIGTERM or Ctrl-C, drained."""
    settings = Settings()
    logs.setup(settings.log_format, settings.log_level)
    memory.setup()
    Renewal(settings).start()
    rights.require(settings, "edge")
    settings.require("kafka_bootstrap")
    datasets = model.load(contract.find(settings.topics_dir))
    if config is not None:
        if patterns or tenant:
            raise Misconfigured("--config says what to follow: give no patterns and no --tenant beside it")
        sources = source.read(config, datasets, settings.edge_tail_record_bytes)
    else:
        options = Options(
            patterns or (), tenant, dataset, format, multiline_start, tuple(exclude or ()), _namespaces(namespace or [])
        )
        sources = (source.source(options, datasets, settings.edge_tail_record_bytes),)
    _run(settings, datasets, sources, from_end=from_end, once=once)


def _run(settings: Settings, datasets: Datasets, sources: tuple[Source, ...], *, from_end: bool, once: bool) -> None:
    with opened_if_good(settings, datasets) as configuration:
        _follow(
            settings,
            Tail(settings, datasets, sources, SystemClock(), from_end=from_end, once=once, configuration=configuration),
            sources,
        )


def _follow(settings: Settings, tail: Tail, sources: tuple[Source, ...]) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server = None
    if settings.http_port:
        server = health.serve(settings, tail.live, tail.ready)
    log = structlog.get_logger("logflume.tail")
    patterns = [pattern for each in sources for pattern in each.patterns]
    log.info("tail.started", pid=os.getpid(), patterns=patterns, http=server.address if server else None)
    try:
        tail.run(stop)
    except Exception as error:
        log.error("tail.failed", error=str(error), exc_info=not isinstance(error, LogflumeError))
        raise
    finally:
        if server is not None:
            server.close()
    log.info("tail.ended")


def _namespaces(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, tenant = pair.partition("=")
        if not (name and equals and tenant):
            raise Misconfigured(f"--namespace {pair}: NAMESPACE=TENANT is wanted")
        found[name] = tenant
    return found
