"""What a tenant with most of the traffic does to the others: how fresh their tables are with it and without it.

``python -m benchmarks.fairness`` (``--help``). One sorter, one sink, clients of their own for the whale and for the
rest. A flush's freshness is the time from the arrival of its oldest row at the client to the commit that makes it
visible, as the tables tell both.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import orjson
import pyarrow.fs as pafs

from benchmarks import records
from benchmarks.services import Services, environment, services, wait_at_rest, worker
from logflume import contract
from logflume.clock import SystemClock
from logflume.config.directory import read_all
from logflume.config.publish import Order, publish
from logflume.demo.scenes import tenant_names
from logflume.demo.traffic import Shape, Traffic
from logflume.edge import Client
from logflume.model import load
from logflume.settings import Settings
from logflume.table.store import Store

WHALE = "whale"
_LINES = 20_000
_TICK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Load:
    """What a run sends: rows a second of all the others, and of the whale."""

    others: int
    whale: int
    shards: int = 1


def main() -> None:
    """Run the baseline, then the whale, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=20_000, help="rows a second of all tenants together")
    parser.add_argument("--share", type=float, default=0.95, help="of these the whale has")
    parser.add_argument("--tenants", type=int, default=40, help="others")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--shards", type=int, nargs="*", default=[1, 4], help="of the whale; a run for each")
    parser.add_argument("--folder", type=Path, default=Path("build/fairness"))
    given = parser.parse_args()
    whale = int(given.rate * given.share)
    loads = [Load(given.rate - whale, 0), *(Load(given.rate - whale, whale, shards) for shards in given.shards)]
    names = [name for name in tenant_names(given.tenants + 1) if name != WHALE][: given.tenants]
    base = 0.0
    with services(given.folder.absolute()) as running:
        for number, each in enumerate(loads):
            found = _run(running, f"f{number}", each, names, given.seconds)
            worst = float(np.quantile(found, 0.99))
            base = base or worst
            print(
                f"others {each.others:>6,} rows/s, whale {each.whale:>7,} rows/s over {each.shards} partitions: "
                f"{len(found):>5,} flushes of others, freshness of their oldest rows median {np.median(found):5.2f} s, "
                f"99 % {worst:5.2f} s ({worst / base:.2f} x baseline), worst {found.max():5.2f} s",
                flush=True,
            )


def _run(running: Services, name: str, load_: Load, names: list[str], seconds: float) -> np.ndarray:
    settings = running.settings(name, [*names, WHALE])
    sort = settings
    if load_.shards > 1:
        tenants = read_all(Path(settings.tenants_dir), load(contract.find()))
        wanted = replace(tenants[WHALE].datasets[records.DATASET], shards=load_.shards)
        tenants[WHALE] = replace(tenants[WHALE], datasets=MappingProxyType({records.DATASET: wanted}))
        publish(settings, Order(0, tenants, "bench"), SystemClock())
        sort = settings.model_copy(update={"tenants_dir": ""})
    with worker("sort", sort, running.folder) as sorting, worker("sink", settings, running.folder) as sink:
        senders = [_sender(settings, load_.others, seconds, names)]
        if load_.whale:
            senders.append(_sender(settings, load_.whale, seconds, [WHALE]))
        for each in senders:
            each.wait()
        wait_at_rest(settings, [sorting, sink], 900)
    return np.array([age for tenant in names for age in _ages(settings, tenant)])


def _sender(settings: Settings, rate: int, seconds: float, names: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.fairness", "send", str(rate), str(seconds), *names]
    return subprocess.Popen(command, env=environment(settings))


def _ages(settings: Settings, tenant: str) -> list[float]:
    """Of each commit of a table with rows: how old its oldest row was."""
    store = Store.from_settings(settings)
    folder = pafs.FileSelector(store.full(store.table(tenant, records.DATASET)) + "/_delta_log", allow_not_found=True)
    found = []
    for info in store.filesystem.get_file_info(folder):
        if info.extension != "json":
            continue
        with store.filesystem.open_input_file(info.path) as file:
            actions = [orjson.loads(line) for line in file.read().splitlines()]
        lows = [orjson.loads(a["add"]["stats"])["minValues"]["_received"] for a in actions if "add" in a]
        if lows:
            committed = next(a["commitInfo"]["timestamp"] for a in actions if "commitInfo" in a) / 1000
            found.append(committed - min(datetime.fromisoformat(low).timestamp() for low in lows))
    return found


def send(rate: int, seconds: float, names: list[str]) -> None:
    """Send ``rate`` rows a second, evenly over ``names``, at fixed times."""
    shape = Shape(tenants=1, ruled_share=0, nested_share=0, odd_share=0, attack=False)
    lines = [
        line
        for batch in Traffic(2 * _LINES, seed=3, end_ns=records.END_NS, shape=shape).batches(_LINES)
        if batch.dataset == records.DATASET
        for line in batch.data.splitlines(keepends=True)
    ]
    sent, turn, began = 0, 0, time.monotonic()
    with Client(Settings()) as client:
        while (past := time.monotonic() - began) < seconds:
            due = int(rate * past) - sent
            each = max(1, due // len(names))
            while due > 0:
                count = min(each, due)
                at = sent % (len(lines) - count) if count < len(lines) else 0
                client.log_ndjson(names[turn % len(names)], records.DATASET, b"".join(lines[at : at + count]))
                sent, due, turn = sent + count, due - count, turn + 1
            time.sleep(_TICK_SECONDS)
        client.flush(300)


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        send(int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
    else:
        main()
