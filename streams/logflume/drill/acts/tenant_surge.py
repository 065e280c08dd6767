"""``tenant-surge``: forty times the tenants within a minute, as on the day that this project began with."""

from __future__ import annotations

from logflume.drill.drill import Drill, real, small
from logflume.drill.scene import Scene

FACTOR = 40
_STEPS = 4


def play(scene: Scene) -> None:
    """Let more and more tenants send, until there are forty times as many; all of them stay until the repair."""
    size = scene.size
    each = len(scene.more) // _STEPS
    sending = []
    for step in range(_STEPS):
        some = scene.more[step * each : (step + 1) * each if step + 1 < _STEPS else None]
        sending.append(scene.send(f"surge-{step + 1}", some, size.more_rows_a_second / _STEPS))
        tell = scene.did if step else scene.harmed
        tell(f"{len(some)} more tenants send")
        scene.hold(size.harm_seconds / _STEPS)
    for each_one in sending:
        scene.stop(each_one)
    scene.repaired("the new tenants fall silent")


DRILL = Drill(
    name="tenant-surge",
    what="Forty times the tenants within a minute, every limit at its default: those before keep their rate.",
    play=play,
    sizes={
        "small": small(tenants=3, rate_during=True, more_tenants=3 * (FACTOR - 1), more_rows_a_second=600),
        "real": real(rate_during=True, recover_seconds=300.0, more_tenants=50 * (FACTOR - 1), more_rows_a_second=3000),
    },
    given=True,
)
