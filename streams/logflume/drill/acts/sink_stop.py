"""``sink-stop``: the sinks hang under load, and go on later."""

from __future__ import annotations

from logflume.drill.drill import Drill, real, small
from logflume.drill.scene import Scene


def play(scene: Scene) -> None:
    """Stop every sink where it stands, for as long as the size says; its memory and its membership go stale."""
    sinks = scene.ground.names("sink")
    for name in sinks:
        scene.ground.pause(name)
    scene.harmed(f"{', '.join(sinks)} stopped (SIGSTOP)")
    scene.hold(scene.size.harm_seconds)
    for name in sinks:
        scene.ground.resume(name)
    scene.repaired(f"{', '.join(sinks)} let go on (SIGCONT)")


DRILL = Drill(
    name="sink-stop",
    what="The sinks hang for ten minutes under load: what came meanwhile waits in Kafka, memory stays flat.",
    play=play,
    sizes={"small": small(harm_seconds=8.0), "real": real(harm_seconds=600.0, recover_seconds=300.0)},
)
