"""One drill on a stack of its own, from nothing to a report; a failed one leaves its data to be looked at."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from logflume.drill.drill import Drill, Scale
from logflume.drill.given import GivenGround
from logflume.drill.ground import Say
from logflume.drill.own import OwnGround
from logflume.drill.report import Report
from logflume.drill.run import Cast, run, shortened
from logflume.errors import Refused
from logflume.settings import GivenSettings, Settings

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
    ground = OwnGround(folder, say, **(SHORT if scale == "small" else {}), **drill.stack)
    ground.close()  # what a drill that was killed has left
    shutil.rmtree(folder, ignore_errors=True)
    ground.declare(cast.steady if drill.late else cast.everybody)
    with ground:
        report = run(drill, ground, size, scale, cast, folder / "senders", say, command)
    if report.ok:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say(f"The data and logs of this drill stay in {folder}.")
    return report


def play_on_given(
    drill: Drill, scale: Scale, say: Say, command: str, settings: Settings, *, seconds: float | None = None
) -> Report:
    """Run ``drill`` on the stack that ``settings`` name, and take away what it brought; ``Refused`` for most drills."""
    if not drill.given:
        raise Refused(f"{drill.name} stops or breaks things: it runs on a stack of its own only")
    folder = home(f"{drill.name}-given")
    shutil.rmtree(folder, ignore_errors=True)
    size = shortened(drill.sizes[scale], seconds)
    cast = Cast.of(drill, size)
    ground = GivenGround(folder, say, settings)
    ground.declare(cast.steady if drill.late else cast.everybody)
    with ground:
        return run(drill, ground, size, scale, cast, folder / "senders", say, command)


def home(name: str) -> Path:
    """Return the folder of a drill's stack: beside the user's own stack, never inside its data."""
    return GivenSettings().state_dir / "drills" / name
