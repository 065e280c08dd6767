"""Configurations made by hand, and a source that has whichever a test says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from logflume.errors import Unconfigured
from logflume.model import Configuration, Route, Tenant, TenantDataset


def routed(tenant: str, routes: tuple[Route, ...], dataset: str = "events") -> Tenant:
    """A tenant whose rows of a dataset go by ``routes``."""
    shards = routes[-1].shards if routes else 1
    return Tenant(tenant, MappingProxyType({dataset: TenantDataset(dataset, 30, shards, routes)}))


def generation(number: int, routes: Mapping[str, tuple[Route, ...]] | None = None) -> Configuration:
    """A generation with these tenants, of which each has ``events``."""
    tenants = {name: routed(name, theirs) for name, theirs in (routes or {"acme": ()}).items()}
    return Configuration(number, "", MappingProxyType(tenants))


@dataclass
class Generations:
    """A source; None: it has no configuration yet."""

    present: Configuration | None = None
    asked: int = 0
    """How often it was; who waits asks again and again."""

    def current(self) -> Configuration:
        """Return what there is."""
        self.asked += 1
        if self.present is None:
            raise Unconfigured("none yet")
        return self.present
