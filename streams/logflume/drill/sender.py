"""``python -m logflume.drill.sender PLAN``: a sender of its own, by HTTP, at a set rate, that keeps a book.

It imports nothing of Logflume but the book, and knows the edges' addresses and its tenants' tokens, as a real sender
does. From an edge that is not there, or takes nothing, it turns to the next.
Its schedule is open: it sends when a body is due, not when the last one was answered; but what it could not send for
``_FORGIVEN_SECONDS`` it does not make up for, so that a recovery is not judged by a flood of the sender's own making.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from logflume.drill.book import ACKNOWLEDGED, DOUBTFUL, REFUSED, WRONG, Book, Entry, first_id, text_id

GARBAGE = (b'{"trace_id": "cut in the mid', b"[1, 2, 3]", b"GET / HTTP/1.1", b"\xff\xfe\x00 not even text")
"""Lines that are no records: each must end as a dead letter."""

_FORGIVEN_SECONDS = 2.0
_TIMEOUT_SECONDS = 45.0  # an edge answers within 30 s, good or bad
_AGAIN_SECONDS = 0.5
_ON_THEIR_WAY = b"still on their way"
_POOL = 512


@dataclass(frozen=True)
class Plan:
    """What a sender does. ``tenants``: number (for the ids), name, token; ``bad_share`` of the lines are broken."""

    run: int
    urls: Sequence[str]
    dataset: str
    book: str
    tenants: Sequence[tuple[int, str, str]]
    rows_a_second: float
    rows_a_body: int
    threads: int
    bad_share: float = 0.0

    def write(self, path: Path) -> Path:
        """Keep it in a file that only we can read (it has tokens), and return that."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Return what ``write`` wrote."""
        return cls(**json.loads(path.read_text()))


class Schedule:
    """Which tenant's body is due when: all tenants in turn, evenly over time."""

    def __init__(self, plan: Plan, now: float) -> None:
        self._plan = plan
        self._pause = plan.rows_a_body / plan.rows_a_second
        self._due = now
        self._turn = 0
        self._next = dict.fromkeys((number for number, _, _ in plan.tenants), 0)
        self._lock = threading.Lock()

    def take(self, now: float) -> tuple[float, int, int, str]:
        """Return when the next body is due, its tenant's number, its first record's number, and the token."""
        with self._lock:
            number, _, token = self._plan.tenants[self._turn % len(self._plan.tenants)]
            self._turn += 1
            self._due = max(self._due + self._pause, now - _FORGIVEN_SECONDS)
            first = self._next[number]
            self._next[number] = first + self._plan.rows_a_body
            return self._due, number, first, token


class Bodies:
    """Makes NDJSON of numbered records, about 300 bytes each, that packing makes no smaller than a third."""

    def __init__(self, plan: Plan) -> None:
        chance = random.Random(plan.run)
        self._plan = plan
        self._pool = [f"request {chance.randbytes(60).hex()} done" for _ in range(_POOL)]

    def make(self, tenant: int, first: int, now: float) -> tuple[bytes, int]:
        """Return a body with the tenant's records from ``first`` on, and how many broken lines are in it."""
        plan = self._plan
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        start = first_id(plan.run, tenant) + first
        lines = [
            f'{{"time":"{at}","level":"info","service":"drill","host":"drill-{tenant}","message":'
            f'"{self._pool[number % _POOL]}","trace_id":"{text_id(number)}"}}'.encode()
            for number in range(start, start + plan.rows_a_body)
        ]
        bad = round(len(lines) * plan.bad_share / (1 - plan.bad_share)) if plan.bad_share else 0
        for number in range(bad):
            lines.insert(number * 2 % (len(lines) + 1), GARBAGE[number % len(GARBAGE)])
        return b"\n".join(lines) + b"\n", bad


class Sender:
    """Threads that send what is due until told to stop, one connection each."""

    def __init__(self, plan: Plan, book: Book) -> None:
        self._plan = plan
        self._book = book
        self._bodies = Bodies(plan)
        self._schedule = Schedule(plan, time.time())
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(plan.threads)]

    def run(self) -> None:
        """Send until ``stop``; returns when every thread has its last answer."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

    def stop(self) -> None:
        """Begin no other body."""
        self._stop.set()

    def _run(self, number: int) -> None:
        connection = _Connection(self._plan, number)
        while not self._stop.is_set():
            due, tenant, first, token = self._schedule.take(time.time())
            if self._stop.wait(max(0.0, due - time.time())):
                break
            body, bad = self._bodies.make(tenant, first, time.time())
            while not self._stop.is_set() and not self._sent(connection, body, tenant, first, bad, token):
                self._stop.wait(_AGAIN_SECONDS)
        connection.close()

    def _sent(self, connection: _Connection, body: bytes, tenant: int, first: int, bad: int, token: str) -> bool:
        """Whether the body is done with; otherwise none of it was taken, and it is sent again."""
        rows = self._plan.rows_a_body
        outcome, status = connection.post(body, token, rows, bad)
        kept = outcome != REFUSED
        self._book.note(Entry(time.time(), tenant, first, rows if kept else 0, bad if kept else 0, outcome, status))
        return kept


class _Connection:
    """A thread's connection to one edge; after a failure, or when that takes nothing, to the next."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._path = f"/v1/ingest/{plan.dataset}"
        places = [urlsplit(url).netloc for url in plan.urls]
        self._places = itertools.cycle([*places[number % len(places) :], *places[: number % len(places)]])
        self._http = self._next()

    def close(self) -> None:
        self._http.close()

    def _next(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(next(self._places), timeout=_TIMEOUT_SECONDS)

    def _turn(self) -> None:
        self.close()
        self._http = self._next()

    def post(self, body: bytes, token: str, rows: int, bad: int) -> tuple[str, int]:
        """Return the outcome and the status of one body."""
        try:
            if self._http.sock is not None and _ended(self._http.sock):
                self.close()
            if self._http.sock is None:
                self._http.connect()
        except OSError:
            self._turn()
            return REFUSED, 0  # nobody was there to take anything
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
        try:
            self._http.request("POST", self._path, body, headers)
            answer = self._http.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self._turn()
            return DOUBTFUL, 0
        if answer.status == 200:
            found = json.loads(text)
            right = (found["rows"], found["errors_total"]) == (rows, bad)
            return (ACKNOWLEDGED if right else WRONG), 200
        if answer.status >= 500:
            self._turn()
        if answer.status >= 500 and (answer.status != 503 or _ON_THEIR_WAY in text):
            return DOUBTFUL, answer.status
        return REFUSED, answer.status


def _ended(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection on which nothing is under way: it leaves nothing in doubt."""
    looking = select.poll()
    looking.register(connection, select.POLLIN)
    return bool(looking.poll(0))


def main(path: Path) -> None:
    """Send as the plan in ``path`` says, until SIGTERM."""
    plan = Plan.read(path)
    with Book(Path(plan.book)) as book:
        sender = Sender(plan, book)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sender.stop())
        sender.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
