"""``GET /api/v1/tail`` of a real server on a real Kafka: who follows, for how long, and that nobody waits for it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from logflume.cli.main import DONE, run
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.serving_tail import Served, serve
from tests.support.sorted_log import stored
from tests.support.waiting import until

SECONDS = 5.0
"""Within which a change must be in force everywhere."""


@dataclass
class Following:
    """A client of its own thread. ``events``: (id, name, data) of each that came."""

    url: str
    token: str
    asked: dict[str, Any]
    after: str = ""
    status: int = 0
    events: list[tuple[str, str, Any]] = field(default_factory=list)
    begun: bool = False
    ended: bool = False

    def __post_init__(self) -> None:
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        until(lambda: self.begun or self.ended, 60, "its beginning")

    def _run(self) -> None:
        with contextlib.suppress(httpx.HTTPError):  # the server may be killed before
            self._read()
        self.ended = True

    def _read(self) -> None:
        headers = {"Authorization": f"Bearer {self.token}"} | ({"Last-Event-ID": self.after} if self.after else {})
        asked = {"dataset": "events", **self.asked}
        with httpx.stream("GET", f"{self.url}/api/v1/tail", params=asked, headers=headers, timeout=60) as answer:
            self.status = answer.status_code
            if self.status == 200:
                assert answer.headers["content-type"].startswith("text/event-stream")
                for event in events(answer.iter_lines()):
                    self.begun = True
                    if event[2] is not None:
                        self.events.append(event)
                    if self._leave.is_set():
                        break

    def messages(self) -> list[str]:
        return [data["message"] for _, name, data in list(self.events) if name == "message"]

    def leave(self) -> None:
        """Go away with the next event."""
        self._leave.set()


def events(lines: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    """Parse Server-Sent Events; a comment is one without data."""
    told: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            told[name] = value
            continue
        yield told.get("id", ""), told.get("event", "message"), json.loads(told["data"]) if "data" in told else None
        told = {}


@pytest.fixture
def served(
    settings: Settings,
    tmp_path: Path,
    worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Served:
    limits = {"explore_tail_followers": 2, "explore_tail_bytes": 1_000_000, "explore_tail_rows_a_second": 1_000_000}
    return serve(settings.model_copy(update=limits), tmp_path, worker, monkeypatch, capsys)


def follow(served: Served, after: str = "", **asked: Any) -> Following:
    return Following(served.url, served.token, asked, after)


@pytest.mark.timeout(300)
def test_rows_are_followed_by_their_coordinates_until_the_token_ends(served: Served) -> None:
    served.send(0, 2)
    all_ = follow(served)
    where = json.dumps({"key": "message", "operator": "endsWith", "value": ".1"})
    some = follow(served, where=where)
    sent = served.send(2, 5)
    until(lambda: all_.messages() == sent, 30)
    until(lambda: some.messages() == sent[1::2], 30)
    assert [id for id, _, _ in all_.events] == [f"ingest-topic-id.0.{o}.{row}" for o in range(2, 5) for row in (0, 1)]
    assert "level" not in all_.events[0][2]  # what a row lacks is left out

    full = httpx.get(
        f"{served.url}/api/v1/tail", params={"dataset": "events"}, headers={"Authorization": f"Bearer {served.token}"}
    )
    assert (full.status_code, full.json()["type"]) == (429, "urn:logflume:busy")
    some.leave()
    more = served.send(5, 6)
    until(lambda: some.ended, 30)
    back = until(lambda: (f := follow(served, all_.events[3][0])).begun and f, 30)
    until(lambda: back.messages() == [*sent[4:], *more], 30)

    assert run(["token", "revoke", "analyst"]) == DONE
    until(lambda: all_.ended and back.ended, SECONDS, "the end of both")
    assert [name for _, name, _ in (all_.events[-1], back.events[-1])] == ["end", "end"]
    assert "no tenant's" in all_.events[-1][2]["detail"]


def test_a_server_that_ends_does_not_wait_for_those_who_follow(served: Served) -> None:
    one = follow(served)
    assert served.worker.stop(15) == 0
    until(lambda: one.ended, 5)
    assert one.events[-1][1] == "end"


@pytest.mark.timeout(300)
def test_whoever_does_not_read_loses_rows_with_a_count_and_slows_nobody(served: Served, worker: StartWorker) -> None:
    rows, pieces = 1_000, 20
    # Small beside 13 MB; through a still smaller one, what was sent would trickle for minutes once it is read.
    small = httpx.HTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)])
    headers, asked = {"Authorization": f"Bearer {served.token}"}, {"dataset": "events"}
    with (
        httpx.Client(transport=small, timeout=60, headers=headers) as client,
        client.stream("GET", f"{served.url}/api/v1/tail", params=asked) as stuck,
    ):
        assert stuck.status_code == 200
        sink = worker("sink", served.sorted.settings)
        sink.wait_ready(120)
        quick = follow(served, q="x 19.")
        for number in range(pieces):
            served.send(number, number + 1, rows, "x" * 600 + " ")
        # Nobody reads the stuck one, and all the same: the table has all rows, and others are told what they want.
        settings = served.sorted.settings
        until(lambda: sum(stored(settings, "acme").values()) == pieces * rows, 120, "all rows at rest", pause=0.5)
        until(lambda: len(quick.messages()) == rows, 60)
        got, lost = 0, 0
        for _, name, data in events(stuck.iter_lines()):
            if data is not None:
                got, lost = got + (name == "message"), lost + (data["rows"] if name == "lost" else 0)
            if got + lost == pieces * rows:
                break
    assert lost > 0
    assert got > 0


def test_the_command_follows_by_the_server_where_there_is_one(served: Served, worker: StartWorker) -> None:
    settings = served.sorted.settings.model_copy(update={"kafka_bootstrap": ""})
    one = worker("tail events --q m1.", settings, env={"LOGFLUME_URL": served.url, "LOGFLUME_TOKEN": served.token})
    until(lambda: "Following events of acme" in one.output(), 60)
    served.send(0, 3)
    until(lambda: one.output().count(" message=m1.") == 2, 30)
    assert "message=m0." not in one.output()
    served.worker.stop(20)
    assert one.wait(30) == 1
    assert "the server ends" in one.output()
