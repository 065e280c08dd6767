"""``logflume status``: what every worker last said of itself, and the pressure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import typer

from logflume.cli.listing import AsJson, printable, show
from logflume.clock import SystemClock
from logflume.kafka import client, rights, status
from logflume.kafka.status import Seen
from logflume.settings import Settings

_COLUMNS = ("kind", "id", "state", "age_s", "generation", "lag_s", "memory_mb", "rows_s")
_FEW = (
    "spool",
    "queue",
    "paused",
    "stopped",
    "parked",
    "parked_left_s",
)  # people see them when there is something to see
_TEXTS = ("refused", "troubles")
_MORE = ("hash", "generation_age_s", "lag_records", "budget_mb", "spool_age_s", "host", "pid", "version")


def command(as_json: AsJson = False) -> None:
    """Show each worker with its generation, lag, memory and troubles; a stale one is silent for too long."""
    settings = Settings()
    client.reach(settings)
    rights.require(settings, "status")
    view = status.read(settings, SystemClock())
    rows = [_row(seen) for seen in view.workers()]
    empty = "no worker has told its status yet"
    if as_json:
        show(rows, [*_COLUMNS, *_FEW, *_TEXTS, *_MORE], as_json=True, empty=empty)
        return
    typer.echo(printable(view.pressure().because) or "There is no pressure.")
    show(rows, [*_COLUMNS, *(name for name in _FEW if any(row[name] for row in rows))], as_json=False, empty=empty)
    _say_what_is_wrong(view.workers())


def _say_what_is_wrong(workers: Collection[Seen]) -> None:
    """Sentences need the whole width: below the table, one for all who say the same."""
    said: dict[str, list[str]] = {}
    newest = max((seen.status.condition.in_force.generation for seen in workers), default=0)
    for seen in workers:
        worker, it = seen.status.worker, seen.status.condition
        now = it.in_force.generation
        stays = f"generation {now} stays in force" if now else "none is in force"
        told = [f"configuration refused, {stays}: {it.in_force.refused}"] if it.in_force.refused else []
        if not told and 0 < now < newest:
            told.append(f"{stays}, others have {newest}: its log (config.not-followed-for-now) says what fails")
        if seen.stale:
            told.append(f"has been silent for {seen.age_seconds:.0f} s: it is stopped or dead, or has lost Kafka")
        for each in (*told, *it.troubles):
            said.setdefault(each, []).append(f"{worker.kind} {worker.id}")
    for each, who in said.items():
        typer.echo(printable(f"{', '.join(who)}: {each}"))


def _row(seen: Seen) -> dict[str, Any]:
    worker, it = seen.status.worker, seen.status.condition
    return {
        "kind": worker.kind,
        "id": worker.id,
        "state": "stale" if seen.stale else "fresh",
        "age_s": round(seen.age_seconds, 1),
        "generation": it.in_force.generation or None,
        "lag_s": _rounded(it.lag_seconds),
        "memory_mb": it.resident_bytes // 1_000_000,
        "spool": _rounded(it.spool_share, 3),
        "queue": round(it.queue_share, 3),
        "rows_s": round(seen.status.rows_a_second),
        "paused": round(it.paused_share, 3),
        "stopped": len(it.stopped),
        "parked": it.parked_pairs,
        "parked_left_s": _rounded(it.parked_left_seconds, 0),
        "refused": it.in_force.refused,
        "troubles": "; ".join(it.troubles),
        "hash": it.in_force.config_hash,
        "generation_age_s": _rounded(it.in_force.config_seconds),
        "lag_records": it.lag_records,
        "budget_mb": it.budget_bytes // 1_000_000,
        "spool_age_s": _rounded(it.spool_seconds),
        "host": worker.host,
        "pid": worker.pid,
        "version": worker.version,
    }


def _rounded(value: float | None, digits: int = 1) -> float | None:
    return None if value is None else round(value, digits)
