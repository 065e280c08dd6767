"""Changes of shards: from which ingest offsets on a tenant's rows go over another number of sorted partitions.

H1  A tenant and dataset get a new route when their newest rows, of any ingest partition, would go otherwise than is
    wanted: also when partitions were added to the ingest topic since, or when it was made again.
H2  Routes come from the generation in force, whoever asks for a change: to go back to an old generation brings back its
    shards, and makes a new route. Rows that lie before it keep theirs.
H3  A route is kept as long as the ingest log may have a row that goes by it, and when nobody wants the pair any more.
H4  A route begins, in each ingest partition, at the marker that was put there by the transaction that publishes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType

from confluent_kafka.admin import AdminClient

from logflume.errors import Misconfigured
from logflume.kafka import cursors, topics
from logflume.model.route import Retired, Route
from logflume.model.tenant import Configuration, Tenant, TenantDataset
from logflume.settings import Settings

_ONE = 1
"""Shards of whoever has no routes."""


@dataclass(frozen=True, slots=True)
class Ingest:
    """The ingest topic of a dataset: its id, and by partition the first offset that is still there.

    ``most_shards``: the partitions of the sorted topic.
    """

    topic: str
    topic_id: str
    begins: tuple[int, ...]
    most_shards: int


@dataclass(frozen=True)
class Plan:
    """What a generation does to routing. ``changes``: of each dataset, the shards that a tenant gets from now on."""

    tenants: Mapping[str, Tenant]
    """With the routes that they keep."""
    retired: tuple[Retired, ...]
    changes: Mapping[str, Mapping[str, int]]
    _ingests: Mapping[str, Ingest]

    def markers(self) -> Iterator[tuple[str, int]]:
        """Topic and partition of each marker that the generation needs."""
        for dataset in self.changes:
            ingest = self._ingests[dataset]
            yield from ((ingest.topic, partition) for partition in range(len(ingest.begins)))

    def begun(
        self, generation: int, offsets: Mapping[tuple[str, int], int]
    ) -> tuple[Mapping[str, Tenant], tuple[Retired, ...]]:
        """Return the tenants, and what is retired, with their new routes; ``offsets`` are those of the markers (H4)."""
        tenants, retired = dict(self.tenants), {(each.tenant, each.dataset): each for each in self.retired}
        for dataset, changes in self.changes.items():
            ingest = self._ingests[dataset]
            starts = tuple(offsets[ingest.topic, partition] for partition in range(len(ingest.begins)))
            for name, shards in changes.items():
                route = Route(generation, shards, ingest.topic_id, starts)
                if (name, dataset) in retired:
                    each = retired[name, dataset]
                    retired[name, dataset] = replace(each, routes=(*each.routes, route))
                else:
                    wanted = tenants[name].datasets[dataset]
                    tenants[name] = _with(tenants[name], replace(wanted, routes=(*wanted.routes, route)))
        return MappingProxyType(tenants), tuple(retired.values())


def plan(settings: Settings, admin: AdminClient, before: Configuration | None, tenants: Mapping[str, Tenant]) -> Plan:
    """Say what becomes of routing when ``tenants`` follow ``before``; Kafka is asked only if someone has shards.

    Raises ``Misconfigured``: more shards than partitions, or a topic that is not there; ``Retryable``.
    """
    had = {retired.dataset for retired in before.retired} if before else set()
    had |= {dataset for each in (before.tenants.values() if before else ()) for dataset in _sharded(each)}
    concerned = sorted(had | {dataset for each in tenants.values() for dataset in _sharded(each)})
    return planned(before, tenants, {dataset: ingest(settings, admin, dataset) for dataset in concerned})


def planned(before: Configuration | None, tenants: Mapping[str, Tenant], ingests: Mapping[str, Ingest]) -> Plan:
    """Say what becomes of routing; ``ingests`` has every dataset of which anyone has, or had, shards."""
    kept = {
        (name, dataset): routes
        for dataset, each in ingests.items()
        for name, theirs in (before.routes(dataset).items() if before else ())
        if (routes := _kept(theirs, each))
    }
    found: dict[str, Tenant] = {}
    changes: dict[str, dict[str, int]] = {}
    for name, tenant in tenants.items():
        found[name] = tenant
        for dataset, wanted in tenant.datasets.items():
            routes = kept.pop((name, dataset), ())
            if routes != wanted.routes:
                found[name] = _with(found[name], replace(wanted, routes=routes))
            if dataset in ingests:
                _check(name, wanted, ingests[dataset])
                if _differs(routes, wanted.shards, ingests[dataset]):
                    changes.setdefault(dataset, {})[name] = wanted.shards
    for (name, dataset), routes in kept.items():  # nobody wants these: they end as soon as the log has ended theirs
        if _differs(routes, _ONE, ingests[dataset]):
            changes.setdefault(dataset, {})[name] = _ONE
    retired = tuple(Retired(name, dataset, routes) for (name, dataset), routes in sorted(kept.items()))
    return Plan(MappingProxyType(found), retired, changes, ingests)


def ingest(settings: Settings, admin: AdminClient, dataset: str) -> Ingest:
    """Ask Kafka about a dataset's ingest topic. Raises ``Misconfigured`` when it is not there, or ``Retryable``."""
    name, sorted_name = topics.ingest_topic(settings, dataset), topics.sorted_topic(settings, dataset)
    found = topics.present(admin, [name, sorted_name])
    if missing := {name, sorted_name} - set(found):
        raise Misconfigured(f"Kafka has no topic {', '.join(sorted(missing))}; `logflume topics apply` makes it")
    begins = cursors.starts(admin, name, range(found[name].partitions))
    return Ingest(name, found[name].id, tuple(begins[p] for p in sorted(begins)), found[sorted_name].partitions)


def _kept(routes: Sequence[Route], ingest: Ingest) -> tuple[Route, ...]:
    """Leave out the routes by which no row of the log can go any more (H3)."""
    here = [route for route in routes if route.topic_id == ingest.topic_id]
    kept = [route for route, later in pairwise(here) if not _passed(route, later, ingest)]
    if here and not (not kept and here[-1].shards == _ONE and _passed(here[-1], here[-1], ingest)):
        kept.append(here[-1])
    return tuple(kept)


def _passed(route: Route, later: Route, ingest: Ingest) -> bool:
    """Whether the log begins, in every partition of ``route``, only where ``later`` holds."""
    return len(later.starts) >= len(route.starts) and all(
        start <= begin for start, begin in zip(later.starts, ingest.begins, strict=False)
    )


def _differs(routes: Sequence[Route], shards: int, ingest: Ingest) -> bool:
    """Whether the newest rows of some ingest partition go by another number of shards (H1)."""
    return any(
        next((n for route in reversed(routes) if (n := route.shards_of(ingest.topic_id, p)) is not None), _ONE)
        != shards
        for p in range(len(ingest.begins))
    )


def _check(tenant: str, wanted: TenantDataset, ingest: Ingest) -> None:
    if wanted.shards > ingest.most_shards:
        raise Misconfigured(
            f"{tenant}: datasets.{wanted.dataset}.shards: {wanted.shards} is more than the {ingest.most_shards} "
            f"partitions of the sorted topic"
        )


def _sharded(tenant: Tenant) -> Iterator[str]:
    return (wanted.dataset for wanted in tenant.datasets.values() if wanted.shards > _ONE or wanted.routes)


def _with(tenant: Tenant, wanted: TenantDataset) -> Tenant:
    return replace(tenant, datasets=MappingProxyType({**tenant.datasets, wanted.dataset: wanted}))
