"""What the operators' files say, put together with what the API owns: the tenants of the next generation.

W1  Only what ``file`` owns is taken from the files or away: what the API owns stays as it is.
W2  A file that names something that the API owns is a conflict, and so is an API's job whose dataset would go.
W3  A job keeps its id for as long as its tenant and key are there; ``numbered`` gives new ones, each once for ever.
W4  Routes are the log's, not the files': they stay with their dataset.
W5  Going back brings no token back that was taken away since; only a tenant that is gone comes back with its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from logflume.model.job import Job
from logflume.model.owner import Owner
from logflume.model.rates import NO_RATES
from logflume.model.tenant import Tenant, TenantDataset

Tenants = Mapping[str, Tenant]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why the files can't be merged. ``kind`` is ``datasets``, ``jobs``, ``tokens``, or empty for the tenant itself."""

    tenant: str
    kind: str
    name: str
    message: str


def merge(before: Tenants, files: Tenants) -> tuple[dict[str, Tenant], list[Conflict]]:
    """Return the tenants as the files want them, and every conflict; with one the tenants must not be used.

    ``before``: those in force. An unchanged tenant comes back as the same object.
    """
    found: dict[str, Tenant] = {}
    conflicts: list[Conflict] = []
    tokens = {token.id: tenant.name for tenant in before.values() for token in tenant.tokens if _is_api(token)}
    for name in sorted({*before, *files}):
        old, new = before.get(name), files.get(name)
        if new is None:
            assert old is not None
            merged = old if old.owner is Owner.API else _without_file(old, conflicts)
        else:
            conflicts.extend(_taken(old, new, tokens))
            merged = new if old is None else _with_file(old, new, conflicts)
        if merged is not None:
            found[name] = old if old is not None and merged == old else merged
    return found, conflicts


def restored(now: Tenants, then: Tenants, later: Iterable[Tenants] = ()) -> dict[str, Tenant]:
    """Return the tenants of an earlier generation for a new one: today's ids, routes and tokens stay (W3 to W5).

    ``later``: the generations in between, the newest first. A tenant that is gone comes back with the tokens that it
    had when it went: one that was revoked before stays so.
    """
    last: dict[str, Tenant] = {}
    missing = then.keys() - now.keys()
    for tenants in later if missing else ():
        last |= {name: tenants[name] for name in missing if name in tenants}
        missing -= last.keys()
        if not missing:
            break
    return {
        name: replace(_kept(now[name], tenant), tokens=now[name].tokens)
        if name in now
        else replace(tenant, tokens=last.get(name, tenant).tokens)
        for name, tenant in then.items()
    }


def numbered(tenants: Tenants, next_job: int) -> tuple[dict[str, Tenant], int]:
    """Return the tenants with an id for every job, and the id that comes next (W3)."""
    found: dict[str, Tenant] = {}
    for name in sorted(tenants):
        tenant = tenants[name]
        new = [key for key in sorted(tenant.jobs) if tenant.jobs[key].id == 0]
        if new:
            jobs = dict(tenant.jobs)
            for key in new:
                jobs[key] = replace(jobs[key], id=next_job)
                next_job += 1
            tenant = replace(tenant, jobs=MappingProxyType(jobs))
        found[name] = tenant
    return found, next_job


def _taken(old: Tenant | None, new: Tenant, tokens: Mapping[str, str]) -> Iterator[Conflict]:
    """What a file names and the API owns (W2)."""
    if old is not None:
        if old.owner is Owner.API:
            yield Conflict(new.name, "", "", f"the tenant {new.name} is owned by the API, not by files")
            return
        for key in new.datasets:
            if key in old.datasets and old.datasets[key].owner is Owner.API:
                yield Conflict(new.name, "datasets", key, "is owned by the API, not by files")
        for key in new.jobs:
            if key in old.jobs and old.jobs[key].owner is Owner.API:
                yield Conflict(new.name, "jobs", key, "is owned by the API, not by files")
    for token in new.tokens:
        if token.id in tokens:
            yield Conflict(new.name, "tokens", token.id, f"is owned by the API, a token of {tokens[token.id]}")


def _with_file(old: Tenant, new: Tenant, conflicts: list[Conflict]) -> Tenant:
    datasets = dict(new.datasets) | {key: each for key, each in old.datasets.items() if _is_api(each)}
    jobs = dict(new.jobs) | {key: job for key, job in old.jobs.items() if _is_api(job)}
    tokens = tuple(token for token in old.tokens if _is_api(token))
    merged = replace(
        new,
        datasets=MappingProxyType(datasets),
        jobs=MappingProxyType(jobs),
        tokens=tuple(sorted((*new.tokens, *tokens), key=lambda token: token.id)),
    )
    conflicts.extend(_orphans(merged))
    return _kept(old, merged)


def _without_file(old: Tenant, conflicts: list[Conflict]) -> Tenant | None:
    """What is left of a tenant whose file is gone: what the API owns of it, and without that nothing, no token either.

    It stays the files': one that comes back is no conflict.
    """
    datasets = {key: each for key, each in old.datasets.items() if _is_api(each)}
    jobs = {key: job for key, job in old.jobs.items() if _is_api(job)}
    if not datasets and not jobs:
        return None
    tokens = tuple(token for token in old.tokens if _is_api(token))
    rest = replace(
        old,
        datasets=MappingProxyType(datasets),
        jobs=MappingProxyType(jobs),
        tokens=tokens,
        rates=NO_RATES,
        principal="",
    )
    conflicts.extend(_orphans(rest))
    return rest


def _orphans(merged: Tenant) -> Iterator[Conflict]:
    for key, job in merged.jobs.items():
        if _is_api(job) and job.dataset not in merged.datasets:
            message = f"the API's job {key} needs the dataset {job.dataset}, which the files would take away"
            yield Conflict(merged.name, "", "", message)


def _kept(old: Tenant, new: Tenant) -> Tenant:
    """``new`` with the ids of the jobs and the routes of the datasets that ``old`` has."""
    datasets: dict[str, TenantDataset] = {}
    for key, each in new.datasets.items():
        routes = old.datasets[key].routes if key in old.datasets else ()
        datasets[key] = each if each.routes == routes else replace(each, routes=routes)
    jobs: dict[str, Job] = {}
    for key, job in new.jobs.items():
        id = old.jobs[key].id if key in old.jobs else job.id
        jobs[key] = job if job.id == id else replace(job, id=id)
    return replace(new, datasets=MappingProxyType(datasets), jobs=MappingProxyType(jobs))


def _is_api(each: object) -> bool:
    return getattr(each, "owner", None) is Owner.API
