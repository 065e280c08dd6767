"""The tenants of a stack on one machine: files in its folder, put in force as a generation before workers start."""

from __future__ import annotations

from pathlib import Path

from logflume import contract
from logflume.clock import SystemClock
from logflume.config import guard, inforce, plan, publish
from logflume.config.author import author
from logflume.config.library import Library
from logflume.config.manifest import Manifest
from logflume.errors import Refused
from logflume.kafka import client
from logflume.model import dataset
from logflume.settings import Settings

SAMPLES = ("acme", "globex")


def folder_of(state_dir: Path) -> Path:
    """Return where the files of a stack lie whose user named no others."""
    return state_dir / "tenants"


def write_samples(folder: Path, topics_dir: str) -> None:
    """Write two tenants that want every dataset, unless there are files already."""
    if list(folder.glob("*.yaml")):
        return
    folder.mkdir(parents=True, exist_ok=True)
    wanted = "".join(f"  {name}:\n" for name in dataset.load(contract.find(topics_dir)))
    for name in SAMPLES:
        (folder / f"{name}.yaml").write_text(f"name: {name}\ndatasets:\n{wanted}")


def apply(settings: Settings, folder: Path, *, always: bool, growing: bool = False) -> Manifest | None:
    """Put the files in force if that changes anything, and return the new generation's manifest.

    Unless ``always``, only when nothing is in force yet: what an operator applied since stays. ``growing``: more than
    the guard's number of new pairs is meant. Raises as ``publish.publish``.
    """
    library, admin = Library.from_settings(settings), client.admin(settings)
    now = inforce.look(settings, admin, library, decided=True)
    if now.configuration is not None and not always:
        return None
    datasets = dataset.load(contract.find(settings.topics_dir))
    found = plan.of_folder(now, folder, datasets, publish.limits(settings))
    if not found.needed:
        return None
    growth = found.pairs_new if growing and isinstance(found.refusal, guard.Grown) else 0
    if found.refusal is not None and not growth:
        raise Refused(f"{found.refusal}; see `logflume config plan {folder}`")
    order = publish.Order(found.base, found.tenants, author(), "logflume local up", growth_of=growth)
    return publish.publish(settings, order, SystemClock())
