"""A table as care reads it, and the one way in which care changes it.

C1  A change is decided by what the log says at one version, and committed as the version after it, or not at all:
    whoever was quicker, a sink, another carer, a hold, is read before anything is decided again.
C2  No ``txn`` is touched: what a sink has stored stays known, and nothing is stored twice.
C3  A sink that loses to a change reads the log again and appends on top of it, as when it loses to another sink.
C4  A hold stands in the log that it protects: what removes rows is decided at a version that has none.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from deltalake import DeltaTable

from logflume import crash, metrics
from logflume.clock import Clock
from logflume.errors import Retryable
from logflume.table import log, schema, snapshot
from logflume.table.log import Change
from logflume.table.snapshot import File
from logflume.table.store import Store

_ATTEMPTS = 20  # of one change; each loses only to somebody else's commit
_PAUSE_SECONDS = (0.005, 0.2)


@dataclass(frozen=True)
class Standing:
    """A table at one version. ``anchor``: see ``log.Head``."""

    store: Store
    path: str
    table: DeltaTable
    anchor: tuple[str, str]

    @property
    def version(self) -> int:
        """The version that was read."""
        return self.table.version()

    @cached_property
    def files(self) -> tuple[File, ...]:
        """Its data files."""
        return snapshot.files(self.table)

    @cached_property
    def properties(self) -> Mapping[str, str]:
        """The table's properties, Delta's and ours."""
        return snapshot.properties(self.table)

    def has(self, paths: set[str]) -> bool:
        """Whether all of these files are part of it."""
        return paths <= {file.path for file in self.files}


def read(store: Store, path: str) -> Standing | None:
    """Read a table's log to its end; ``None``: there is no table. Raises ``Retryable``, and ``Refused`` as sinks do."""
    table = log.open_table(store, path)
    if table is None:
        return None
    schema.check(table, store.uri(path))
    return Standing(store, path, table, log.anchor(store, path, table.version()))


def settle(store: Store, path: str, decide: Callable[[Standing], Change | None], clock: Clock) -> Change | None:
    """Commit what ``decide`` says of the table as it stands (C1); return what was committed, ``None``: nothing.

    Raises ``Retryable`` when the store fails, or when others were quicker every time.
    """
    for attempt in range(_ATTEMPTS):
        standing = read(store, path)
        change = decide(standing) if standing is not None else None
        if standing is None or change is None:
            return None
        if log.change(store, path, standing.table, standing.anchor, change, clock):
            crash.point("care.committed")
            return change
        metrics.CARE_CONFLICTS.inc()
        least, most = _PAUSE_SECONDS
        time.sleep(min(most, least * 2**attempt) * random.random())
    raise Retryable(f"{store.uri(path)}: {_ATTEMPTS} times others were quicker; the next look will find it again")
