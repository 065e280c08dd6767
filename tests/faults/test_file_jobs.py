"""File jobs as a process sees them: real Kafka in, objects out, with deaths, zombies and a store that misbehaves."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from logflume.kafka import client, cursors, intents, topics
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.careless_store import Endpoint, careless_store
from tests.support.s3_proxy import CUT_BODY, DROP_ANSWER, Held, answer, s3_proxy
from tests.support.sorted_log import few_partitions, produce_sorted, sorted_message, stored
from tests.support.waiting import until
from tests.support.worker import Worker

PARTITION = 1
ROWS = 3


@pytest.fixture
def made(settings: Settings, tmp_path: Path) -> Settings:
    """Few partitions, and credentials for the jobs."""
    keys = tmp_path / "secrets" / "mine"
    keys.mkdir(parents=True)
    (keys / "access_key").write_text("any")
    (keys / "secret_key").write_text("any")
    few = few_partitions(settings, tmp_path)
    return few.model_copy(update={"secrets_dir": str(tmp_path / "secrets"), "destination_timeout_seconds": 5.0})


def want_job(settings: Settings, endpoint: str, max_rows: int, max_age_seconds: int) -> None:
    Path(settings.tenants_dir, "acme.yaml").write_text(f"""
name: acme
datasets: {{events: }}
jobs:
  copy:
    dataset: events
    destination: s3://bucket/out
    endpoint: {endpoint}
    path_style: true
    credentials: mine
    format: ndjson.gz
    max_rows: {max_rows}
    max_age_seconds: {max_age_seconds}
""")


def produce(settings: Settings, first: int, end: int) -> None:
    produce_sorted(settings, PARTITION, [sorted_message({"acme": ROWS}, offset) for offset in range(first, end)])


def expected(end: int) -> Counter[str]:
    return Counter(f"m{offset}.{row}" for offset in range(end) for row in range(ROWS))


def rows(objects: Mapping[str, bytes]) -> Counter[str]:
    return Counter(
        json.loads(line)["message"] for data in objects.values() for line in gzip.decompress(data).splitlines()
    )


def records(settings: Settings) -> dict[bytes, bytes]:
    """What the cursors topic has of jobs."""
    admin = client.admin(settings)
    name = topics.cursors_topic(settings)
    homes = range(topics.present(admin, [name])[name].partitions)
    prefix = intents.prefix(settings.sink_group, topics.sorted_topic(settings, "events"), PARTITION)
    return {k: v for k, v in cursors.read_to_end(settings, admin, homes, 30).items() if k.startswith(prefix)}


def until_at_rest(settings: Settings, store: Endpoint, end: int) -> None:
    """Table and objects have every row once, and the cursors topic says no more of the job than the position does."""
    until(lambda: rows(store.below("/bucket/out/")) >= expected(end), 90, "all rows in objects", pause=0.2)
    until(lambda: stored(settings, "acme") >= expected(end), 90, "all rows in the table", pause=0.5)
    until(lambda: not records(settings), 60, "the job's record is gone", pause=0.5)
    assert rows(store.below("/bucket/out/")) == expected(end)
    assert stored(settings, "acme") == expected(end)


@pytest.mark.parametrize(("point", "written"), [("sink.intent-stored", False), ("sink.object-written", True)])
def test_after_a_death_the_same_cut_is_written_by_a_sink_with_other_limits(
    made: Settings, worker: StartWorker, point: str, written: bool
) -> None:
    with careless_store() as store:
        want_job(made, store, max_rows=ROWS * 4, max_age_seconds=600)
        produce(made, 0, 10)
        dying = worker("sink", made, env={"LOGFLUME_CRASH_AT": point})
        until(lambda: not dying.alive(), 120)
        assert bool(store.below("/bucket/out/")) == written
        [record] = records(made).values()
        intent = intents.Codec(made).decode(record).intent
        assert intent is not None
        produce(made, 10, 20)
        want_job(made, store, max_rows=1000, max_age_seconds=1)
        worker("sink", made)
        until_at_rest(made, store, 20)
        cut = store.below("/bucket/out/")[intent.name]
        whole = Counter({f"m{offset}.{row}": 1 for offset in range(intent.start, intent.end) for row in range(ROWS)})
        assert rows({"": cut}) == whole


def test_a_zombies_late_object_takes_nothing_away(made: Settings, worker: StartWorker) -> None:
    with careless_store() as store, s3_proxy(store) as proxy:
        held = Held()
        proxy.on("PutObject", held)
        want_job(made, proxy.endpoint, max_rows=ROWS * 4, max_age_seconds=600)
        produce(made, 0, 5)
        zombie = worker("sink", made.model_copy(update={"destination_timeout_seconds": 120.0}))
        until(held.arrived.is_set, 120, "the zombie's object is on its way")
        zombie.pause()
        produce(made, 5, 10)
        want_job(made, store, max_rows=1000, max_age_seconds=1)
        worker("sink", made)
        until_at_rest(made, store, 10)
        before = store.below("/bucket/out/")
        held.release()
        until(held.done.is_set, 60, "the zombie's object has come")
        assert rows(store.below("/bucket/out/")) == expected(10)
        assert store.below("/bucket/out/").keys() == before.keys()
        zombie.resume()
        until(lambda: "sink.lost" in zombie.output(), 60, "the zombie notices", pause=0.2)
        assert rows(store.below("/bucket/out/")) == expected(10)
        ends_in_order(zombie)


def ends_in_order(worker: Worker) -> None:
    assert worker.stop() == 0


def test_a_store_that_fails_in_every_way_gets_each_row_once(made: Settings, worker: StartWorker) -> None:
    with careless_store() as store, s3_proxy(store) as proxy:
        for fault in (answer(503), answer(500), CUT_BODY, answer(429), DROP_ANSWER, answer(503, "SlowDown")):
            proxy.on("PutObject", fault, times=2)
        want_job(made, proxy.endpoint, max_rows=ROWS * 4, max_age_seconds=1)
        produce(made, 0, 20)
        sink = worker("sink", made)
        until_at_rest(made, store, 20)
        assert {outcome for _, outcome in proxy.operations()} >= {
            "answer dropped",
            "body cut",
            "answered 429",
            "passed",
        }
        sink.wait_ready(60)
        ends_in_order(sink)
