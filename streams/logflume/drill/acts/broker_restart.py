"""``broker-restart``: Kafka is killed, comes back, and later hangs for a minute."""

from __future__ import annotations

from logflume.drill.drill import Drill, real, small
from logflume.drill.scene import Scene
from logflume.local.kafka import answers

_BACK_SECONDS = 120.0


def play(scene: Scene) -> None:
    """Kill the broker without warning; once it serves again, stop it where it stands for as long as the size says."""
    bootstrap = scene.ground.settings.kafka_bootstrap
    scene.ground.kill("kafka")
    scene.harmed("kafka killed (SIGKILL)")
    scene.until(lambda: answers(bootstrap), _BACK_SECONDS, "Kafka serves clients")
    scene.did("Kafka serves clients again")
    scene.hold(scene.size.harm_seconds / 6)
    scene.ground.pause("kafka")
    scene.did("kafka stopped (SIGSTOP)")
    scene.hold(scene.size.harm_seconds)
    scene.ground.resume("kafka")
    scene.repaired("kafka let go on (SIGCONT)")


DRILL = Drill(
    name="broker-restart",
    what="Kafka is killed and comes back, then hangs for a minute: edges answer from their spools meanwhile.",
    play=play,
    sizes={"small": small(harm_seconds=4.0), "real": real(harm_seconds=60.0, recover_seconds=180.0)},
)
