"""The least that a query costs, part by part: as the engine runs it, with a clock between."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from benchmarks.explored import DATASET, TENANT
from logflume import model
from logflume.errors import Fatal
from logflume.explore.check import check
from logflume.explore.engine import frames
from logflume.explore.engine.forks import Forks
from logflume.explore.engine.frames import Place, TableTask, Task
from logflume.explore.gateway import Gateway
from logflume.explore.rewrite import rewrite
from logflume.explore.snapshots import Snapshots
from logflume.settings import Settings
from logflume.table.schema import DATE
from logflume.table.store import Store

RUNS: Final = 15


class _Parts:
    """A query by hand, as the engine runs it, with a clock between its parts."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        datasets: Mapping[str, model.Dataset],
        gateway: Gateway,
        forks: Forks,
    ) -> None:
        self._settings = settings
        self._gateway = gateway
        self._forks = forks
        self._snapshots = Snapshots(store)
        self._datasets = datasets

    def run(self, sql: str, *, confined: bool = True) -> dict[str, float]:
        """Seconds by part: check, log, fork, begin (its process, to the plan's schema), rows (to the first)."""
        marks = [time.perf_counter()]
        checked = check(sql, self._datasets)
        text = rewrite(checked, self._datasets)
        marks.append(time.perf_counter())
        objects, tables = {}, []
        for name in checked.tables:
            snapshot = self._snapshots.read(TENANT, name)
            objects |= snapshot.objects(name, snapshot.files)
            tables.append(TableTask(name, snapshot.schema, DATE))
        marks.append(time.perf_counter())
        made = self._gateway.admit(objects)
        process = self._forks.make()
        marks.append(time.perf_counter())
        try:
            memory = int(self._settings.explore_memory_bytes)
            threads = self._settings.explore_threads
            port = self._gateway.port
            frames.send_place(process.stream, Place(port, memory, 60, threads, confined=confined))
            frames.send_task(process.stream, Task(text, tuple(tables), made.key))
            for wanted in (frames.SCHEMA, frames.BATCH):
                kind = _frame(process.stream)
                if kind != wanted:
                    raise Fatal(f"{sql}: a frame {kind!r}")
                marks.append(time.perf_counter())
        finally:
            process.end()
            self._gateway.dismiss(made)
        names = ("check", "log", "fork", "begin", "rows")
        return dict(zip(names, np.diff(marks).tolist(), strict=True))


def _frame(stream: Any) -> bytes:
    kind, length = frames.HEAD.unpack(stream.recv(frames.HEAD.size, 0x100))  # MSG_WAITALL
    while length:
        length -= len(stream.recv(min(length, 1 << 20)))
    return bytes(kind)


def costs(settings: Settings, store: Store, datasets: Mapping[str, model.Dataset]) -> dict[str, dict[str, float]]:
    """Milliseconds by part (the medians): of no table with and without confinement, of one row."""
    with Gateway(store) as gateway, _forks() as forks:
        parts = _Parts(settings, store, datasets, gateway, forks)
        found = {}
        for name, sql, confined in (
            ("SELECT 1, not confined", "SELECT 1 AS one", False),
            ("SELECT 1", "SELECT 1 AS one", True),
            ("one row", f"SELECT * FROM {DATASET} LIMIT 1", True),
        ):
            runs = [parts.run(sql, confined=confined) for _ in range(RUNS + 1)][1:]
            found[name] = {part: statistics.median(each[part] for each in runs) * 1e3 for part in runs[0]}
            found[name]["whole"] = statistics.median(sum(each.values()) for each in runs) * 1e3
    return found


@contextmanager
def _forks() -> Iterator[Forks]:
    forks = Forks()
    forks.start()
    try:
        yield forks
    finally:
        forks.close()
