"""Whether a store keeps the one promise on which every table stands: of several who make an object, one succeeds.

Some S3 servers accept ``If-None-Match`` and ignore it. Two commits then share a name, and the later one erases the rows
of the earlier, silently; so such a store is refused before the first row.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

import pyarrow as pa

from logflume.errors import Refused
from logflume.table.store import Store

_ROUNDS = 24
_ROUNDS_AT_ONCE = 12
_CALLERS = 2
"""Where more than one can win, one of two can as well; of three, SeaweedFS lets a loser wait for a second, of eight for
two. Three rounds of eight took six seconds of a sink's start there; these take a tenth of one."""


@dataclass(frozen=True, slots=True)
class Probed:
    """``rounds`` races of ``callers`` were run, and each had one winner."""

    rounds: int
    callers: int


def probe(store: Store) -> Probed:
    """Race simultaneous conditional puts. Raises ``Refused`` when not exactly one wins, ``Retryable`` on failures."""
    with (
        ThreadPoolExecutor(_ROUNDS_AT_ONCE, thread_name_prefix="probe-round") as rounds,
        ThreadPoolExecutor(_ROUNDS_AT_ONCE * _CALLERS, thread_name_prefix="probe") as callers,
    ):
        for winners in rounds.map(lambda _: _race(store, callers), range(_ROUNDS)):
            if winners != 1:
                raise Refused(
                    f"the store {store.url} let {winners} of {_CALLERS + 1} writers make the same object: it ignores "
                    f"If-None-Match, and a table there would lose rows. Use a store with conditional puts (Amazon S3, "
                    f"SeaweedFS 4.48 or later, MinIO)."
                )
    return Probed(_ROUNDS, _CALLERS)


def _race(store: Store, pool: ThreadPoolExecutor) -> int:
    path = f"_probe/{uuid.uuid4().hex}"
    store.write(f"{path}.begin", pa.py_buffer(b"begin"))
    barrier = Barrier(_CALLERS)

    def put(caller: int) -> bool:
        barrier.wait()
        return store.put_if_absent(path, b"%d" % caller) is not None

    try:
        won = sum(pool.map(put, range(_CALLERS)))
        return won + (store.put_if_absent(path, b"late") is not None)
    finally:
        store.delete(path)
        store.delete(f"{path}.begin")
