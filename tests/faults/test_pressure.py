"""The sinks stand still under load: whoever sends is slowed down and stopped, and all goes on by itself afterwards."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import threading
from collections import Counter
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

from logflume.model.token import digest, text_of
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.oracle import DATASET, Journal, record, tenant_of
from tests.support.pipeline import SHORT, Pipeline
from tests.support.services import Run
from tests.support.sorted_log import few_partitions, stored
from tests.support.waiting import until
from tests.support.worker import Worker

PRESSED = SHORT | {
    "status_seconds": 0.5,
    "watch_seconds": 0.5,
    "pressure_lag_seconds": 12.0,
    "pressure_slow_on": 0.6,  # well before the stop, so that a busy machine sees both
    "pressure_slow_off": 0.5,
    "pressure_hold_seconds": 1.0,
    "edge_timeout_seconds": 200.0,  # senders wait
}
GROWTH_BYTES = 40_000_000
"""What a process may grow by, from its first rows until all is at rest; its budget is far above what is sent then."""
LOOKS = 15

TOKEN = text_of("k1", bytes(32))
HTTP_TENANT = "acme"
HTTP_RECORDS = 200
HTTP_PACE_SECONDS = 0.2
SYSLOG_TENANT = "syslog"
SYSLOG_BYTES = 4_000
SYSLOG_PACE_SECONDS = 0.05
DATAGRAMS = 20


@pytest.mark.timeout(420)
def test_while_the_sink_stands_still_senders_wait_memory_is_flat_and_then_every_record_is_stored_once(
    settings: Settings, worker: StartWorker, run: Run, tmp_path: Path
) -> None:
    few = few_partitions(settings.model_copy(update=PRESSED), tmp_path)
    pipeline = Pipeline(few.model_copy(update=PRESSED), run, tmp_path, worker)
    pipeline.judge.apart.add(SYSLOG_TENANT)
    with contextlib.ExitStack() as opened:
        opened.callback(pipeline.close)
        sort, sink, watch = pipeline.sort(), pipeline.sink(), pipeline.start("watch", pipeline.settings)
        edge = _edge(pipeline)
        sender = pipeline.send()
        edge.wait_ready()
        until(lambda: "udp://" in edge.output(), 30, "its addresses")
        at = dict(re.findall(r"\b(http|tcp|udp)(://127\.0\.0\.1:\d+)", edge.output()))
        http = opened.enter_context(HttpSender("http" + at["http"], pipeline.oracle.journal("h0")))
        syslog = opened.enter_context(SyslogSender(_port(at["tcp"])))
        pipeline.until_working(sink, "logflume_sink_rows_total")
        until(lambda: watch.get("/ready")[0] == 200, 60, "the watch measures")
        until(lambda: level(pipeline, watch) == "none", 120, "no pressure: the pipeline keeps up")
        until(lambda: pipeline.gauge(watch, "logflume_status_workers") >= 4, 60, "all four workers tell how they are")
        until(lambda: stored(pipeline.settings, SYSLOG_TENANT), 60, "syslog comes to rest", pause=0.5)
        until(lambda: http.taken() >= 5, 60, "HTTP is taken")

        memory = Memory(sort=sort.pid, sink=sink.pid, watch=watch.pid, edge=edge.pid, sender=sender.process.pid)
        paused = len(http.answers)
        sink.pause()
        until(lambda: memory.look() and level(pipeline, watch) == "stop", 90, "pressure", pause=0.2)
        syslog.pace_seconds = 0.0
        until(lambda: memory.look() and waits(sender.journal), 90, "the sender waits")
        refused = (503, "stop", "10")
        until(lambda: memory.look() and set(http.answers[-LOOKS:]) == {refused}, 60, "HTTP is refused", pause=0.2)
        levels = [name for name, _ in itertools.groupby(answer[1] for answer in http.answers[paused:])]
        assert "slow" in levels[: levels.index("stop")], "it was slowed down first"
        until(lambda: memory.look() and syslog.waits(), 60, "syslog's sender waits")
        read = pipeline.gauge(edge, "logflume_edge_syslog_messages_total")
        assert read < syslog.sent, "what it sent lies in its sockets"
        syslog.pace_seconds = SYSLOG_PACE_SECONDS
        datagrams(_port(at["udp"]))
        sent = sender.acked()
        assert edge.get("/ready")[0] == 200, "a load balancer keeps its edges"
        assert pipeline.gauge(edge, "logflume_edge_spool_ratio") < 0.01, "long before the spool is full"
        assert pipeline.gauge(edge, "logflume_edge_buffered_bytes") < pipeline.settings.edge_memory_bytes / 10

        sink.resume()

        def recovered() -> bool:
            nonlocal sink
            if (
                not sink.alive()
            ):  # it was stopped within a transaction, which timed out: whoever supervises it does this
                sink = pipeline.sink()
                memory.follow("sink", sink.pid)
            return memory.look() and level(pipeline, watch) == "none"

        until(recovered, 120, "the pressure is gone", pause=0.2)
        until(lambda: set(http.answers[-3:]) == {(200, "none", None)}, 60, "HTTP is taken again")
        until(lambda: sender.acked() > sent + 480, 120, "the sender goes on")
        until(lambda: pipeline.gauge(edge, "logflume_edge_syslog_messages_total") > read, 60, "syslog is read again")
        http.end()
        lines = syslog.end()
        pipeline.finish(sender)
        rows = lambda: stored(pipeline.settings, SYSLOG_TENANT)  # noqa: E731
        until(lambda: rows().total() >= lines + DATAGRAMS, 60, "syslog at rest", pause=0.5)
        pipeline.assert_exactly_once()
        memory.look()
        print(f"grown by {memory.grown()}; {http.taken()} bodies taken, {Counter(http.answers)}; {lines} lines")
        texts = Counter(text.rstrip("x") for text in rows().elements())
        assert texts == Counter([*(f"line {n} " for n in range(lines)), *(f"datagram {n}" for n in range(DATAGRAMS))])
        assert max(memory.grown().values()) < GROWTH_BYTES
        assert edge.stop() == 0


def _edge(pipeline: Pipeline) -> Worker:
    """An HTTP and syslog edge with a spool."""
    tenants = Path(pipeline.settings.tenants_dir)
    token = f'tokens:\n  - {{id: k1, sha256: "{digest(TOKEN)}"}}\n'
    (tenants / f"{HTTP_TENANT}.yaml").write_text(f"name: {HTTP_TENANT}\ndatasets:\n  {DATASET}:\n{token}")
    (tenants / f"{SYSLOG_TENANT}.yaml").write_text(f"name: {SYSLOG_TENANT}\ndatasets:\n  {DATASET}:\n")
    owner = f"127.0.0.1:0?tenant={SYSLOG_TENANT}"
    own = {
        "edge_http_port": 0,
        "edge_syslog_listen": f"tcp://{owner},udp://{owner}",
        "edge_syslog_memory_bytes": 200_000,
        "edge_spool_dir": str(pipeline.folder / "spool"),
    }
    return pipeline.start("edge serve", pipeline.settings.model_copy(update=own))


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


class HttpSender:
    """Sends bodies at a steady pace, each until it is answered 200, more often than ``Retry-After`` asks for."""

    def __init__(self, url: str, journal: Journal) -> None:
        self._url = url
        self._journal = journal
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.answers: list[tuple[int, str, str | None]] = []
        """Each one's status, pressure, and Retry-After."""

    def __enter__(self) -> HttpSender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(30)

    def taken(self) -> int:
        """Bodies answered 200."""
        return sum(answer[0] == 200 for answer in self.answers)

    def end(self) -> None:
        """End with the body that is on its way."""
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=60) as http:
            numbers = (number for number in itertools.count() if tenant_of(number) == HTTP_TENANT)
            while not self._ending.is_set():
                batch = list(itertools.islice(numbers, HTTP_RECORDS))
                body = b"\n".join(orjson.dumps(record(self._journal.session, number)[1]) for number in batch)
                for number in batch:
                    self._journal.issued(number, number + 1)
                while self._post(http, body) != 200 and not self._ending.wait(HTTP_PACE_SECONDS):
                    pass
                if self.answers[-1][0] == 200:
                    for number in batch:
                        self._journal.acked(number, number + 1)
                self._ending.wait(HTTP_PACE_SECONDS)

    def _post(self, http: httpx.Client, body: bytes) -> int:
        answer = http.post(f"/v1/ingest/{DATASET}", content=body)
        found = (answer.status_code, answer.headers["Logflume-Pressure"], answer.headers.get("Retry-After"))
        self.answers.append(found)
        return found[0]


