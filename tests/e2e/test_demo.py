"""The demo: the command as a user runs it, and its sums when a row is lost or stored twice after the fact."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from logflume import contract, model
from logflume.demo import feed, witness
from logflume.demo.feed import Fed
from logflume.demo.judge import Verdict
from logflume.demo.run import DATASETS, count, wait_at_rest
from logflume.demo.traffic import Shape, Traffic
from logflume.kafka import topics
from logflume.local.process import TEST_PORTS
from logflume.settings import PREFIX, STACK_FILE, Settings
from logflume.table.store import Store
from tests.support.worker import LOGFLUME, Worker

pytestmark = pytest.mark.timeout(900)


def logflume(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) or name == TEST_PORTS}
    environment = clean | {PREFIX + "STATE_DIR": str(state)}
    return subprocess.run(
        [LOGFLUME, *arguments], env=environment, cwd=state.parent, capture_output=True, text=True, check=False
    )


def test_the_demo_runs_counts_asks_and_leaves_a_stack_for_what_it_suggests(tmp_path: Path) -> None:
    state = tmp_path / "state"
    try:
        done = logflume(state, "demo", "--records", "3000", "--seed", "5")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Everything that was sent is at rest, once, at its own tenant." in done.stdout
        assert "came from one address, 203.0.113.77" in done.stdout
        assert "not one request with OriginResponseBytes > 0" in done.stdout
        assert "2 records have it: the request and its firewall event." in done.stdout
        suggested = logflume(
            state, "query", "SELECT count(*) AS n FROM http_requests", "--tenant", "cobalt-shop", "--csv"
        )
        assert suggested.returncode == 0, suggested.stderr
        assert int(suggested.stdout.split()[-1]) > 50

        [link] = re.findall(r"http://127\.0\.0\.1:\d+/sign-in#token=\S+", done.stdout)
        address, _, token = link.partition("/sign-in#token=")
        query = {"sql": "SELECT count(*) AS n FROM http_requests", "since": "2000-01-01T00:00:00Z"}
        asked = httpx.post(f"{address}/api/v1/query", json=query, headers={"Authorization": f"Bearer {token}"}).json()
        assert asked["rows"] == [{"n": int(suggested.stdout.split()[-1])}]
        assert httpx.get(f"{address}/sign-in").status_code == 200

        log = tmp_path / "access.log"
        line = '192.0.2.1 - - [22/Nov/2026:12:00:00 +0000] "GET /{} HTTP/1.1" 200 17 "-" "curl/8"\n'
        log.write_text("".join(line.format(number) for number in range(200)) + "not a log line\n")
        again = logflume(state, "demo", "--file", str(log))
        assert again.returncode == 0, again.stdout + again.stderr
        assert "Everything that was sent is at rest, once, at its own tenant." in again.stdout
        assert "What was asked for most?" in again.stdout
    finally:
        logflume(state, "local", "down")
    assert not (state / STACK_FILE).exists()


class Finished:
    """A demo at rest, to be tampered with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.datasets = model.load(contract.find())
        self.store = Store.from_settings(settings)
        traffic = Traffic(2_000, seed=9, end_ns=time.time_ns(), shape=Shape(tenants=5))
        self.tenant = traffic.attacked
        self.since = witness.marks(settings, DATASETS)
        self.fed: Fed = feed.traffic(settings, traffic, lambda _: None)
        wait_at_rest(settings, lambda _: None)

    def verdict(self) -> Verdict:
        return count(self.settings, self.datasets, self.fed, self.since)[0]

    def table(self) -> DeltaTable:
        uri = self.store.uri(self.store.table(self.tenant, "http_requests"))
        return DeltaTable(uri, storage_options=self.store.delta_options)

    def rows(self) -> pa.Table:
        return pa.table(self.table().to_pyarrow_table())


def test_one_row_deleted_or_stored_twice_makes_the_demo_fail(settings: Settings, worker: Callable[..., Worker]) -> None:
    topics.apply(settings)
    for tenant in Traffic(1, seed=0, end_ns=0, shape=Shape(tenants=5)).tenants:
        wanted = "".join(f"  {dataset}:\n" for dataset in DATASETS)
        Path(settings.tenants_dir, f"{tenant}.yaml").write_text(f"name: {tenant}\ndatasets:\n{wanted}")
    worker("sort", settings).wait_ready()
    worker("sink", settings).wait_ready()
    demo = Finished(settings)
    right = demo.verdict()
    assert right.ok, right.explain()
    assert right.dead_rows == demo.fed.broken > 0

    victim = demo.rows().slice(7, 1)
    demo.table().delete(f"\"RayID\" = '{victim['RayID'][0].as_py()}'")
    lost = demo.verdict()
    assert not lost.ok
    assert victim["RayID"][0].as_py() in lost.explain()

    for expected in (True, False):  # once is a repair, twice is one too many
        write_deltalake(demo.table(), victim, mode="append")
        assert demo.verdict().ok is expected
