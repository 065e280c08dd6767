"""The product's own processes at work over real Kafka and a real object store, and what each of them cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import orjson
import pyarrow.fs as pafs

from benchmarks import records
from benchmarks.measure import Own, Used, child, cpu, peak
from benchmarks.services import Services, environment, wait_at_rest, worker
from logflume.errors import Fatal
from logflume.settings import Settings
from logflume.table.store import Store


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of the pipeline. ``used`` is by process; Kafka and the object store stand beside, not in our sums."""

    rows: int
    wall_seconds: float
    used: dict[str, Used]
    beside: dict[str, Used]
    commits: int
    """Of all tables, which is flushes of the sink."""
    files: int
    bytes_out: int

    @property
    def cpu_seconds(self) -> float:
        """Of all our processes."""
        return sum(used.cpu_seconds for used in self.used.values())

    @property
    def rows_per_cpu_second(self) -> float:
        """Over all our processes."""
        return self.rows / self.cpu_seconds


def run(
    services: Services, settings: Settings, rows: int, feed: Callable[[], Own | None], *, deadline_seconds: float = 900
) -> Ran:
    """Start the workers, let ``feed`` bring in records, wait until all are at rest, and count.

    What ``feed`` returns is the client's cost, part of ours; None when no client of ours was there. The workers'
    start is not counted; their waiting is.
    """
    with worker("sort", settings, services.folder) as sort, worker("sink", settings, services.folder) as sink:
        ours = {"sort": sort.pid, "sink": sink.pid}
        others = {"kafka": services.kafka_pid, "seaweedfs": services.store_pid}
        before = {pid: cpu(pid) for pid in (*ours.values(), *others.values())}
        started = time.perf_counter()
        fed = feed()
        wait_at_rest(settings, [sort, sink], deadline_seconds)
        wall = time.perf_counter() - started
        used = {name: Used(cpu(pid) - before[pid], peak(pid)) for name, pid in ours.items()}
        beside = {name: Used(cpu(pid) - before[pid], peak(pid)) for name, pid in others.items()}
    if fed is not None:
        used = {"client": Used(fed.cpu_seconds, fed.peak_bytes)} | used
    return _counted(settings, Ran(rows, wall, used, beside, 0, 0, 0))


def _counted(settings: Settings, ran: Ran) -> Ran:
    """The same, with what the tables hold; a bench that lost or repeated a row is none."""
    store = Store.from_settings(settings)
    everything = pafs.FileSelector(store.full("tables"), recursive=True)
    objects = [found for found in store.filesystem.get_file_info(everything) if found.type == pafs.FileType.File]
    entries = [found.path for found in objects if found.extension == "json"]
    with ThreadPoolExecutor(8) as pool:
        stored = sum(pool.map(partial(_rows, store), entries))
    if stored != ran.rows:
        raise Fatal(f"{ran.rows} rows were sent and {stored} are at rest in {store.url}")
    sizes = [found.size for found in objects if found.extension == "parquet" and "/_delta_log/" not in found.path]
    return replace(ran, commits=len(entries), files=len(sizes), bytes_out=sum(sizes))


def _rows(store: Store, entry: str) -> int:
    """Rows that one commit added. The tables are new, so that all their entries are still there; opening ten thousand
    of them as Delta tables would take minutes.
    """
    with store.filesystem.open_input_stream(entry) as stream:
        actions = [orjson.loads(line) for line in stream.read().splitlines()]
    return sum(orjson.loads(action["add"]["stats"])["numRecords"] for action in actions if "add" in action)


def publish(settings: Settings, folder: Path, *rounds: str) -> Own:
    """Send the records in ``folder`` by the client library, in a process of its own; ``rounds``: see ``publish``."""
    return child("publish", str(folder), *rounds, environment=environment(settings))


def tenants(folder: Path) -> list[str]:
    """Whose records are in ``folder``."""
    return sorted({piece.tenant for piece in records.read(folder)})
