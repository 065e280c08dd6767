"""Queries after many small commits: with nobody's care, beside a carer at work, and when all is merged.

As a module it is the measured process: ``python -m benchmarks.care COMMITS ROWS``, with the store of its settings. Both
tables get the same rows in the same commits; beside one of them a carer looks after every 20 commits, in a thread of
its own: as often as by default at a commit a second. The last look is as long ago as can be when the questions are
asked.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import numpy as np

from benchmarks.explore import AGGREGATES, DATASET, LAST, PAGE, datasets, seconds
from benchmarks.explored import END, Requests
from benchmarks.measure import child, own, report
from benchmarks.services import Services, environment
from logflume import memory
from logflume.care.look import Carer
from logflume.clock import ManualClock
from logflume.errors import Fatal
from logflume.explore.find import find
from logflume.explore.query import Explorer, opened
from logflume.explore.span import ALWAYS, Span
from logflume.settings import Settings
from logflume.table import snapshot
from logflume.table.store import Store
from logflume.table.table import Table

ALONE: Final = "alone"
CARED: Final = "cared"
A_LOOK: Final = 20
"""Commits between two looks: care_seconds at a commit a second."""
REPEATS: Final = 5
_FOR_EVER: Final = 3650


def run(running: Services, commits: int, rows: int) -> dict[str, Any]:
    """Return every figure; see ``main``."""
    settings = running.settings("care", [])
    return child("care", str(commits), str(rows), environment=environment(settings)).more


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """How many times as long the slowest question takes, of when all is merged."""
    return {
        "care_ratio": _worst(found, CARED),
        "uncared_ratio": _worst(found, ALONE),
    }


def _worst(found: dict[str, Any], tenant: str) -> float:
    return max(each / found["merged"][name] for name, each in found[tenant]["seconds"].items())


def tables(found: dict[str, Any]) -> Iterator[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
    """Titles, columns and rows of what was measured."""
    alone, cared, merged = found[ALONE], found[CARED], found["merged"]
    yield (
        f"Questions after {found['commits']:,} commits of {found['rows'] // found['commits']:,} rows, in S3, warm",
        ("", "nobody cares, s", "a carer beside, s", "all merged, s", "ratio without", "ratio with"),
        [
            (
                name,
                f"{alone['seconds'][name]:.3f}",
                f"{cared['seconds'][name]:.3f}",
                f"{merged[name]:.3f}",
                f"{alone['seconds'][name] / merged[name]:.1f}",
                f"{cared['seconds'][name] / merged[name]:.2f}",
            )
            for name in merged
        ],
    )
    yield (
        "The commits meanwhile, and what care took",
        ("", "files left", "MB", "append p50 ms", "append p99 ms", "looks", "MB merged", "care CPU s"),
        [
            (
                title,
                f"{each['files']:,}",
                f"{each['bytes'] / 1e6:.1f}",
                f"{each['p50'] * 1e3:.1f}",
                f"{each['p99'] * 1e3:.1f}",
                f"{each['looks']}",
                f"{each['merged_bytes'] / 1e6:.0f}",
                f"{each['care_seconds']:.1f}",
            )
            for title, each in (("nobody cares", alone), ("a carer beside", cared))
        ],
    )


def main(commits: int, rows: int) -> None:
    """Fill both tables and measure, in a process of its own."""
    memory.setup()
    settings = Settings()
    store = Store.from_settings(settings)
    requests = Requests(commits, rows)
    with own() as found:
        found.more = {"commits": commits, "rows": requests.rows}
        for tenant in (ALONE, CARED):
            found.more[tenant] = _fill(settings, tenant, requests, cared=tenant == CARED)
        with opened(settings, store, datasets()) as explorer:
            found.more[ALONE]["seconds"] = _ask(explorer, [ALONE], requests)[ALONE]
        carer = _carer(settings)
        while carer.look(ALONE, DATASET, _FOR_EVER).worked:
            pass
        with opened(settings, store, datasets()) as explorer:
            asked = _ask(explorer, [CARED, ALONE], requests)  # in turn: what else the machine does meets both
            found.more[CARED]["seconds"], found.more["merged"] = asked[CARED], asked[ALONE]
    report(found)


def _carer(settings: Settings) -> Carer:
    """Its clock stands at the table's noon, a day that is not over: the harder case, with more files left."""
    declared = datasets()
    clock = ManualClock(END * 1_000_000_000)
    return Carer(settings, declared, Store.from_settings(settings), clock, lambda: clock.now_ns() / 1e9)  # type: ignore[arg-type]


