"""``half-config``: a generation that is not whole, can't be read, or is gone."""

from __future__ import annotations

from logflume.drill import generations
from logflume.drill.acts.blank_config import repair
from logflume.drill.drill import Drill, real, small
from logflume.drill.rogue import Rogue
from logflume.drill.scene import Scene


def play(scene: Scene) -> None:
    """Do to the topic, one after the other, what bugs and hands can do to it."""
    [good] = generations.in_force(scene.ground)
    rogue = Rogue(scene.ground.settings)
    harms = {
        "every second tenant's message is gone, and no manifest came": rogue.half,
        "a manifest has a wrong hash": rogue.wrong_hash,
        "a tenant's message can't be decoded": rogue.undecodable,
        "the topic is emptied": rogue.emptied,
        "the topic is deleted and made again": rogue.made_again,
    }
    scene.harmed(f"generation {good} is in force")
    for what, do in harms.items():
        do()
        scene.did(what)
        scene.hold(scene.size.harm_seconds / len(harms))
        found = generations.in_force(scene.ground)
        told = ", ".join(sorted(str(each) for each in found))
        scene.found(what, f"generation {good} stays in force", told, ok=found == {good})
    repair(scene, good)


DRILL = Drill(
    name="half-config",
    what="Half a generation, a wrong hash, a message nobody can read, an emptied topic: the last good one stays.",
    play=play,
    sizes={
        "small": small(harm_seconds=5.0, rate_during=True),
        "real": real(harm_seconds=75.0, rate_during=True, recover_seconds=60.0),
    },
)
