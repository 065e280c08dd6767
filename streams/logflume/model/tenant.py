"""Tenants and the configuration: who wants which datasets, and for how long; a change is a new generation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

import orjson

from logflume.errors import Misconfigured
from logflume.model.job import Job
from logflume.model.token import Token, id_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def check_tenant_name(name: str) -> str:
    """Return ``name`` if it may be a tenant's: it becomes a segment of paths. Raise ``Misconfigured`` otherwise."""
    if not _NAME.fullmatch(name):
        raise Misconfigured(f"{name[:140]!r} is no tenant's name: letters, digits, _ . - (not first), 128 at most")
    return name


@dataclass(frozen=True, slots=True)
class TenantDataset:
    """A dataset that a tenant wants kept, and for how many days from arrival."""

    dataset: str
    retention_days: int


@dataclass(frozen=True, slots=True)
class Outlet:
    """Where rows of one tenant and dataset come to rest: the tenant's table, or the objects of one of its jobs.

    ``name`` is the job's key, or empty for the table: tenant and name tell the outlets of a dataset apart.
    """

    tenant: str
    name: str = ""
    job: Job | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Tenant:
    """A tenant: its datasets by their name, its jobs by their key, and the tokens that its senders may show."""

    name: str
    datasets: Mapping[str, TenantDataset]
    jobs: Mapping[str, Job] = field(default_factory=lambda: MappingProxyType({}))
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True)
class Configuration:
    """One whole generation of the configuration; never changed, only replaced."""

    generation: int
    hash: str
    tenants: Mapping[str, Tenant]

    def wants(self, tenant: str, dataset: str) -> bool:
        """Whether rows of this tenant and dataset are kept at all."""
        return bool(self.outlets(tenant, dataset))

    def owner(self, token: str) -> str | None:
        """Return the tenant whose token this text is; None: nobody's."""
        found = self._tokens.get(id_of(token) or "")
        return found[0] if found is not None and found[1].matches(token) else None

    @cached_property
    def _tokens(self) -> Mapping[str, tuple[str, Token]]:
        return {token.id: (tenant.name, token) for tenant in self.tenants.values() for token in tenant.tokens}

    def outlets(self, tenant: str, dataset: str) -> tuple[Outlet, ...]:
        """Return where rows of this tenant and dataset go: its table, then its jobs; none: nobody wants them."""
        return self._outlets.get((tenant, dataset), ())

    @cached_property
    def longest_wait(self) -> float:
        """For how many seconds rows may wait for a job's object to be full: no longer than any job says."""
        ages = (job.max_age_seconds for tenant in self.tenants.values() for job in tenant.jobs.values())
        return max(ages, default=0.0)

    @cached_property
    def _outlets(self) -> Mapping[tuple[str, str], tuple[Outlet, ...]]:
        """Of every pair; a sink asks once a run."""
        return {
            (tenant.name, dataset): (
                Outlet(tenant.name),
                *(Outlet(tenant.name, job.key, job) for job in tenant.jobs.values() if job.dataset == dataset),
            )
            for tenant in self.tenants.values()
            for dataset in tenant.datasets
        }


def fingerprint(tenants: Mapping[str, Tenant]) -> str:
    """Return the hash of what the tenants say, whatever order they stand in: equal configurations, equal text."""
    pairs = {
        name: {
            "datasets": {dataset.dataset: dataset.retention_days for dataset in tenant.datasets.values()},
            "jobs": {key: [*job.definition().values(), *job.limits] for key, job in tenant.jobs.items()},
            "tokens": {token.id: [token.sha256, token.note] for token in tenant.tokens},
        }
        for name, tenant in tenants.items()
    }
    return hashlib.sha256(orjson.dumps(pairs, option=orjson.OPT_SORT_KEYS)).hexdigest()
