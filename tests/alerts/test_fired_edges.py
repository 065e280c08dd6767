"""Alerts of edges, explorers, care and the last good configuration, each fired by its cause and seen to resolve.

Everything takes a five hundredth of the real time here, in which a table waits long enough for its care. The workers
reach the object store by a proxy: it can fail, hang, and have another clock.
"""

from __future__ import annotations

import json
import math
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from logflume.config import last_good
from logflume.config.last_good import LastGood
from tests.support.fired import fires
from tests.support.people import repeated, token_of
from tests.support.s3_proxy import Held, S3Proxy, answer, s3_proxy
from tests.support.services import S3, Run
from tests.support.waiting import until
from tests.support.watched import Watched, watching

pytestmark = pytest.mark.timeout(600)
_SECONDS = 60


@pytest.fixture(scope="module")
def store(s3: S3) -> Iterator[S3Proxy]:
    with s3_proxy(s3.endpoint) as proxy:
        # From the beginning: carers compare clocks that agree once a minute only.
        proxy.ahead = timedelta(minutes=10)
        yield proxy


@pytest.fixture(scope="module")
def watched(run: Run, s3: S3, store: S3Proxy) -> Iterator[Watched]:
    with watching(
        run.folder / f"watched-edges-{secrets.token_hex(3)}",
        windows=0.002,
        store_url=s3.new_bucket(),
        store_endpoint=store.endpoint,
        store_access_key=s3.access_key,
        store_secret_key=s3.secret_key,
        local_edges=1,
        status_seconds=1.0,
        watch_seconds=1.0,
        pressure_lag_seconds=20.0,
        pressure_hold_seconds=1.0,
        sink_flush_age_seconds=1.0,
        sink_park_seconds=60.0,  # what is parked is no pressure
        care_seconds=1.0,
        care_idle_seconds=1.0,
        edge_spool_bytes=1_000_000,
        serve_audit_bytes=100_000,
        serve_token_requests=0.0,
        serve_tenant_requests=0.0,
    ) as made:
        yield made


@dataclass(frozen=True)
class Person:
    """Somebody with a token; each call returns the status of the answer."""

    edge: str
    explorer: str
    token: str

    def send(self) -> int:
        """Send 60 kB that hardly get smaller."""
        records = "\n".join(json.dumps({"message": secrets.token_urlsafe(750)}) for _ in range(60))
        return self._post(f"{self.edge}/v1/ingest/events", records, "application/x-ndjson")

    def ask(self, sql: str = "SELECT count(*) FROM events") -> int:
        """Ask a question."""
        return self._post(f"{self.explorer}/api/v1/query", sql, "application/sql")

    def ask_at_length(self) -> int:
        """Ask what is refused at once, and recorded: 12 kB that hardly get smaller."""
        return self.ask(f"no SQL: {secrets.token_urlsafe(9_000)}")

    def _post(self, address: str, body: str, kind: str) -> int:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(address, body.encode(), headers), timeout=_SECONDS
            ) as answered:
                return int(answered.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


@pytest.fixture(scope="module")
def person(watched: Watched) -> Person:
    addresses = watched.addresses()
    return Person(addresses["edge-1"], addresses["explore-1"], token_of(watched))


@fires("an object store whose clock differs", "ClockDiffers", from_the_start=True)
def test_a_store_whose_clock_differs(watched: Watched, store: S3Proxy) -> None:
    watched.fires("ClockDiffers")
    store.ahead = timedelta()
    watched.resolves("ClockDiffers")


@fires("an object store that hangs", "Pressure", "CareLate")
def test_a_store_that_hangs(watched: Watched, store: S3Proxy) -> None:
    held = Held()
    store.on("*", held, math.inf)
    watched.fires("Pressure", "CareLate")
    store.heal()
    held.release()
    watched.resolves("Pressure", "CareLate")
    until(lambda: watched.ask('logflume_pressure_level_info{level="none"} == 1'), _SECONDS, "no pressure")


@fires("an object store that fails", "ExplorerFails")
def test_a_store_that_fails(watched: Watched, store: S3Proxy, person: Person) -> None:
    until(lambda: person.ask() == 200, _SECONDS, "an answer")
    watched.resolves("ExplorerFails")
    store.on("*", answer(503), math.inf)
    with repeated(person.ask):
        watched.fires("ExplorerFails")
        store.heal()
        watched.resolves("ExplorerFails")


@fires("a broker that hangs (SIGSTOP)", "SpoolFills", "SendersRefused", "AuditLost")
@fires("bits of a spool that turn over", "SpoolDamaged")
def test_a_broker_that_hangs_and_a_disk_that_forgets(watched: Watched, person: Person) -> None:
    with repeated(person.send), repeated(person.ask_at_length):
        with watched.hanging("kafka"):
            watched.fires("SpoolFills", "SendersRefused", "AuditLost")
            _damage(watched)
        watched.fires("SpoolDamaged")
        watched.resolves("SpoolFills", "SendersRefused", "AuditLost", "SpoolDamaged")
    until(lambda: watched.ask("logflume_edge_spool_ratio < 0.1"), _SECONDS, "a spool that is empty")
    assert list((watched.stack.folder / "spool" / "edge-1" / "quarantine").iterdir())


@fires("a file where the folder of the configuration should be", "LastGoodNotKept")
def test_a_last_good_configuration_that_can_not_be_kept(watched: Watched) -> None:
    folder = last_good.folder(watched.settings)
    shutil.rmtree(folder)
    folder.write_text("no folder")
    token_of(watched)
    watched.fires("LastGoodNotKept")
    folder.unlink()
    until(LastGood(folder).read, _SECONDS, "the last good configuration on the disk")
    watched.resolves("LastGoodNotKept")


def _damage(watched: Watched) -> None:
    """Turn a bit over in each segment of the edge's spool but the last."""
    *segments, _ = sorted((watched.stack.folder / "spool" / "edge-1").glob("*.segment"))
    assert segments
    for segment in segments:
        with segment.open("r+b") as file:
            file.seek(segment.stat().st_size // 2)
            [byte] = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte ^ 1]))
