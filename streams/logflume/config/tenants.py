"""A tenant's configuration as a message: the same tenant always gives the same bytes, and comes back equal.

What no worker could work with is refused, as if it could not be read: a publisher with a bug must not matter.
"""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

from logflume.errors import Refused
from logflume.kafka.single_object import SingleObject
from logflume.model import secret
from logflume.model.job import FileFormat, Job, Target, is_key
from logflume.model.owner import Owner
from logflume.model.rates import Rates
from logflume.model.route import Route
from logflume.model.tenant import Tenant, TenantDataset
from logflume.model.token import Scope, Token


class Codec:
    """Writes and reads tenants by the contract's schema."""

    def __init__(self, topics_dir: str = "") -> None:
        self._encoding = SingleObject(topics_dir, "tenant")

    def encode(self, tenant: Tenant) -> bytes:
        """Return the message's value."""
        return self._encoding.encode(
            {
                "name": tenant.name,
                "owner": tenant.owner,
                "principal": tenant.principal,
                "rates": _fields(tenant.rates),
                "datasets": [_dataset(tenant.datasets[name]) for name in sorted(tenant.datasets)],
                "jobs": [_job(tenant.jobs[key]) for key in sorted(tenant.jobs)],
                "tokens": [_token(token) for token in sorted(tenant.tokens, key=lambda token: token.id)],
            }
        )

    def decode(self, value: bytes) -> Tenant:
        """Read a message's value; raises ``Refused`` when it is no tenant that this version knows."""
        record: Any = self._encoding.decode(value)
        try:
            return Tenant(
                name=record["name"],
                datasets=MappingProxyType({each["dataset"]: _read_dataset(each) for each in record["datasets"]}),
                jobs=MappingProxyType({each["key"]: _read_job(each) for each in record["jobs"]}),
                tokens=tuple(map(_read_token, record["tokens"])),
                rates=_read_rates(record["rates"]),
                principal=record["principal"],
                owner=Owner(record["owner"]),
            )
        except ValueError as error:
            raise Refused(f"a stored tenant can't be read: {error}; is it a newer release's?") from None


def _fields(record: Any) -> dict[str, Any]:
    """The fields of a flat data class."""
    return {name: getattr(record, name) for name in record.__slots__}


def _dataset(wanted: TenantDataset) -> dict[str, Any]:
    return _fields(wanted) | {"routes": [_fields(route) for route in wanted.routes]}


def _job(job: Job) -> dict[str, Any]:
    try:
        secret.check(job)
    except ValueError as error:
        raise Refused(str(error)) from None
    return _fields(job) | {"target": _fields(job.target)}


def _token(token: Token) -> dict[str, Any]:
    return _fields(token) | {"scopes": sorted(token.scopes)}


def _read_rates(record: dict[str, Any]) -> Rates:
    rates = Rates(**record)
    if rates.bytes_per_second < 0 or rates.records_per_second < 0 or rates.burst_seconds < 1:
        raise ValueError(f"{rates} are no rates")
    return rates


def _read_dataset(record: dict[str, Any]) -> TenantDataset:
    routes = tuple(Route(**(route | {"starts": tuple(route["starts"])})) for route in record["routes"])
    found = TenantDataset(**(record | {"routes": routes, "owner": Owner(record["owner"])}))
    if found.retention_days < 1 or min([found.shards, *(route.shards for route in routes)]) < 1:
        raise ValueError(f"dataset {found.dataset[:80]}: its days and its shards are 1 at least")
    return found


def _read_job(record: dict[str, Any]) -> Job:
    job = Job(
        **(
            record
            | {
                "target": Target(**record["target"]),
                "format": FileFormat(record["format"]),
                "fields": tuple(record["fields"]),
                "owner": Owner(record["owner"]),
            }
        )
    )
    if not is_key(job.key):  # it becomes a part of paths
        raise ValueError(f"{job.key[:80]!r} is no job's key")
    if job.max_rows < 1 or job.max_bytes < 1 or not 0 < job.max_age_seconds < math.inf:
        raise ValueError(f"job {job.key}: its objects can't have limits of 0 or less, nor wait for ever")
    secret.check(job)
    return job


def _read_token(record: dict[str, Any]) -> Token:
    return Token(**(record | {"scopes": frozenset(map(Scope, record["scopes"])), "owner": Owner(record["owner"])}))
