"""``whale``: one tenant sends nineteen times as much as all others together."""

from __future__ import annotations

from logflume.drill.drill import Drill, real, small
from logflume.drill.scene import Scene

SHARE = 0.95


def play(scene: Scene) -> None:
    """Let the whale swim in, and leave."""
    whale = scene.send("whale", scene.more, scene.size.more_rows_a_second)
    scene.harmed(f"{scene.more[0].name} sends {scene.size.more_rows_a_second:,.0f} rows/s: {SHARE:.0%} of all")
    scene.hold(scene.size.harm_seconds)
    scene.stop(whale)
    scene.repaired("the whale is gone")


def _whale(rows_a_second: float) -> float:
    return rows_a_second * SHARE / (1 - SHARE)


DRILL = Drill(
    name="whale",
    what="One tenant sends 95 % of all rows: the others wait at most twice as long as before.",
    play=play,
    sizes={
        "small": small(
            rows_a_second=100, rate_during=True, waiting_factor=2.0, more_tenants=1, more_rows_a_second=_whale(100)
        ),
        "real": real(
            rows_a_second=800, rate_during=True, waiting_factor=2.0, more_tenants=1, more_rows_a_second=_whale(800)
        ),
    },
    given=True,
)
