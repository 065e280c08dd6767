"""What would become of the configuration: the tenants of the next generation, and how they differ from today's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from logflume.config import directory, guard, merge
from logflume.config.difference import Difference, difference
from logflume.config.inforce import InForce
from logflume.config.mistakes import Mistakes
from logflume.errors import Misconfigured, Refused
from logflume.model.dataset import Dataset
from logflume.model.tenant import Configuration, Tenant


@dataclass(frozen=True)
class Plan:
    """``base``: the generation in force, 0 for none. ``tenants``: all of the next one; new jobs have no ids yet.

    ``trouble``: what the topic has instead of the generation in force. ``refusal``: what the publisher's guards will
    say unless the number is named.
    """

    base: int
    tenants: Mapping[str, Tenant]
    difference: Difference
    pairs_before: int
    pairs_after: int
    pairs_gone: int
    pairs_new: int
    trouble: str
    refusal: Refused | None
    routing: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By dataset and tenant, over how many sorted partitions new rows go from then on, where that changes."""

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.difference) or bool(self.trouble) or bool(self.routing) or not self.base


def of_folder(now: InForce, folder: Path, datasets: Mapping[str, Dataset], limits: guard.Limits) -> Plan:
    """Plan what a folder's files say, beside what the API owns.

    Raises ``Misconfigured`` with every mistake of the files, and ``Refused`` when they are blank.
    """
    files = directory.read_all(folder, datasets)
    tenants, conflicts = merge.merge(now.configuration.tenants if now.configuration else {}, files)
    mistakes = Mistakes()
    for each in conflicts:
        at = directory.place(folder, each.tenant, each.kind, each.name) if each.tenant in files else each.tenant
        mistakes.add(f"{at}: {each.message}")
    mistakes.raise_any()
    return of_tenants(now, tenants, limits)


def of_generation(
    now: InForce,
    then: Configuration,
    datasets: Mapping[str, Dataset],
    limits: guard.Limits,
    later: Iterable[Configuration] = (),
) -> Plan:
    """Plan to go back to an earlier generation, with everything that it had; ``later`` as ``Library.after`` gives them.

    Raises ``Misconfigured``.
    """
    for _, dataset in sorted(then.pairs):
        if dataset not in datasets:
            raise Misconfigured(f"generation {then.generation} has the dataset {dataset}, which the contract lacks now")
    before = now.configuration.tenants if now.configuration else {}
    return of_tenants(now, merge.restored(before, then.tenants, (each.tenants for each in later)), limits)


def of_tenants(now: InForce, tenants: Mapping[str, Tenant], limits: guard.Limits) -> Plan:
    """Plan a generation of just these tenants."""
    before = now.configuration
    after = Configuration(now.claimed + 1, "", tenants)
    refusal: Refused | None = None
    try:
        guard.check(before, after, limits)
    except Refused as error:
        refusal = error
    had = before.pairs if before else frozenset()
    return Plan(
        base=now.generation,
        tenants=tenants,
        difference=difference(before.tenants if before else {}, tenants),
        pairs_before=len(had),
        pairs_after=len(after.pairs),
        pairs_gone=len(had - after.pairs),
        pairs_new=len(after.pairs - had),
        trouble=now.trouble,
        refusal=refusal,
    )