def _fill(settings: Settings, tenant: str, requests: Requests, *, cared: bool) -> dict[str, Any]:
    """Write a file a commit; beside it, for one of the two, a carer."""
    store = Store.from_settings(settings)
    table = Table(store, datasets()[DATASET], tenant)
    carer = _carer(settings)
    done: dict[str, float] = {"looks": 0, "merged_bytes": 0, "care_seconds": 0.0}
    took: list[float] = []

    def look() -> None:
        began = time.thread_time()
        done["merged_bytes"] += carer.look(tenant, DATASET, _FOR_EVER).merged_bytes
        done["care_seconds"] += time.thread_time() - began
        done["looks"] += 1

    with ThreadPoolExecutor(1) as beside:
        under_way = None
        for number in range(requests.files):
            rows = requests.rows_of(number)
            offsets = np.full(rows.num_rows, number, np.int64)
            took.append(seconds(lambda r=rows, o=offsets, n=number: table.append("logflume/bench/0", n + 1, o, r)))  # type: ignore[misc]
            if cared and (requests.files - 1 - number) % A_LOOK == A_LOOK - 1:
                if under_way is not None:
                    under_way.result()  # it has 20 s, at a commit a second
                under_way = beside.submit(look)
    held = snapshot.read(store, tenant, DATASET)
    if held is None or held.rows != requests.rows:
        raise Fatal(f"the table of {tenant} does not hold {requests.rows} rows")
    took.sort()
    return {
        **done,
        "files": len(held.files),
        "bytes": held.size,
        "p50": took[len(took) // 2],
        "p99": took[int(len(took) * 0.99)],
    }


def _ask(explorer: Explorer, tenants: Sequence[str], requests: Requests) -> dict[str, dict[str, float]]:
    """Seconds of each question by tenant, the median of some; each was asked once before."""
    ids = [requests.id(requests.rows * at // (REPEATS + 2)) for at in range(1, REPEATS + 2)]
    found: dict[str, dict[str, float]] = {tenant: {} for tenant in tenants}

    def ask(tenant: str, sql: str, span: Span) -> None:
        with explorer.query(tenant, sql, span=span) as result:
            if not result.read_all().num_rows:
                raise Fatal(f"no row answers {sql}")

    def look_up(tenant: str, id: str) -> None:
        [one] = find(explorer, datasets(), tenant, id, DATASET)
        if one.rows.num_rows != 1:
            raise Fatal(f"{one.rows.num_rows} rows have the id {id}")

    def measure(name: str, questions: Sequence[Callable[[str], None]]) -> None:
        took: dict[str, list[float]] = {tenant: [] for tenant in tenants}
        for question in questions:
            for tenant in tenants:
                took[tenant].append(seconds(lambda q=question, t=tenant: q(t)))  # type: ignore[misc]
        for tenant in tenants:
            found[tenant][name] = statistics.median(took[tenant][1:])

    for name, sql in AGGREGATES.items():
        measure(name, [partial(ask, sql=sql, span=ALWAYS)] * (REPEATS + 1))
    measure("first page", [partial(ask, sql=PAGE, span=LAST)] * (REPEATS + 1))
    measure("find by id", [partial(look_up, id=id) for id in ids])
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
