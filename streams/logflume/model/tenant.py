"""Tenants and the configuration: who wants which datasets, and for how long; a change is a new generation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from logflume.errors import Misconfigured

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


@dataclass(frozen=True)
class Tenant:
    """A tenant and its datasets, by the dataset's name."""

    name: str
    datasets: Mapping[str, TenantDataset]


@dataclass(frozen=True)
class Configuration:
    """One whole generation of the configuration; never changed, only replaced."""

    generation: int
    hash: str
    tenants: Mapping[str, Tenant]

    def wants(self, tenant: str, dataset: str) -> bool:
        """Whether rows of this tenant and dataset are kept at all."""
        found = self.tenants.get(tenant)
        return found is not None and dataset in found.datasets


def fingerprint(tenants: Mapping[str, Tenant]) -> str:
    """Return the hash of what the tenants say, whatever order they stand in: equal configurations, equal text."""
    pairs = {
        name: {dataset.dataset: dataset.retention_days for dataset in tenant.datasets.values()}
        for name, tenant in tenants.items()
    }
    return hashlib.sha256(orjson.dumps(pairs, option=orjson.OPT_SORT_KEYS)).hexdigest()
