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

_ROUNDS = 3
_CALLERS = 8  # SeaweedFS lets the losers wait, a second or more; a store that ignores the header lets all win


@dataclass(frozen=True, slots=True)
class Probed:
    """``rounds`` races of ``callers`` were run, and each had one winner."""

    rounds: int
    callers: int


def probe(store: Store) -> Probed:
    """Race simultaneous conditional puts. Raises ``Refused`` when not exactly one wins, ``Retryable`` on failures."""
    with ThreadPoolExecutor(_CALLERS, thread_name_prefix="probe") as pool:
        for _ in range(_ROUNDS):
            winners = _race(store, pool)
            if winners != 1:
                raise Refused(
                    f"the store {store.url} let {winners} of {_CALLERS} simultaneous writers make the same object: it "
                    f"ignores If-None-Match, and a table there would lose rows. Use a store with conditional puts "
                    f"(Amazon S3, SeaweedFS 4.48 or later, MinIO)."
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
