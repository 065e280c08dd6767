"""Senders' books, and what the judge makes of them; the time line that the files tell."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from logflume.demo.judge import Files
from logflume.drill import book, sender, timeline
from logflume.drill.book import ACKNOWLEDGED, DOUBTFUL, REFUSED, WRONG, Book, Entry
from logflume.drill.catalogue import DRILLS
from logflume.drill.drill import REAL_WITHIN_SECONDS
from logflume.drill.run import booked
from logflume.drill.sampler import Lateness
from logflume.drill.tenant import PREFIX, make
from logflume.local.process import free_ports
from tests.support.waiting import until

NAMES = ["drill-a", "drill-b"]


def entries(path: Path) -> list[Entry]:
    return list(book.read(path))


def test_k1_a_torn_last_line_is_no_entry_yet(tmp_path: Path) -> None:
    path = tmp_path / "book"
    with Book(path) as written:
        written.note(Entry(1.5, 0, 0, 50, 0, ACKNOWLEDGED, 200))
        written.note(Entry(2.5, 1, 0, 50, 0, DOUBTFUL, 0))
    with path.open("a") as torn:
        torn.write("3.5 1 50 50")
    assert [entry.time for entry in entries(path)] == [1.5, 2.5]
    assert book.last(tmp_path / "none", ACKNOWLEDGED) == 0.0


def test_k2_ranges_become_records_whose_ids_no_other_run_or_tenant_has(tmp_path: Path) -> None:
    path = tmp_path / "book"
    with Book(path) as written:
        for first in (0, 50, 150):
            written.note(Entry(1.0, 0, first, 50, 0, ACKNOWLEDGED, 200))
        written.note(Entry(1.0, 1, 0, 50, 0, DOUBTFUL, 0))
    sent = booked([path], NAMES, run=7).table()
    sure = sent.filter(pc.invert(sent["doubtful"]))
    numbers = [*range(100), *range(150, 200)]
    assert sure["id"].to_pylist() == [book.text_id(book.first_id(7, 0) + number) for number in numbers]
    assert set(sure["tenant"].to_pylist()) == {"drill-a"}
    assert sent.num_rows == 200
    ids = {book.first_id(run, tenant) >> book.NUMBER_BITS for run in range(3) for tenant in range(3)}
    assert len(ids) == 9
    with pytest.raises(ValueError):
        book.first_id(0, book.MOST_TENANTS)


def test_k3_what_was_refused_is_in_no_range_and_what_was_doubtful_in_no_sum_of_acknowledged() -> None:
    found = book.sums(
        [
            Entry(1, 0, 0, 50, 3, ACKNOWLEDGED, 200),
            Entry(1, 0, 50, 0, 0, REFUSED, 503),
            Entry(1, 0, 50, 50, 2, DOUBTFUL, 0),
            Entry(1, 0, 100, 50, 0, WRONG, 200),
        ],
        NAMES,
    )
    assert found["drill-a"] == book.Sums(acknowledged=50, doubtful=50, bad=3, refused=1, wrong=1)


class Edge(ThreadingHTTPServer):
    """Answers what it was told to, in turn; 200 with the right sums after that."""

    daemon_threads = True

    def __init__(self, answers: list[tuple[int, bytes] | None]) -> None:
        self.answers = answers
        self.bodies: list[bytes] = []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Edge

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            answer = self.server.answers.pop(0) if self.server.answers else right(body)
            self.server.bodies.append(body)
        if answer is None:
            self.close_connection = True
            return  # gone without an answer
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    def log_message(self, format: str, *args: object) -> None:
        pass


def right(body: bytes) -> tuple[int, bytes]:
    good = sum(b'"service":"drill"' in line for line in body.splitlines())
    return 200, orjson.dumps({"rows": good, "errors_total": len(body.splitlines()) - good})


@pytest.fixture
def edge() -> Iterator[Edge]:
    server = Edge([])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def plan(edge: Edge, path: Path) -> sender.Plan:
    return sender.Plan(
        run=3,
        urls=[edge.url],
        dataset="events",
        book=str(path),
        tenants=[(0, "drill-a", "t-a"), (1, "drill-b", "t-b")],
        rows_a_second=400,
        rows_a_body=10,
        threads=1,
    )


def run_until(plan: sender.Plan, bodies: int) -> list[Entry]:
    """Send until so many bodies are in the book."""
    path = Path(plan.book)
    with Book(path) as written:
        sending = sender.Sender(plan, written)
        thread = threading.Thread(target=sending.run)
        thread.start()
        until(lambda: len(entries(path)) >= bodies, 20, "bodies are in the book")
        sending.stop()
        thread.join()
    return entries(path)


def test_a_sender_books_what_was_said_and_sends_again_only_what_was_refused(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_AGAIN_SECONDS", 0.05)
    edge.answers = [
        (503, b"full"),
        (200, b'{"rows": 9, "errors_total": 0}'),
        (503, b"records are still on their way"),
        None,
        (429, b"slower"),
    ]
    found = run_until(plan(edge, tmp_path / "book"), 8)
    outcomes = [(entry.outcome, entry.tenant, entry.rows) for entry in found[:7]]
    assert outcomes == [
        (REFUSED, 0, 0),
        (WRONG, 0, 10),
        (DOUBTFUL, 1, 10),
        (DOUBTFUL, 0, 10),
        (REFUSED, 1, 0),
        (ACKNOWLEDGED, 1, 10),
        (ACKNOWLEDGED, 0, 10),
    ]
    assert edge.bodies[0] == edge.bodies[1], "a refused body is sent again as it was"
    assert len(set(edge.bodies)) == len(edge.bodies) - 2, "nothing else is"


def test_a_sender_turns_to_the_other_edge_when_one_is_not_there_or_takes_nothing(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "_AGAIN_SECONDS", 0.05)
    edge.answers = [(200, b'{"rows": 10, "errors_total": 0}'), (503, b"it ends")]
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    found = run_until(replace(plan(edge, tmp_path / "book"), urls=[nobody, edge.url]), 5)
    assert [(entry.outcome, entry.status) for entry in found[:5]] == [
        (REFUSED, 0),
        (ACKNOWLEDGED, 200),
        (REFUSED, 503),
        (REFUSED, 0),
        (ACKNOWLEDGED, 200),
    ]
    assert edge.bodies[1] == edge.bodies[2], "a refused body is sent again as it was"


def test_garbage_goes_among_the_records_and_is_booked_apart(edge: Edge, tmp_path: Path) -> None:
    found = run_until(replace(plan(edge, tmp_path / "book"), bad_share=0.5), 3)
    assert {(entry.outcome, entry.rows, entry.bad) for entry in found} == {(ACKNOWLEDGED, 10, 10)}


def test_a_sender_does_not_make_up_for_a_long_stop() -> None:
    schedule = sender.Schedule(
        sender.Plan(1, [], "events", "", [(0, "drill-a", "t")], rows_a_second=100, rows_a_body=10, threads=1), 1000.0
    )
    first = schedule.take(1000.0)[0]
    late = schedule.take(1060.0)[0]
    assert first == pytest.approx(1000.1)
    assert late >= 1058.0


# --- time lines -------------------------------------------------------------------------------------------------------


def test_a_time_line_counts_rows_when_they_came_and_how_long_they_waited(tmp_path: Path) -> None:
    start = 1_763_812_800.0
    came = [0.5, 0.6, 1.5, 8.0]
    micros = [int((start + second) * 1e6) for second in came]
    pq.write_table(pa.table({"_received": pa.array(micros, pa.timestamp("us", "UTC"))}), tmp_path / "one.parquet")
    files = [
        Files("drill-a", "events", (str(tmp_path / "one.parquet"),), (1,), 4, 0, (int((start + 3.0) * 1000),)),
        Files("stranger", "events", ("nowhere.parquet",), (1,), 4, 0, (0,)),
    ]
    groups = {"drill-a": "before", "drill-b": "after"}
    found = timeline.read(pyarrow.fs.LocalFileSystem(), files, groups, start, 10)
    assert set(found) == {"before", "after"}
    group = found["before"]
    assert group.came.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 1, 0]
    assert group.rested.tolist() == [0, 0, 0, 4, 0, 0, 0, 0, 0, 0]
    assert group.rate(0, 2) == 1.5
    assert group.rate(0, 2, within_seconds=2.0) == 0.5, "those of the first second waited longer"
    waited = group.waited(0, 1, 0.95)
    assert waited == pytest.approx(2.6)
    assert group.waited(4, 6, 0.95) is None
    assert not np.any(found["after"].came)


def test_lateness_is_since_when_the_group_is_behind_the_ends_of_then() -> None:
    late, place = Lateness(), ("sorted.events", 3)
    assert late.seconds(100.0, {place: 10}, {place: 10}) == 0.0
    assert late.seconds(101.0, {place: 20}, {place: 10}) == 1.0
    assert late.seconds(103.0, {place: 30, ("new", 0): 1}, {place: 19}) == 3.0, "of all partitions the latest counts"
    assert late.seconds(104.0, {place: 40, ("new", 0): 1}, {place: 30, ("new", 0): 1}) == 1.0
    assert late.seconds(105.0, {place: 40, ("new", 0): 1}, {place: 5, ("new", 0): 1}) == 5.0, "never known to be there"


# --- the drills -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DRILLS)
def test_every_drill_has_both_sizes_and_tenants_whom_nobody_else_can_be(name: str) -> None:
    drill = DRILLS[name]
    assert drill.name == name
    assert set(drill.sizes) == {"small", "real"}
    assert drill.sizes["real"].promise.within_seconds == REAL_WITHIN_SECONDS
    assert len(drill.what) < 110
    tenants = make(drill.name, 0, 3)
    assert all(tenant.name.startswith(PREFIX) for tenant in tenants)
    assert len({tenant.token for tenant in tenants}) == 3
    assert len({tenant.token_id for tenant in tenants}) == 3


def test_the_real_drills_together_take_less_than_three_quarters_of_an_hour() -> None:
    seconds = 0.0
    for drill in DRILLS.values():
        size = drill.sizes["real"]
        seconds += 60 + size.before_seconds + size.harm_seconds + size.after_seconds + size.promise.recover_seconds / 4
    assert seconds < 45 * 60, time.strftime("%M:%S", time.gmtime(seconds))
