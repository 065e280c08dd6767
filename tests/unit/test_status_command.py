"""``logflume status`` at night: a table that fits a narrow terminal, and below it what is wrong, in whole sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from logflume.cli.listing import show
from logflume.cli.main import build
from logflume.clock import ManualClock
from logflume.kafka import client, status
from logflume.kafka.status import Codec, Condition, Entry, Identity, InForce, Status, View
from logflume.settings import Settings

SETTINGS = Settings(kafka_bootstrap="nowhere:1")
REFUSED = "generation 13 takes away 30 of the 100 active pairs of tenant and dataset that generation 12 has: " * 2
PARKED = "1 table or job is parked: job archive of acme: no such bucket"


def seen(*workers: tuple[str, Condition], clock: ManualClock | None = None) -> View:
    codec, view = Codec(SETTINGS), View(SETTINGS, clock or ManualClock())
    for kind, condition in workers:
        identity = Identity(kind, "host-17:41233", "host-17", 7, "0.1", 5)
        told = Status(identity, condition, time_ms=9, period_seconds=2.0, rows_a_second=1200)
        view.take(Entry(identity.key, codec.status(told), 9, live=True))
    return view


def lines(monkeypatch: pytest.MonkeyPatch, view: View) -> list[str]:
    monkeypatch.setenv("LOGFLUME_KAFKA_BOOTSTRAP", "nowhere:1")
    monkeypatch.setattr(client, "reach", lambda settings: None)
    monkeypatch.setattr(status, "read", lambda settings, clock: view)
    done = CliRunner().invoke(build("status"), ["status"], catch_exceptions=False)
    return done.stdout.splitlines()


def test_what_all_say_is_said_once_and_whole_below_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    well = Condition(in_force=InForce(12, "abc", 1.5, REFUSED[:250]), lag_seconds=1.2, resident_bytes=182_000_000)
    told = lines(monkeypatch, seen(("sort", well), ("sink", replace(well, parked_pairs=1, troubles=(PARKED,)))))
    both = "sink host-17:41233, sort host-17:41233: configuration refused, generation 12 stays in force:"
    assert told[-2:] == [f"{both} {REFUSED[:250]}", f"sink host-17:41233: {PARKED}"]
    assert any("parked" in line for line in told[:4])


def test_who_is_silent_or_does_not_follow_the_configuration_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    behind, newest = Condition(in_force=InForce(12, "abc", 9e6)), Condition(in_force=InForce(13, "abe", 75.0))
    view = seen(("sink", behind), ("sort", newest), clock=clock)
    told = "sink host-17:41233: generation 12 stays in force, others have 13: its log (config.not-followed-for-now)"
    assert lines(monkeypatch, view)[-1].startswith(told)
    clock.advance(49.0)
    assert "sink host-17:41233, sort host-17:41233: has been silent for 49 s" in lines(monkeypatch, view)[-1]


def test_a_configuration_that_has_long_been_in_force_everywhere_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    old = Condition(in_force=InForce(12, "abc", 9e6))
    told = lines(monkeypatch, seen(("sink", old), ("sort", old), ("watch", Condition())))
    assert not [line for line in told if ": " in line]


def test_the_lag_of_a_topic_with_the_longest_name_stands_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"group": "logflume-sort", "topic": "logflume.ingest.firewall_events", "partition": 0}
    row |= {"offset": 12345, "end": 12345, "lag": 0}
    show([row], list(row), as_json=False, empty="")
    assert max(len(line.rstrip()) for line in capsys.readouterr().out.splitlines()) <= 80


def test_a_quiet_pipelines_table_fits_eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = Condition(in_force=InForce(12, "abc", 1.5), lag_seconds=1.2, resident_bytes=182_000_000, spool_share=0.0)
    told = lines(monkeypatch, seen(("edge", quiet), ("sort", quiet), ("sink", quiet), ("watch", quiet)))
    assert max(len(line.rstrip()) for line in told) <= 80
    assert sum("host-17:41233" in line for line in told) == 4
