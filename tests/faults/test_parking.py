"""A destination is away: its job is parked, all others flow on, a sink dies meanwhile, and all comes once."""

from __future__ import annotations

import math

import pytest

from logflume.kafka import client, cursors, parked, topics
from logflume.kafka.position import Position
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.faults.test_file_jobs import PARTITION, expected, made, produce, rows, until_at_rest, want_job  # noqa: F401
from tests.support.careless_store import careless_store
from tests.support.s3_proxy import answer, s3_proxy
from tests.support.sorted_log import stored
from tests.support.waiting import until


def parked_cursors(settings: Settings) -> list[parked.ParkedCursor]:
    """Who is parked, by the cursors topic."""
    admin, codec = client.admin(settings), parked.Codec(settings)
    name = topics.cursors_topic(settings)
    homes = range(topics.present(admin, [name])[name].partitions)
    prefix = parked.prefix(settings.sink_group, topics.sorted_topic(settings, "events"), PARTITION)
    values = cursors.read_to_end(settings, admin, homes, 30)
    return [codec.decode(value) for key, value in values.items() if key.startswith(prefix)]


def position(settings: Settings) -> int:
    admin = client.admin(settings)
    of = cursors.key(settings.sink_group, topics.sorted_topic(settings, "events"), PARTITION)
    name = topics.cursors_topic(settings)
    home = cursors.home(of, topics.present(admin, [name])[name].partitions)
    value = cursors.read_to_end(settings, admin, [home], 30).get(of)
    return 0 if value is None else cursors.Codec(settings).decode(value).position.offset


@pytest.mark.usefixtures("made")
def test_a_destination_that_is_away_holds_nobody_up_and_gets_each_row_once_when_it_is_back(
    made: Settings,  # noqa: F811
    worker: StartWorker,
) -> None:
    settings = made.model_copy(update={"sink_park_seconds": 1.0})
    with careless_store() as store, s3_proxy(store) as proxy:
        proxy.on("PutObject", answer(503), times=math.inf)
        want_job(settings, proxy.endpoint, max_rows=12, max_age_seconds=1)
        produce(settings, 0, 10)
        dying = worker("sink", settings)
        until(lambda: parked_cursors(settings), 120, "the job is parked", pause=0.3)
        # The position goes on, past rows that the job lacks; the table has them.
        produce(settings, 10, 20)
        until(lambda: position(settings) == 20, 60, "the position passes the job's rows", pause=0.3)
        assert stored(settings, "acme") == expected(20)
        assert rows(store.below("/bucket/out/")) == {}
        [cursor] = parked_cursors(settings)
        assert (cursor.tenant, cursor.job, cursor.reason) == ("acme", "copy", "failing")
        assert cursor.position.offset == 0
        until(lambda: "is parked at offset 0" in dying.get("/ready")[1], 10, "it says so")
        dying.kill()
        produce(settings, 20, 30)
        sink = worker("sink", settings)
        until(lambda: position(settings) == 30, 120, "a successor leaves the job's rows out, too", pause=0.3)
        assert rows(store.below("/bucket/out/")) == {}
        proxy.heal()
        produce(settings, 30, 40)
        until_at_rest(settings, store, 40)
        until(lambda: not parked_cursors(settings), 60, "nobody is parked", pause=0.3)
        sink.wait_ready(60)
        assert "sink.handed-over" in sink.output()
        assert sink.stop() == 0
    assert rows(store.below("/bucket/out/")) == expected(40)


def test_a_record_comes_back_as_it_was() -> None:
    codec = parked.Codec(Settings())
    one = parked.ParkedCursor("t", "id", 3, "acme", "copy", "failing", 5, 7, Position(9, {("in", 1): (2, 3)}, 4))
    assert codec.decode(codec.encode(one)) == one
