"""``logflume status``: what every worker last said of itself, and the pressure."""

from __future__ import annotations

from typing import Any

import typer

from logflume.cli.listing import AsJson, printable, show
from logflume.clock import SystemClock
from logflume.kafka import status
from logflume.kafka.status import Seen
from logflume.settings import Settings

_COLUMNS = ("kind", "id", "state", "age_s", "generation", "lag_s", "memory_mb", "spool", "queue", "rows_s", "paused")
_FEW = ("stopped", "parked", "refused", "troubles")
_MORE = ("hash", "generation_age_s", "lag_records", "budget_mb", "spool_age_s", "host", "pid", "version")


def command(as_json: AsJson = False) -> None:
    """Show each worker with its generation, lag, memory and troubles; a stale one is silent for too long."""
    view = status.read(Settings(), SystemClock())
    rows = [_row(seen) for seen in view.workers()]
    columns = [*_COLUMNS, *_FEW]
    if not as_json:
        typer.echo(printable(view.pressure().because) or "There is no pressure.")
        columns = [*_COLUMNS, *(name for name in _FEW if any(row[name] for row in rows))]
    show(rows, [*columns, *_MORE] if as_json else columns, as_json=as_json, empty="no worker has told its status yet")


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
