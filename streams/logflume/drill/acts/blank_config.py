"""``blank-config``: the first link of the incident's chain. Nobody is wanted any more, says the configuration."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from logflume.drill import generations
from logflume.drill.drill import Drill, real, small
from logflume.drill.rogue import Rogue
from logflume.drill.scene import Scene

_REFUSE_SECONDS = 30.0
_BACK_SECONDS = 120.0
_FOLLOW_SECONDS = 5.0
_REFUSED = 3
_KEPT_SHARE = 0.4
"""Of the tenants in a shrunken generation: far below what the guard lets go."""


def play(scene: Scene) -> None:
    """Apply an emptied folder; write blank and shrunken generations past the guard; kill workers while one stands."""
    ground = scene.ground
    [good] = generations.in_force(ground)
    scene.harmed(f"generation {good} is in force; an emptied folder is applied")
    empty = scene.folder / "empty"
    empty.mkdir(exist_ok=True)
    done = ground.command("config", "apply", str(empty), "--yes")
    told = f"exit code {done.returncode}"
    scene.found("an emptied folder is refused by `config apply`", "exit code 3", told, ok=done.returncode == _REFUSED)

    rogue = Rogue(ground.settings)
    pause = scene.size.harm_seconds / 4
    writes: tuple[tuple[str, Callable[[], int]], ...] = (
        ("a shrunken", lambda: rogue.shrunk(_KEPT_SHARE)),
        ("a blank", rogue.blank),
    )
    for what, write in writes:
        before = {name: each.refused for name, each in generations.told(ground).items()}
        scene.did(f"a publisher with a bug writes {what} generation, {write()}")
        _everybody_refuses(scene, what, good, before)
        scene.hold(pause)
    _says_so(scene)

    for disk in (True, False):
        _restarted(scene, good, disk=disk)
        scene.hold(pause)
    repair(scene, good)


def repair(scene: Scene, good: int | None) -> None:
    """Apply the files that were good all the time, and see that workers at generation ``good`` follow.

    The operator names how many pairs are new, for a blank generation that stands on the topic counts as in force there.
    """
    done = scene.ground.apply("a drill's repair")
    again = f"exit code {done.code}"
    scene.found("the good folder is applied again", "exit code 0", again, ok=done.code == 0)
    said = f"; refused at first: {done.refused[-200:]}" if done.refused else ""
    scene.repaired(f"the good folder is applied: {again}{said}{'; ' + done.told[-200:] if done.code else ''}")
    seen = scene.now()
    taken = scene.comes(lambda: _new(generations.in_force(scene.ground), good), _FOLLOW_SECONDS)
    told = f"{_listed(generations.in_force(scene.ground))} after {scene.now() - seen:.1f} s"
    scene.found("every worker follows", f"one generation above {good} within {_FOLLOW_SECONDS:.0f} s", told, ok=taken)


def _new(found: set[int | None], good: int | None) -> bool:
    return len(found) == 1 and all(each is not None and each > (good or 0) for each in found)


def _everybody_refuses(scene: Scene, what: str, good: int | None, before: dict[str, int]) -> None:
    def refused() -> bool:
        now = generations.told(scene.ground)
        return all(each.refused > before.get(name, 0) for name, each in now.items())

    ok = scene.comes(refused, _REFUSE_SECONDS)
    found = generations.in_force(scene.ground)
    scene.found(
        f"{what} generation past the publisher's guard",
        f"every worker refuses it and stays at {good}",
        f"{'all refuse' if ok else 'not all refuse'}, in force: {_listed(found)}",
        ok=ok and found == {good},
    )


def _says_so(scene: Scene) -> None:
    found: list[str] = []

    def said() -> bool:
        nonlocal found
        found = generations.complaints(scene.ground)
        return bool(found) and all("blank" in text for text in found)

    ok = scene.comes(said, _REFUSE_SECONDS)
    told = next((text for text in found if text), "nothing")
    scene.found("the status topic tells why it was refused", "each worker's reason", told[:120], ok=ok)


def _restarted(scene: Scene, good: int | None, *, disk: bool) -> None:
    """Kill every worker while a blank generation stands on the topic, with the disk's last good one or without."""
    ground = scene.ground
    victims = list(generations.told(ground))
    if not disk:
        for kept in _kept(ground.folder):
            kept.unlink()
    for name in victims:
        ground.kill(name)
    copy = "with" if disk else "without"
    scene.did(f"{', '.join(victims)} killed (SIGKILL); they come back {copy} a copy on disk")
    scene.comes(lambda: generations.in_force(ground) == {good}, _BACK_SECONDS)
    found = generations.in_force(ground)
    scene.found(
        f"workers killed while it stands, {copy} a copy on disk",
        f"generation {good} in force",
        _listed(found),
        ok=found == {good},
    )


def _kept(folder: Path) -> list[Path]:
    """The copies of the last good generation on this stack's disk."""
    return list((folder / "config").glob("*/last-good.avro"))


def _listed(generations: set[int | None]) -> str:
    return ", ".join(sorted("none told" if each is None else str(each) for each in generations))


DRILL = Drill(
    name="blank-config",
    what="A blank configuration, at the publisher and past it, also while workers restart: the last good one stays.",
    play=play,
    sizes={
        "small": small(harm_seconds=4.0),
        "real": real(harm_seconds=60.0, recover_seconds=120.0),
    },
)
