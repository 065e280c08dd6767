"""A stage's rights with real names: as ACLs of a principal, and as commands that make them."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from logflume.errors import Misconfigured
from logflume.kafka.rights.table import STAGES, Condition, Kind, Right
from logflume.settings import Settings

_OPTIONS = {Kind.TOPIC: "--topic", Kind.GROUP: "--group", Kind.TRANSACTIONAL_ID: "--transactional-id"}


@dataclass(frozen=True, slots=True)
class Acl:
    """One right on one resource. ``why`` and ``condition`` are for people."""

    kind: Kind
    name: str
    prefixed: bool
    operation: str
    why: str
    condition: Condition

    @classmethod
    def of(cls, right: Right, settings: Settings) -> Acl:
        """Fill in what the settings call it."""
        name = right.name.format_map(_Names(settings))
        return cls(right.kind, name, right.prefixed, right.operation, right.why, right.condition)

    @property
    def resource(self) -> str:
        """What it is about: `topic logflume.ingest.*`."""
        return str(self.kind) if self.kind is Kind.CLUSTER else f"{self.kind} {self.name}{'*' if self.prefixed else ''}"

    def __str__(self) -> str:
        return f"{self.operation} on {self.resource}"


def stages(names: Collection[str]) -> list[str]:
    """Return the stages that are meant, none twice; ``Misconfigured`` for one that is unknown."""
    for name in names:
        if name not in STAGES:
            raise Misconfigured(f"there is no stage {name!r}, but {', '.join(STAGES)}")
    return list(dict.fromkeys(names))


def acls(settings: Settings, names: Collection[str], *, needed: bool = False) -> list[Acl]:
    """Return the rights of stages, none twice. ``needed``: only those that these settings make necessary."""
    rights = (right for name in stages(names) for right in STAGES[name])
    found = [Acl.of(right, settings) for right in rights if not needed or right.condition.holds(settings)]
    return list({(acl.kind, acl.name, acl.prefixed, acl.operation): acl for acl in reversed(found)}.values())[::-1]


def commands(found: Collection[Acl], principal: str, bootstrap: str) -> Iterator[str]:
    """Give the lines of a shell script: a `kafka-acls.sh` for each resource, with its reasons."""
    if not principal.startswith("User:") or principal == "User:":
        raise Misconfigured(f"principal {principal!r}: must be User:NAME, as brokers call it")
    by_resource: dict[tuple[Kind, str, bool], list[Acl]] = {}
    for acl in found:
        by_resource.setdefault((acl.kind, acl.name, acl.prefixed), []).append(acl)
    for (kind, name, prefixed), group in by_resource.items():
        for acl in group:
            yield f"# {acl}: {acl.why}" + (f" ({acl.condition})" if acl.condition else "")
        words = ["kafka-acls.sh", "--bootstrap-server", bootstrap, "--add", "--allow-principal", principal]
        for acl in group:
            words += ["--operation", acl.operation]
        words += ["--cluster"] if kind is Kind.CLUSTER else [_OPTIONS[kind], name]
        words += ["--resource-pattern-type", "prefixed"] if prefixed else []
        yield shlex.join(words)


class _Names(dict[str, str]):
    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def __missing__(self, name: str) -> str:
        return str(getattr(self._settings, name))
