"""Tenants of a drill: their numbers, names and tokens, and the files that make them known."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from logflume.drill.book import MOST_TENANTS
from logflume.model.token import SECRET_BYTES, digest, text_of

PREFIX = "drill-"
"""What the name of every tenant of a drill begins with; a drill touches no other."""

DATASET = "events"


@dataclass(frozen=True, slots=True)
class DrillTenant:
    """A tenant with one dataset and one token. ``number`` is its place in the ids of its records."""

    number: int
    name: str
    token: str = field(repr=False)

    @property
    def token_id(self) -> str:
        """What its token is called in the configuration."""
        return self.name.removeprefix(PREFIX)[-32:]

    def text(self, *, tokens: bool = True) -> str:
        """Return its file, with its token or without."""
        key = f'{{id: "{self.token_id}", sha256: "{digest(self.token)}"}}'
        listed = f"tokens:\n  - {key}\n" if tokens else ""
        return f"name: {self.name}\ndatasets:\n  {DATASET}:\n{listed}"


def make(drill: str, first: int, count: int) -> tuple[DrillTenant, ...]:
    """Return ``count`` tenants of a drill with fresh tokens, numbered from ``first`` on."""
    if first + count > MOST_TENANTS:
        raise ValueError(f"{first + count} tenants are more than ids can tell apart")
    made = []
    for number in range(first, first + count):
        name = f"{PREFIX}{drill}-{number:05d}"
        made.append(
            DrillTenant(number, name, text_of(name.removeprefix(PREFIX)[-32:], secrets.token_bytes(SECRET_BYTES)))
        )
    return tuple(made)


def write(folder: Path, tenants: Iterable[DrillTenant], *, tokens: bool = True) -> None:
    """Write or replace their files; without ``tokens`` nobody may send for them any more."""
    folder.mkdir(parents=True, exist_ok=True)
    for tenant in tenants:
        (folder / f"{tenant.name}.yaml").write_text(tenant.text(tokens=tokens))


def triples(tenants: Sequence[DrillTenant]) -> list[tuple[int, str, str]]:
    """Number, name and token of each, as a sender's plan has them."""
    return [(tenant.number, tenant.name, tenant.token) for tenant in tenants]
