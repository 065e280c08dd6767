"""The manifest: what makes tenants' messages one generation, and which of its changes an operator named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from logflume.kafka.single_object import SingleObject
from logflume.model.route import Retired, Route

KEY = b"manifest"
"""Of the manifest on the topic ``config``. No tenant's name is taken: theirs are behind ``tenant/``."""

_PREFIX = b"tenant/"
_MOST_ACCEPTED = 100


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an operator named to get past a guard: how many pairs ``generation`` took away or added; 0: not named."""

    generation: int
    removal_of: int
    growth_of: int
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """See ``topics/schemas/manifest.avsc``."""

    generation: int
    hash: str
    tenants: int
    pairs: int
    jobs: int
    next_job: int
    made_ns: int
    who: str
    why: str
    accepted: tuple[Accepted, ...] = ()
    retired: tuple[Retired, ...] = ()


def last(accepted: Iterable[Accepted]) -> tuple[Accepted, ...]:
    """Return as many as a manifest keeps."""
    return tuple(accepted)[-_MOST_ACCEPTED:]


def key_of(tenant: str) -> bytes:
    """Return the key of a tenant's message."""
    return _PREFIX + tenant.encode()


def tenant_of(key: bytes) -> str | None:
    """Return whose message has this key; None: it is no tenant's."""
    return key.removeprefix(_PREFIX).decode(errors="replace") if key.startswith(_PREFIX) else None


class Codec:
    """Writes and reads manifests by the contract's schema."""

    def __init__(self, topics_dir: str = "") -> None:
        self._encoding = SingleObject(topics_dir, "manifest")

    def encode(self, manifest: Manifest) -> bytes:
        """Return the message's value."""
        return self._encoding.encode(asdict(manifest))

    def decode(self, value: bytes) -> Manifest:
        """Read a message's value; raises ``Refused`` when it is no manifest that this version knows."""
        record: Any = self._encoding.decode(value)
        accepted = tuple(Accepted(**each) for each in record["accepted"])
        return Manifest(**(record | {"accepted": accepted, "retired": tuple(map(_read_retired, record["retired"]))}))


def _read_retired(record: Any) -> Retired:
    routes = tuple(Route(**(route | {"starts": tuple(route["starts"])})) for route in record["routes"])
    return Retired(**(record | {"routes": routes}))
