"""Kafka's client quotas, brought in line with the configuration: a tenant's own producers are held to its rate.

Q1  The user that a tenant names as ``principal`` gets the tenant's bytes a second as its quota, on each broker; a
    tenant without such a rate, none.
Q2  Only quotas that were set here are ever taken away, also by a process that crashed on its way: before a user's
    first quota its name is noted in the object store, and only after the last one is gone it is forgotten.
Q3  It can be done again at any time, and then changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

import pyarrow.fs as pafs

from logflume.config.allowance import effective
from logflume.errors import Retryable
from logflume.kafka.quotas import Quotas
from logflume.model import Configuration, Rates
from logflume.settings import Settings
from logflume.table.store import Store

FOLDER = "_logflume/config/quotas"
_NAME = re.compile(r"(?:[0-9a-f]{2})+")


class Broker(Protocol):
    """What is needed of ``kafka.quotas.Quotas``."""

    def producers(self) -> dict[str, float]:
        """Return the quota of each user that has one."""
        ...

    def set_producers(self, rates: Mapping[str, float | None]) -> None:
        """Give users quotas; None takes one away."""
        ...


class Notes:
    """Which users were given a quota here: an object each in the store. Raises ``Retryable``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def users(self) -> set[str]:
        """Return those that are noted."""
        selector = pafs.FileSelector(self._store.full(FOLDER), allow_not_found=True)
        try:
            names = [info.base_name for info in self._store.filesystem.get_file_info(selector)]
        except OSError as error:
            raise Retryable(f"{self._store.uri(FOLDER)} could not be listed: {error}") from error
        return {bytes.fromhex(name).decode(errors="replace") for name in names if _NAME.fullmatch(name)}

    def add(self, user: str) -> None:
        """Note a user; it may be there already."""
        self._store.put_if_absent(self._path(user), user.encode())

    def forget(self, user: str) -> None:
        """Note it no more."""
        self._store.delete(self._path(user))

    def _path(self, user: str) -> str:
        return f"{FOLDER}/{user.encode().hex()}"


def wanted(configuration: Configuration, default: Rates) -> dict[str, float]:
    """Return the bytes a second of each principal (Q1)."""
    found = {}
    for tenant in configuration.tenants.values():
        rate = effective(tenant.rates, default).bytes_per_second
        if tenant.principal and rate:
            found[tenant.principal] = float(rate)
    return found


def bring_in_line(
    settings: Settings, configuration: Configuration, *, broker: Broker | None = None, notes: Notes | None = None
) -> dict[str, float | None]:
    """Set what differs, and return it (None: taken away). After ``Retryable`` or ``Misconfigured`` do it again."""
    notes = notes or Notes(Store.from_settings(settings))
    default = Rates(settings.edge_tenant_bytes_per_second, settings.edge_tenant_records_per_second)
    target, noted = wanted(configuration, default), notes.users()
    if not target and not noted:
        return {}  # most have no such tenants: Kafka need not be asked
    broker = broker or Quotas(settings)
    present = broker.producers()
    changes: dict[str, float | None] = {user: rate for user, rate in target.items() if present.get(user) != rate}
    changes |= dict.fromkeys(noted - set(target))  # also one that is not there: it may only not be seen yet
    for user in sorted(set(target) - noted):
        notes.add(user)
    broker.set_producers(changes)
    for user in sorted(noted - set(target)):
        notes.forget(user)
    return changes