class SyslogSender:
    """Sends line after line by TCP."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._ending = threading.Event()
        self._broken: OSError | None = None
        self.pace_seconds = SYSLOG_PACE_SECONDS
        self.sent = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> SyslogSender:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(30)

    def waits(self) -> bool:
        """Whether nothing goes out for a while."""
        before = self.sent
        return not self._ending.wait(1.5) and self.sent == before

    def end(self) -> int:
        """Send no more; return how many lines were sent."""
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert self._broken is None
        return self.sent

    def _run(self) -> None:
        try:
            self._send()
        except OSError as error:
            self._broken = error

    def _send(self) -> None:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            connection.settimeout(300)
            connection.connect(("127.0.0.1", self._port))
            while not self._ending.wait(self.pace_seconds):
                connection.sendall(b"<14>line %d %s\n" % (self.sent, b"x" * SYSLOG_BYTES))
                self.sent += 1


class Memory:
    """How much more resident memory each process has had than at first."""

    def __init__(self, **pids: int) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._first = {name: process.memory_info().rss for name, process in self._processes.items()}
        self._most = dict(self._first)

    def follow(self, name: str, pid: int) -> None:
        """Look at a successor from now on."""
        self._processes[name] = psutil.Process(pid)

    def look(self) -> bool:
        """Look now; True."""
        for name, process in self._processes.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                self._most[name] = max(self._most[name], process.memory_info().rss)
        return True

    def grown(self) -> dict[str, int]:
        """Bytes, by process."""
        return {name: most - self._first[name] for name, most in self._most.items()}


def datagrams(port: int) -> None:
    """Send a few, which fit into the socket's buffer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(DATAGRAMS):
            sender.sendto(b"<14>datagram %d" % number, ("127.0.0.1", port))


def level(pipeline: Pipeline, watch: Worker) -> str:
    """The level that the watch publishes."""
    lines = watch.get("/metrics")[1].splitlines()
    found = [line for line in lines if line.startswith("logflume_pressure_level_info{") and line.endswith(" 1.0")]
    return found[0].partition('level="')[2].partition('"')[0] if found else ""


def waits(journal: Journal) -> bool:
    """Whether nothing new is issued over so many looks; without pressure there is a batch in every few of them."""
    counts: list[int] = []

    def looked() -> bool:
        counts.append(len(journal.numbers()[0]))
        return len(counts) == LOOKS

    until(looked, 60, "looks", pause=0.2)
    return len(set(counts)) == 1
