"""``rolling-restart``: every worker is restarted, one by one, as an update of the whole stack does."""

from __future__ import annotations

import time

from logflume.drill import book
from logflume.drill.drill import Drill, real, small
from logflume.drill.ground import WORKERS, kind
from logflume.drill.scene import Scene

STACK = {"local_edges": 2, "local_sorters": 2, "local_sinks": 2, "local_explorers": 1, "local_carers": 1}


def play(scene: Scene) -> None:
    """Ask each worker to end, and go on to the next once its successor is ready."""
    since, before = time.time(), _restarts(scene)
    scene.harmed(f"{len(before)} workers are restarted, one by one")
    for name in sorted(before, key=lambda name: WORKERS.index(kind(name))):
        began = time.monotonic()
        scene.ground.restart(name)
        scene.did(f"{name} restarted: ready {time.monotonic() - began:.1f} s after SIGTERM")
        scene.hold(scene.size.harm_seconds / len(before))
    scene.repaired("every worker was restarted")
    also = [name for name, count in _restarts(scene).items() if count != before[name] + 1]
    scene.found("workers that ended when nobody had asked them to", "none", ", ".join(also) or "none", ok=not also)
    answers = [entry for sending in scene.sendings for entry in book.read(sending.book) if entry.time >= since]
    doubtful = sum(entry.outcome == book.DOUBTFUL for entry in answers)
    scene.found("bodies that an edge took and did not answer", "0", f"{doubtful}", ok=not doubtful)


def _restarts(scene: Scene) -> dict[str, int]:
    return {part.name: part.restarts for part in scene.ground.workers()}


DRILL = Drill(
    name="rolling-restart",
    what="Every worker is restarted under load, one by one, as an update does: nobody waits long, nobody is refused.",
    play=play,
    sizes={"small": small(harm_seconds=1.0), "real": real(harm_seconds=10.0, recover_seconds=60.0)},
    stack=STACK,
)
