"""How soon a record is seen: from ``client.log()`` to an answer that has it, at light load.

As a module it is the measured process: ``python -m benchmarks.freshness SECONDS``, with the services of its settings
and a sorter and a sink that run. A record a tenth of a second, of the tenant that is asked, among some of other
tenants; one question after another asks for all ids. An answer's time counts whole: a record is seen when it has come.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import records
from benchmarks.measure import child, own, report
from benchmarks.services import Services, environment, worker
from logflume import contract, memory, model
from logflume.config.directory import DirectorySource
from logflume.edge import Client
from logflume.explore.live import Live
from logflume.explore.query import Explorer, NoTable, opened
from logflume.settings import Settings
from logflume.table.store import Store

AIMS: Final = {"freshness_p99_seconds": (5.0, "at most"), "freshness_live_p99_seconds": (1.0, "at most")}
TENANT: Final = "acme"
_OTHERS: Final = tuple(f"t{number}" for number in range(10))
_SECONDS: Final = 60.0
_EVERY_SECONDS: Final = 0.1
_LAST_SECONDS: Final = 30.0
_SQL: Final = f'SELECT "RayID" FROM {records.DATASET}'


def run(running: Services) -> dict[str, Any]:
    """Return every figure; see ``tables``."""
    settings = running.settings("freshness", [TENANT, *_OTHERS])
    with worker("sort", settings, running.folder), worker("sink", settings, running.folder):
        return child("freshness", str(_SECONDS), environment=environment(settings)).more


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """What is compared with the aims."""
    return {"freshness_p99_seconds": found["at rest"]["p99"], "freshness_live_p99_seconds": found["live"]["p99"]}


def tables(found: dict[str, Any]) -> Iterator[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
    """Titles, columns and rows of what was measured."""
    columns = ("", "records", "answers", "p50 s", "p99 s", "worst s", "an answer takes, p50 s")
    rows = [
        (
            name,
            f"{each['records']:.0f}",
            f"{each['answers']:.0f}",
            *(f"{each[figure]:.2f}" for figure in ("p50", "p99", "worst", "answer")),
        )
        for name, each in found.items()
    ]
    yield "From client.log() to an answer that has the record", columns, rows


@dataclass
class _Seen:
    """When each record was logged and seen, by its id; and how long answers took."""

    logged: dict[str, float] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    answers: list[float] = field(default_factory=list)

    def figures(self) -> Any:
        """Return what is told."""
        ages = np.array([self.seen[id] - at for id, at in self.logged.items()])
        p50, p99 = np.quantile(ages, (0.5, 0.99))
        return {
            "records": len(ages),
            "answers": len(self.answers),
            "p50": float(p50),
            "p99": float(p99),
            "worst": float(ages.max()),
            "answer": float(np.median(self.answers)),
        }


def main(seconds: float) -> None:
    """Measure, in a process of its own."""
    memory.setup()
    settings = Settings()
    datasets = model.load(contract.find(settings.topics_dir))
    source = DirectorySource(Path(settings.tenants_dir), datasets)
    with (
        own() as found,
        Client(settings) as client,
        closing(Live(settings, source)) as live,
        opened(settings, Store.from_settings(settings), datasets, live=live) as explorer,
    ):
        first = _logged(client, "first")
        client.flush(60)
        deadline = time.monotonic() + 120
        while first not in _ids(explorer, live=True) or not _at_rest(explorer, first):  # all are warm now
            if time.monotonic() > deadline:
                raise TimeoutError("the first record does not come to rest")
            time.sleep(0.1)
        found.more = {
            name: _measure(client, explorer, seconds, name, live=name == "live").figures()
            for name in ("at rest", "live")
        }
    report(found)


def _measure(client: Client, explorer: Explorer, seconds: float, name: str, *, live: bool) -> _Seen:
    seen, done = _Seen(), threading.Event()

    def log() -> None:
        for number in range(int(seconds / _EVERY_SECONDS)):
            at = time.monotonic()
            seen.logged[_logged(client, f"{name}-{number}")] = at
            time.sleep(max(0.0, at + _EVERY_SECONDS - time.monotonic()))
        done.set()

    thread = threading.Thread(target=log)
    thread.start()
    deadline = time.monotonic() + seconds + _LAST_SECONDS
    while not done.is_set() or len(seen.seen) < len(seen.logged):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(seen.logged) - len(seen.seen)} records are not seen after {_LAST_SECONDS} s")
        begun = time.monotonic()
        ids = _ids(explorer, live=live)
        now = time.monotonic()
        seen.answers.append(now - begun)
        seen.seen |= {id: now for id in ids if id.startswith(f"{name}-") and id not in seen.seen}
    thread.join()
    return seen


def _logged(client: Client, id: str) -> str:
    now = time.time_ns()
    for tenant in (TENANT, *_OTHERS):
        client.log(tenant, records.DATASET, {"RayID": id, "EdgeStartTimestamp": now, "EdgeResponseStatus": 200})
    return id


def _at_rest(explorer: Explorer, id: str) -> bool:
    try:
        return id in _ids(explorer, live=False)
    except NoTable:
        return False


def _ids(explorer: Explorer, *, live: bool) -> set[str]:
    with explorer.query(TENANT, _SQL, 1_000_000, live=live) as result:
        return set(result.read_all()["RayID"].to_pylist())


if __name__ == "__main__":
    main(float(sys.argv[1]))
