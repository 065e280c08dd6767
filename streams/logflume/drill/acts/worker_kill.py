"""``worker-kill``: a sorter, a sink and an edge are killed, one after the other."""

from __future__ import annotations

from logflume.drill.drill import Drill, real, small
from logflume.drill.scene import Scene

KINDS = ("sort", "sink", "edge")


def play(scene: Scene) -> None:
    """Kill a process of each kind without warning; whoever keeps them running starts another."""
    pause = scene.size.harm_seconds / len(KINDS)
    for turn, kind in enumerate(KINDS):
        [victim, *_] = scene.ground.names(kind)
        scene.ground.kill(victim)
        (scene.did if turn else scene.harmed)(f"{victim} killed (SIGKILL)")
        if turn + 1 < len(KINDS):
            scene.hold(pause)
    scene.repaired("nothing is left to repair: supervisord starts what ended")


DRILL = Drill(
    name="worker-kill",
    what="A sorter, a sink and an edge are killed in turn under load (kill -9): their successors go on.",
    play=play,
    sizes={"small": small(harm_seconds=3.0), "real": real(harm_seconds=60.0, recover_seconds=150.0)},
)
