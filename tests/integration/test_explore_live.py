"""Live questions: the table and what waits in a real Kafka are together each row once, whatever the sinks do."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from logflume.config.directory import DirectorySource
from logflume.errors import Misconfigured, Refused
from logflume.explore.snapshots import NoTable
from logflume.kafka.position import Position
from logflume.model import Route
from logflume.model.route import places
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.sorted_log import INGEST, few_partitions, produce_sorted, sorted_message
from tests.support.waiting import until
from tests.support.waiting_rows import DATASETS, Sorted, Wanting, asking, told
from tests.support.worker import Worker

SOURCE = Wanting("acme", "bell")


@pytest.fixture
def sorted_(settings: Settings, tmp_path: Path) -> Sorted:
    """A contract of one dataset with few partitions, made in Kafka."""
    return Sorted(few_partitions(settings, tmp_path))


def names(first: int, end: int, rows: range) -> list[str]:
    return [f"m{offset}.{row}" for offset in range(first, end) for row in rows]


def at(offset: int, seen: int) -> Position:
    return Position(offset, {(INGEST, 0): (seen, 9)})


def test_without_a_table_all_rows_wait_and_each_tenant_gets_its_own(sorted_: Sorted) -> None:
    messages = [sorted_message({"acme": 2, "bell": 1}, offset) for offset in range(5)]
    with asking(sorted_.settings, SOURCE) as explorer:
        assert told(explorer) == ([], "")
        produce_sorted(sorted_.settings, sorted_.home, messages)
        assert told(explorer) == (names(0, 5, range(2)), "")
        with pytest.raises(NoTable), explorer.query("acme", "SELECT 1 FROM events"):
            pass
        assert told(explorer, "bell")[0] in ([], names(0, 5, range(2, 3)))  # bell may live on another partition


def test_rows_at_rest_are_not_added_again_and_repeats_are_dropped(sorted_: Sorted) -> None:
    messages = [sorted_message({"acme": 2, "bell": 1}, offset) for offset in range(6)]
    again = [sorted_message({"acme": 2, "bell": 1}, offset, session="next") for offset in (3, 4, 5, 6)]
    produce_sorted(sorted_.settings, sorted_.home, messages + again)
    # The position lags behind the table, as it does between a flush and the commit.
    sorted_.at_rest(messages[:4], 0, 4)
    sorted_.store_position(at(2, 1))
    with asking(sorted_.settings, SOURCE) as explorer:
        assert told(explorer) == (names(0, 7, range(2)), "")
        # And repeats of what lies before the position are known from it.
        sorted_.at_rest(messages[4:], 4, 7)
        sorted_.store_position(at(7, 5))
        until(lambda: told(explorer) == (names(0, 7, range(2)), ""), 10)
        with explorer.query("acme", "SELECT count(*) AS n FROM events", live=True) as result:
            assert result.read_all().to_pydict() == {"n": [14]}
            assert result.waiting is not None
            assert result.waiting.rows == 2


def test_a_parked_table_is_read_from_where_it_was_parked(sorted_: Sorted) -> None:
    messages = [sorted_message({"acme": 1, "bell": 1}, offset) for offset in range(10)]
    produce_sorted(sorted_.settings, sorted_.home, messages)
    sorted_.at_rest(messages[:4], 0, 4)
    sorted_.store_position(at(8, 7), sorted_.parked(at(3, 2)))
    with asking(sorted_.settings, SOURCE) as explorer:
        assert told(explorer) == (names(0, 10, range(1)), "")


def test_rows_of_all_partitions_that_a_tenant_was_ever_routed_to_are_added(sorted_: Sorted) -> None:
    routes = (Route(1, 2, "t", (5,)), Route(2, 1, "t", (9,)))
    lying = sorted(places("events", "acme", routes, sorted_.partitions))
    assert len(lying) == 2
    for number, partition in enumerate(lying):
        message = sorted_message({"acme": 1}, number, ingest_partition=number)
        produce_sorted(sorted_.settings, partition, [message])
    with asking(sorted_.settings, Wanting("acme", routes=routes)) as explorer:
        assert told(explorer) == (["m0.0", "m1.0"], "")


def test_nothing_is_read_past_a_hole_and_it_is_said(sorted_: Sorted) -> None:
    produce_sorted(
        sorted_.settings,
        sorted_.home,
        [sorted_message({"acme": 1}, 0), sorted_message({"acme": 1}, 5, previous=(4, 0))],
    )
    with asking(sorted_.settings, SOURCE) as explorer:
        rows, partial = told(explorer)
        assert rows == ["m0.0"]
        assert "not whole" in partial


def test_what_is_held_has_an_end_and_it_is_said(sorted_: Sorted) -> None:
    few = sorted_.settings.model_copy(update={"explore_live_bytes": 1_000_000})
    messages = [sorted_message({"acme": 500}, offset, text="m" * 500) for offset in range(8)]
    produce_sorted(few, sorted_.home, messages)
    with asking(few, SOURCE) as explorer:
        rows, partial = told(explorer)
    assert 0 < len(rows) < 4000
    assert len(rows) % 500 == 0
    assert "1 MB" in partial


def test_what_the_tenant_does_not_keep_is_not_looked_for(sorted_: Sorted) -> None:
    produce_sorted(sorted_.settings, sorted_.home, [sorted_message({"acme": 1}, 0)])
    with asking(sorted_.settings, Wanting("bell")) as explorer, pytest.raises(NoTable):
        told(explorer)


def test_without_kafka_a_live_question_says_what_is_wanting(sorted_: Sorted) -> None:
    without = sorted_.settings.model_copy(update={"kafka_bootstrap": ""})
    with (
        asking(without, SOURCE) as explorer,
        pytest.raises((Misconfigured, Refused), match="LOGFLUME_KAFKA_BOOTSTRAP"),
    ):
        told(explorer)


class Producing(threading.Thread):
    """Appends messages, one ingest offset after another, now and then some of them again."""

    def __init__(self, sorted_: Sorted) -> None:
        super().__init__()
        self._sorted = sorted_
        self.done = 0
        """Ingest offsets whose rows Kafka has."""
        self.end = threading.Event()

    def run(self) -> None:
        while not self.end.wait(0.05):
            first = self.done if self.done % 7 else max(0, self.done - 3)
            numbers = range(first, self.done + 5)
            produce_sorted(
                self._sorted.settings,
                self._sorted.home,
                [sorted_message({"acme": 3, "bell": 2}, offset, session=f"s{self.done}") for offset in numbers],
            )
            self.done += 5


@pytest.mark.timeout(300)
def test_while_rows_move_to_the_table_and_sinks_die_each_answer_has_each_row_once(
    sorted_: Sorted, worker: StartWorker
) -> None:
    settings = sorted_.settings
    producing = Producing(sorted_)
    sinks: list[Worker] = [worker("sink", settings)]
    answers, rested, kills = 0, set(), 0
    with asking(settings, DirectorySource(Path(settings.tenants_dir), DATASETS)) as explorer:
        producing.start()
        try:
            die_at, end = 0.0, time.monotonic() + 30
            while time.monotonic() < end or kills < 3:
                before = producing.done
                rows, partial = told(explorer)
                assert not partial
                assert len(rows) >= before * 3
                assert rows == names(0, len(rows) // 3, range(3)), f"answer {answers}, after {kills} kills"
                answers += 1
                with explorer.query("acme", "SELECT count(*) AS n FROM events", live=True) as result:
                    assert result.waiting is not None
                    rested.add(result.read_all()["n"][0].as_py() - result.waiting.rows)
                # Now and then, while it stores: a successor finds what it left.
                if sinks[-1].get("/ready")[0] == 200 and not die_at:
                    die_at = time.monotonic() + 2.5 + kills
                if die_at and time.monotonic() > die_at:
                    sinks[-1].kill()
                    kills, die_at = kills + 1, 0.0
                    sinks.append(worker("sink", settings))
        finally:
            producing.end.set()
            producing.join()
        rows, partial = told(explorer)
        assert (len(rows), partial) == (producing.done * 3, "")
    assert answers > 20
    assert len(rested) > 5, "hardly anything moved while it was asked"
