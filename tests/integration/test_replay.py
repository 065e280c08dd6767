"""Dead letters go back on a real Kafka, once, whoever tries; and sorters read what transactions leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from logflume.cli import main
from logflume.errors import Refused
from logflume.kafka import client, groups, topics
from logflume.kafka.deadletters import DeadLetter, pack
from logflume.kafka.deadletters.filed import Drawers, Filed, Selection, read_all
from logflume.kafka.deadletters.original import Correction
from logflume.kafka.deadletters.putting import KafkaDrawer, put_back
from logflume.kafka.deadletters.replay import Outcome
from logflume.kafka.deadletters.replay import replay as replay_one
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.integration.test_sort import read_sorted
from tests.support.sorted_log import stored, want
from tests.support.waiting import until


@pytest.fixture
def made(settings: Settings) -> Settings:
    topics.apply(settings)
    return settings


def produce(settings: Settings, topic: str, *messages: tuple[bytes, bytes | None]) -> None:
    producer = Producer(client.producer_config(settings))
    for value, key in messages:
        producer.produce(topic, value, key, partition=3)
    assert producer.flush(30) == 0


def file(settings: Settings, letters: Sequence[DeadLetter]) -> None:
    producer = Producer(client.producer_config(settings))
    for message in pack(letters):
        producer.produce(topics.deadletter_topic(settings), message.value, message.key, headers=message.headers)
    assert producer.flush(30) == 0


def lying(number: int) -> DeadLetter:
    """A letter about a record that can be read well, as after a mended sorter."""
    raw = b'{"time":"2026-01-02T03:04:05.678Z","message":"m%d"}' % number
    return DeadLetter("not-json", "sort", "acme", "events", raw, "", "t", "id", 0, number, key=b"acme")


def ingested(settings: Settings) -> list[tuple[bytes, dict[str, bytes]]]:
    """Every committed message of the ingest topic of ``events``."""
    topic = topics.ingest_topic(settings, "events")
    open_ = topics.partitions(client.admin(settings), [topic])[topic]
    consumer = Consumer(client.consumer_config(settings, "test", enable_partition_eof=True))
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(open_)])
    found = []
    while open_:
        message = consumer.poll(30)
        assert message is not None
        if message.error() is None:
            found.append((message.value(), dict(message.headers() or [])))
        else:
            open_ -= 1
    consumer.close()
    return found


REPLAY = "import sys; from logflume.cli.main import run; sys.exit(run(['deadletter', 'replay', '--yes']))"


def test_poison_is_replayed_once_also_after_a_death_and_sorted_behind_the_transactions_end(
    made: Settings, worker: StartWorker
) -> None:
    """An aborted transaction, a committed one, their control records: the sorter takes what is committed, once."""
    topic = topics.ingest_topic(made, "events")
    good = b'{"time":"2026-01-02T03:04:05.678Z","message":"m%d"}'
    produce(made, topic, (good % 0, b"ada"), (good % 1, None), (b"{broken", b"ada"))
    worker("sort", made)
    until(lambda: len(list(read_all(made))) == 2, 60)
    # The replay dies between its messages and their commit: readers of its partitions wait until it is aborted.
    environment = os.environ | made.environment() | {"LOGFLUME_CRASH_AT": "replay.produced"}
    dead = subprocess.run([sys.executable, "-c", REPLAY], env=environment, capture_output=True, timeout=120)
    assert dead.returncode == 137, dead.stderr
    assert put_back(made, Selection(reason="no-tenant"), Correction(tenant="bell")) == Outcome(1, 1)
    again = put_back(made, Selection(reason="no-tenant"), Correction(tenant="bell"))
    assert (again.letters, again.already) == (0, 1)
    assert put_back(made, Selection(reason="not-json")) == Outcome(1, 1)
    produce(made, topic, (good % 2, b"ada"))
    assert sorted(row[:2] for row in read_sorted(made, 3)) == [("ada", "m0"), ("ada", "m2"), ("bell", "m1")]
    # What was broken before is broken now: a new letter, which names the first.
    letters = until(lambda: found if len(found := list(read_all(made))) == 3 else None, 30)
    first = {filed.letter.raw: filed for filed in letters if filed.letter.replay_of is None}
    [second] = [filed for filed in letters if filed.letter.replay_of is not None]
    assert second.letter.replay_of == first[b"{broken"].id
    assert (second.letter.raw, second.replayed, first[b"{broken"].replayed) == (b"{broken", False, True)
    assert len(ingested(made)) == 6


def test_rows_that_no_table_wanted_are_stored_once_when_their_tenant_is_known_and_nothing_stays_behind(
    made: Settings, worker: StartWorker
) -> None:
    want(made, "acme")
    good = b'{"time":"2026-01-02T03:04:05.678Z","message":"m%d"}'
    produce(made, topics.ingest_topic(made, "events"), *((good % number, b"bell") for number in range(3)))
    worker("sort", made)
    sink = worker("sink", made)
    until(lambda: list(read_all(made)), 60)
    assert sink.stop() == 0
    want(made, "bell")
    rows = sum(filed.letter.raw.count(b"\n") for filed in read_all(made))
    assert (rows, put_back(made, Selection(reason="unwanted")).records) == (3, 3)
    assert put_back(made, Selection(reason="unwanted")).records == 0
    worker("sink", made)
    until(lambda: stored(made, "bell"), 60)
    # The end of the transaction lies behind the last row: it is no record that a sorter is behind.
    lags = until(lambda: found if not any((found := lag(made)).values()) else None, 60)
    assert lags is not None
    assert stored(made, "bell") == Counter(["m0", "m1", "m2"])
    assert not stored(made, "acme")


def lag(settings: Settings) -> dict[tuple[str, int], int | None]:
    """The lag of both groups on what they read of ``events``."""
    read = {topics.ingest_topic(settings, "events"), topics.sorted_topic(settings, "events")}
    return {(row.topic, row.partition): row.lag for row in groups.lag(settings) if row.topic in read and row.end}


def test_who_was_taken_over_puts_nothing_back_any_more(made: Settings) -> None:
    file(made, [lying(number) for number in range(5)])
    with_letters = {filed.partition for filed in read_all(made)}
    [partition] = with_letters
    drawers, zombies = Drawers(made), Drawers(made)
    everything = Selection()

    def drawer(of: Drawers) -> KafkaDrawer:
        return KafkaDrawer(made, of, partition, everything, of.bounds(partition, None, None))

    zombie, successor = drawer(zombies), drawer(drawers)
    zombie.fence()
    assert len(zombie.marked()) == 0
    outcome = Outcome()
    replay_one(successor, outcome, lambda record: None, Correction())
    assert outcome == Outcome(5, 5)
    letters: list[Filed] = list(zombie.letters())
    with pytest.raises(Refused, match="another replay took"):
        zombie.put([], [filed.digest for filed in letters])
    drawers.close()
    zombies.close()
    assert put_back(made, everything) == Outcome(already=5)
    assert len(ingested(made)) == 5
    assert all(filed.replayed for filed in read_all(made))


def test_the_command_selects_by_time_exports_and_replays(
    made: Settings, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, code: int = 0) -> bytes:
        capfdbinary.readouterr()
        assert main.run(["deadletter", *arguments]) == code
        return capfdbinary.readouterr().out

    file(made, [lying(number) for number in range(3)])
    before = json.loads(run("list", "--json"))
    assert [row["offset"] for row in before] == [0, 1, 2]
    moment = max(filed.timestamp_ms for filed in read_all(made)) + 1
    until(lambda: time.time_ns() // 1_000_000 >= moment)  # Kafka's clock is this machine's
    file(made, [odd := replace(lying(9), raw=b"\xff")])
    iso = datetime.fromtimestamp(moment / 1000, UTC).isoformat()
    early, late = ("--until", iso), ("--since", iso)
    assert [row["offset"] for row in json.loads(run("list", *early, "--json"))] == [0, 1, 2]
    assert {row["offset"] for row in json.loads(run("list", *late, "--json"))} == {9}
    assert json.loads(run("list", "--since", "0s", "--json")) == []
    assert json.loads(run("show", before[1]["at"], "--json"))["text"] == lying(1).raw.decode()
    lines = [json.loads(line) for line in run("export", "-", *early).splitlines()]
    assert [line["raw"] for line in lines] == [lying(number).raw.decode() for number in range(3)]
    assert run("export", "-", "--raw", *early) == b"".join(lying(number).raw + b"\n" for number in range(3))
    assert json.loads(run("export", "-", *late).splitlines()[0])["raw"] == {"base64": "/w=="}
    assert run("export", "-", "--raw", *late) == odd.raw + b"\n"
    assert b"3 dead letters (3 records) would be put back" in run("replay", "--dry-run", *early)
    assert ingested(made) == []
    assert b"3 dead letters (3 records) put back" in run("replay", "--yes", *early)
    assert b"3 were put back before" in run("replay", "--yes", *early)
    assert {(row["offset"], row["replayed"]) for row in json.loads(run("list", *early, "--json"))} == {
        (number, True) for number in range(3)
    }
    assert [value for value, _ in ingested(made)] == [lying(number).raw for number in range(3)]
    run("replay", "--yes", "--to-dataset", "nonsense", code=2)
    run("list", "--since", "yesterday", code=2)
