"""What becomes otherwise from one generation to the next: by tenant, dataset, job and token, field by field."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from logflume.model.job import Job, Target
from logflume.model.tenant import Tenant, TenantDataset
from logflume.model.token import Token

HIDDEN = "(hidden)"
_SECRETS = frozenset({"access_key", "secret_key", "session_token", "sha256"})
_INNER = frozenset({"key", "dataset", "id", "owner", "routes", "target"})
"""Names, what the publisher gives, and what is shown field by field below."""


class Kind(StrEnum):
    """What an object is; in the order in which people want to see them."""

    TENANT = "tenant"
    DATASET = "dataset"
    JOB = "job"
    TOKEN = "token"


class Action(StrEnum):
    """What becomes of it."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Field:
    """A field that changes, or one of what is added or removed; None: there is, or was, none."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """An object of a tenant that changes; ``name`` is empty for the tenant itself."""

    tenant: str
    kind: Kind
    name: str
    action: Action
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes, in the order of the tenants' names; and how many of each kind and action."""

    changes: tuple[Change, ...]

    @property
    def totals(self) -> Counter[tuple[Kind, Action]]:
        """How many objects of a kind are added, changed, removed."""
        return Counter((change.kind, change.action) for change in self.changes)

    def __bool__(self) -> bool:
        return bool(self.changes)


def difference(before: Mapping[str, Tenant], after: Mapping[str, Tenant]) -> Difference:
    """Return what changes from ``before`` to ``after``. Secrets, and references to them, are named, not shown."""
    found: list[Change] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is not new and old != new:
            found.extend(_tenant(name, old, new))
    return Difference(tuple(found))


def described(each: TenantDataset | Job | Token | Tenant) -> dict[str, str]:
    """Return the fields of an object as people read them; a tenant's own only, not what is in it."""
    if isinstance(each, Tenant):
        fields: dict[str, Any] = {"principal": each.principal}
        fields |= {f"rates.{name}": getattr(each.rates, name) for name in type(each.rates).__slots__}
        if not each.rates.bytes_per_second and not each.rates.records_per_second:
            del fields["rates.burst_seconds"]
    else:
        fields = {name: getattr(each, name) for name in type(each).__slots__ if name not in _INNER}
        if isinstance(each, Job):
            fields = {"dataset": each.dataset} | {f: getattr(each.target, f) for f in Target.__slots__} | fields
    if fields.get("shards") == 1:
        del fields["shards"]
    return {name: _spelled(name, value) for name, value in fields.items() if value not in ("", 0, (), None, False)}


def _tenant(name: str, old: Tenant | None, new: Tenant | None) -> Iterator[Change]:
    change = _change(name, Kind.TENANT, "", old, new)
    if change is not None:
        yield change
    sections: tuple[tuple[Kind, Mapping[str, Any], Mapping[str, Any]], ...] = (
        (Kind.DATASET, old.datasets if old else {}, new.datasets if new else {}),
        (Kind.JOB, old.jobs if old else {}, new.jobs if new else {}),
        (Kind.TOKEN, _tokens(old), _tokens(new)),
    )
    for kind, had, has in sections:
        for key in sorted({*had, *has}):
            change = _change(name, kind, key, had.get(key), has.get(key))
            if change is not None:
                yield change


def _change(tenant: str, kind: Kind, name: str, old: Any, new: Any) -> Change | None:
    had = described(old) if old is not None else {}
    has = described(new) if new is not None else {}
    fields = tuple(
        Field(field, had.get(field), has.get(field))
        for field in dict.fromkeys((*had, *has))
        if had.get(field) != has.get(field) or (field in _SECRETS and _otherwise(field, old, new))
    )
    if old is None or new is None:
        return Change(tenant, kind, name, Action.ADD if old is None else Action.REMOVE, fields)
    return Change(tenant, kind, name, Action.CHANGE, fields) if fields else None


def _otherwise(field: str, old: Any, new: Any) -> bool:
    """Whether a hidden field differs."""

    def of(each: Any) -> Any:
        return getattr(each.target, field) if isinstance(each, Job) else getattr(each, field)

    return old is None or new is None or bool(of(old) != of(new))


def _tokens(tenant: Tenant | None) -> dict[str, Token]:
    return {token.id: token for token in tenant.tokens} if tenant else {}


def _spelled(name: str, value: Any) -> str:
    if name in _SECRETS:
        return HIDDEN
    if name.endswith("_ns"):
        return f"{datetime.fromtimestamp(value // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%SZ}"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value))
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
