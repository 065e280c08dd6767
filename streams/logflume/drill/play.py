"""One drill on a stack of its own, from nothing to a report; a failed one leaves its data to be looked at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from logflume.drill.drill import Drill, Scale
from logflume.drill.ground import Ground, Say
from logflume.drill.report import Report
from logflume.drill.run import Cast, run, shortened
from logflume.settings import GivenSettings

SHORT: dict[str, Any] = {
    # A worker that is silent this long loses its partitions; with the default a killed one would cost a minute.
    "sort_session_timeout_seconds": 6.0,
    "sink_session_timeout_ms": 6000,
    "sink_transaction_timeout_ms": 10_000,
    "sink_flush_age_seconds": 0.5,
}
"""Settings of a small drill; a real one has every setting at its default, or as the user has set it."""


def play(drill: Drill, scale: Scale, say: Say, command: str, *, seconds: float | None = None) -> Report:
    """Start a stack, run ``drill`` on it, stop it. When it fails, data and logs stay in the folder that is told."""
    folder = home(drill.name)
    size = shortened(drill.sizes[scale], seconds)
    cast = Cast.of(drill, size)
    ground = Ground(folder, say, **(SHORT if scale == "small" else {}), **drill.settings)
    ground.close()  # what a drill that was killed has left
    shutil.rmtree(folder, ignore_errors=True)
    ground.declare(cast.everybody)
    with ground:
        report = run(drill, ground, size, scale, cast, folder / "senders", say, command)
    if report.ok:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say(f"The data and logs of this drill stay in {folder}.")
    return report


def home(name: str) -> Path:
    """Return the folder of a drill's stack: beside the user's own stack, never inside its data."""
    return GivenSettings().state_dir / "drills" / name
