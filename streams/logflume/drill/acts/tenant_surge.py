"""``tenant-surge``: forty times the tenants within a minute, as on the day that this project began with."""

from __future__ import annotations

from logflume.drill.drill import Drill, real, small
from logflume.drill.scene import Scene

FACTOR = 40
_STEPS = 4


def play(scene: Scene) -> None:
    """Put forty times the tenants in force, and let more and more of them send; all stay until the repair."""
    size, ground = scene.size, scene.ground
    ground.declare(scene.more)
    done = ground.apply("forty times the tenants")
    if ground.ours:
        told = done.refused[:120] or f"exit code {done.code} at once"
        scene.found(f"{FACTOR} times the tenants in one generation", "refused until named", told, ok=bool(done.refused))
    scene.did(
        f"{len(scene.more)} more tenants are in force: exit code {done.code}{' ' + done.told if done.code else ''}"
    )
    each = len(scene.more) // _STEPS
    sending = []
    for step in range(_STEPS):
        some = scene.more[step * each : (step + 1) * each if step + 1 < _STEPS else None]
        often = size.harm_seconds / _STEPS / 2
        sending.append(scene.send(f"surge-{step + 1}", some, size.more_rows_a_second / _STEPS, every_seconds=often))
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
        "small": small(tenants=2, rate_during=True, more_tenants=2 * (FACTOR - 1), more_rows_a_second=600),
        "real": real(rate_during=True, recover_seconds=300.0, more_tenants=50 * (FACTOR - 1), more_rows_a_second=3000),
    },
    given=True,
    late=True,
)
