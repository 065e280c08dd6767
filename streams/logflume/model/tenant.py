"""Tenants and the configuration: who wants which datasets, and for how long; a change is a new generation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from types import MappingProxyType

from logflume.errors import Misconfigured
from logflume.model.job import Job
from logflume.model.owner import Owner
from logflume.model.rates import NO_RATES, Rates
from logflume.model.route import Retired, Route
from logflume.model.token import Scope, Token, id_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")

_NO_ROUTES: Mapping[str, tuple[Route, ...]] = MappingProxyType({})


def check_tenant_name(name: str) -> str:
    """Return ``name`` if it may be a tenant's: it becomes a segment of paths. Raise ``Misconfigured`` otherwise."""
    if not _NAME.fullmatch(name):
        raise Misconfigured(f"{name[:140]!r} is no tenant's name: letters, digits, _ . - (not first), 128 at most")
    return name


@dataclass(frozen=True, slots=True)
class TenantDataset:
    """A dataset that a tenant wants kept, and for how many days from arrival.

    ``shards`` is over how many sorted partitions its rows go, as wanted; ``routes`` are the changes of it that were
    made, in their order: none, and all goes to one.
    """

    dataset: str
    retention_days: int
    shards: int = 1
    routes: tuple[Route, ...] = ()
    owner: Owner = Owner.FILE


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where rows of one tenant and dataset come to rest: the tenant's table, or the objects of one of its jobs.

    ``name`` is the job's key, or empty for the table: tenant and name tell the outlets of a dataset apart.
    """

    tenant: str
    name: str = ""
    job: Job | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose token somebody showed, and which it is."""

    tenant: str
    token: Token

    def may(self, scope: Scope) -> bool:
        """Whether the token allows this."""
        return scope in self.token.scopes


@dataclass(frozen=True)
class Tenant:
    """A tenant: its datasets by their name, its jobs by their key, and the tokens that its senders may show.

    ``principal`` is the Kafka user of its own producers, empty when it has none.
    """

    name: str
    datasets: Mapping[str, TenantDataset]
    jobs: Mapping[str, Job] = field(default_factory=lambda: MappingProxyType({}))
    tokens: tuple[Token, ...] = ()
    rates: Rates = NO_RATES
    principal: str = ""
    owner: Owner = Owner.FILE

    # Kept with the tenant: most are the same object in the next generation, which then costs what has changed.

    @cached_property
    def outlets(self) -> tuple[tuple[tuple[str, str], tuple[Outlet, ...]], ...]:
        """By pair of tenant and dataset, where its rows go: the table, then its jobs."""
        return tuple(
            (
                (self.name, dataset),
                (
                    Outlet(self.name),
                    *(Outlet(self.name, job.key, job) for job in self.jobs.values() if job.dataset == dataset),
                ),
            )
            for dataset in self.datasets
        )

    @cached_property
    def holders(self) -> tuple[tuple[str, Holder], ...]:
        """Its tokens by their ids."""
        return tuple((token.id, Holder(self.name, token)) for token in self.tokens)

    @cached_property
    def longest_wait(self) -> float:
        """For how many seconds rows may wait for one of its jobs' objects to be full."""
        return max((job.max_age_seconds for job in self.jobs.values()), default=0.0)

    @cached_property
    def routed(self) -> tuple[TenantDataset, ...]:
        """Its datasets that have routes."""
        return tuple(wanted for wanted in self.datasets.values() if wanted.routes)


@dataclass(frozen=True)
class Configuration:
    """One whole generation of the configuration; never changed, only replaced.

    ``made_ns``: when it was published; 0 when nobody published it. ``retired``: routes of pairs that are no more.
    """

    generation: int
    hash: str
    tenants: Mapping[str, Tenant]
    made_ns: int = 0
    retired: tuple[Retired, ...] = ()

    @cached_property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """The active (tenant, dataset) pairs: whose rows are wanted."""
        return frozenset(self._outlets)

    def prepare(self) -> None:
        """Make ready what is often asked for: with thousands of tenants the first to ask would wait for it."""
        _ = self.pairs, self._tokens, self.longest_wait, self._routes

    def wants(self, tenant: str, dataset: str) -> bool:
        """Whether rows of this tenant and dataset are kept at all."""
        return bool(self.outlets(tenant, dataset))

    def holder(self, text: str, now_ns: int) -> Holder | None:
        """Return whose token this text is at that time; None: nobody's, or one that has expired."""
        found = self._tokens.get(id_of(text) or "")
        if found is None or not found.token.matches(text) or found.token.has_expired(now_ns):
            return None
        return found

    def holder_by_id(self, id: str, now_ns: int) -> Holder | None:
        """Return whose token has this id at that time, for those who know by other means that it was shown."""
        found = self._tokens.get(id)
        return None if found is None or found.token.has_expired(now_ns) else found

    def allowed(self, text: str, scope: Scope, now_ns: int) -> str | None:
        """Return the tenant whose token this text is if the token allows ``scope`` at that time; else None."""
        found = self.holder(text, now_ns)
        return found.tenant if found is not None and found.may(scope) else None

    @cached_property
    def _tokens(self) -> Mapping[str, Holder]:
        return dict(chain.from_iterable(tenant.holders for tenant in self.tenants.values()))

    def outlets(self, tenant: str, dataset: str) -> tuple[Outlet, ...]:
        """Return where rows of this tenant and dataset go: its table, then its jobs; none: nobody wants them."""
        return self._outlets.get((tenant, dataset), ())

    @cached_property
    def longest_wait(self) -> float:
        """For how many seconds rows may wait for a job's object to be full: no longer than any job says."""
        return max((tenant.longest_wait for tenant in self.tenants.values()), default=0.0)

    def routes(self, dataset: str) -> Mapping[str, tuple[Route, ...]]:
        """Return the routes of a dataset's tenants, of those only that have some; the same object at every call."""
        return self._routes.get(dataset, _NO_ROUTES)

    @cached_property
    def _routes(self) -> Mapping[str, Mapping[str, tuple[Route, ...]]]:
        found: dict[str, dict[str, tuple[Route, ...]]] = {}
        for retired in self.retired:
            found.setdefault(retired.dataset, {})[retired.tenant] = retired.routes
        for tenant in self.tenants.values():
            for wanted in tenant.routed:
                found.setdefault(wanted.dataset, {})[tenant.name] = wanted.routes
        return found

    @cached_property
    def _outlets(self) -> Mapping[tuple[str, str], tuple[Outlet, ...]]:
        """Of every pair; a sink asks once a run."""
        return dict(chain.from_iterable(tenant.outlets for tenant in self.tenants.values()))
