"""``logflume tail`` and ``query --live`` as commands, on a real Kafka."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from logflume.cli.main import DONE, run
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.sorted_log import few_partitions, produce_sorted, sorted_message
from tests.support.waiting import until
from tests.support.waiting_rows import Sorted


def test_a_tail_prints_what_comes_and_a_live_query_what_waits(
    settings: Settings,
    tmp_path: Path,
    worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = few_partitions(settings, tmp_path)
    home = Sorted(made).home
    people, programs = (worker(f"tail events --tenant acme --q m1.{more}", made) for more in ("", " --json"))
    for each in (people, programs):
        until(lambda each=each: "Following events of acme" in each.output(), 60)  # type: ignore[misc]
    produce_sorted(made, home, [sorted_message({"acme": 2, "bell": 1}, offset) for offset in range(3)])
    until(lambda: people.output().count(" message=m1.") == 2, 30)
    until(lambda: programs.output().count('"message":"m1.') == 2, 30)
    rows = [json.loads(line) for line in programs.output().splitlines() if line.startswith("{")]
    assert [(row["message"], row["_src_offset"], row["_src_row"]) for row in rows] == [("m1.0", 1, 0), ("m1.1", 1, 1)]
    people.process.signal(signal.SIGINT)
    assert people.wait(30) == 130
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    assert run(["query", "SELECT count(*) AS n FROM events", "--tenant", "acme", "--live", "--csv"]) == DONE
    told = capsys.readouterr()
    assert told.out == "n\n6\n"
    assert "6 rows waited in Kafka" in told.err
