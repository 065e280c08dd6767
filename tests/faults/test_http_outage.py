"""Kafka goes away for longer than the spool lasts, while senders of the HTTP edge go on."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
from collections import Counter
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

from logflume import contract, model
from logflume.kafka import topics
from logflume.model.token import digest, text_of
from tests.conftest import SettingsFor, StartWorker
from tests.support.edge import blocks
from tests.support.services import Kafka
from tests.support.topic import ingested
from tests.support.waiting import until
from tests.support.worker import Worker

DATASETS = model.load(contract.find())
TOKEN = text_of("k1", bytes(32))
CAP_BYTES = 20_000_000
MEMORY_BYTES = 8_000_000
GROWTH_BYTES = 30_000_000
"""What the process may grow by; less than it must answer 200 for."""
SENDERS, ROWS, ROW_BYTES = 6, 100, 2_000


class Senders:
    """Threads that send bodies one after the other, each of new records, and take down every answer."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.answers: list[tuple[str, int, str, str | None]] = []
        """Of each body: its name, the status (0: no answer), the text, and Retry-After."""
        self._threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def count(self, status: int, first: int = 0) -> int:
        """Answers of this status, from the ``first`` on."""
        with self._lock:
            return sum(answer[1] == status for answer in self.answers[first:])

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        with httpx.Client(base_url=self._url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=90) as http:
            for turn in itertools.count():
                if self._stop.is_set():
                    return
                name = f"{number}.{turn}"
                try:
                    answer = http.post("/v1/ingest/events", content=_body(name))
                    found = (name, answer.status_code, answer.text, answer.headers.get("Retry-After"))
                except httpx.HTTPError as error:
                    found = (name, 0, str(error), None)
                with self._lock:
                    self.answers.append(found)
                if found[1] != 200:
                    self._stop.wait(0.2)  # sooner than Retry-After asks: it must bear that


def _body(name: str) -> bytes:
    """Records that packing makes no smaller than half; the first word of each tells it from all others."""
    texts = (f"{name}.{row} {os.urandom(ROW_BYTES // 2).hex()}" for row in range(ROWS))
    return b"".join(orjson.dumps({"message": text}) + b"\n" for text in texts)


def _gauge(edge: Worker, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", edge.get("/metrics")[1], re.MULTILINE)
    assert found, name
    return float(found[1])


class Watch:
    """The most memory and the fullest spool that a process had."""

    def __init__(self, edge: Worker) -> None:
        self._edge = edge
        self._process = psutil.Process(edge.pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.most_bytes = 0
        self.fullest = 0.0

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.25):
            with contextlib.suppress(psutil.NoSuchProcess, AssertionError):
                self.most_bytes = max(self.most_bytes, self._process.memory_info().rss)
                self.fullest = max(self.fullest, _gauge(self._edge, "logflume_edge_spool_ratio"))


@pytest.mark.timeout(200)
def test_while_kafka_is_away_the_edge_answers_from_its_spool_then_503_and_what_it_took_is_stored_once(
    own_kafka: Kafka, settings_for: SettingsFor, worker: StartWorker, tmp_path: Path
) -> None:
    settings = settings_for(
        own_kafka,
        edge_http_port=0,
        edge_linger_seconds=0.02,
        edge_memory_bytes=MEMORY_BYTES,
        edge_spool_dir=str(tmp_path / "spool"),
        edge_spool_bytes=CAP_BYTES,
    )
    (Path(settings.tenants_dir) / "acme.yaml").write_text(
        f'name: acme\ndatasets: {{events: }}\ntokens:\n  - {{id: k1, sha256: "{digest(TOKEN)}"}}\n'
    )
    topics.apply(settings)
    edge = worker("edge serve", settings)
    edge.wait_ready()
    url = re.search(r"http://127\.0\.0\.1:\d+", edge.output())
    assert url, edge.output()
    senders = Senders(url[0])
    until(lambda: senders.count(200) > 100, 30, "bodies go to Kafka")
    before = psutil.Process(edge.pid).memory_info().rss

    with Watch(edge) as watch:
        own_kafka.kill()
        killed = len(senders.answers)
        until(lambda: senders.count(503, killed) > 30, 60, "the edge is full and says so")
        assert edge.get("/ready")[0] == 503
        full = len(senders.answers)
        until(lambda: senders.count(503, full) > 30, 30, "it goes on saying so")
    spooled = senders.count(200, killed) * ROWS * ROW_BYTES

    own_kafka.start()
    back = len(senders.answers)
    until(lambda: senders.count(200, back) > 10, 60, "bodies are taken again")
    senders.stop()
    until(lambda: _gauge(edge, "logflume_edge_spool_age_seconds") == 0, 60, "the spool is empty")
    assert edge.stop() == 0

    found = Counter(
        text.split(" ", 1)[0].rsplit(".", 1)[0]
        for _, batch in blocks(ingested(settings), DATASETS)
        for text in batch.column("message").to_pylist()
    )
    statuses = Counter(answer[1] for answer in senders.answers)
    print(f"{statuses}, {spooled} bytes spooled, {watch.most_bytes - before} more in memory, {watch.fullest:.0%} full")
    assert set(statuses) == {200, 503}
    assert {retry for _, status, _, retry in senders.answers if status == 503} <= {"2", "30"}
    for name, status, text, _ in senders.answers:
        if status == 200:
            assert found.pop(name, 0) == ROWS, name
        elif "still on their way" in text:
            assert found.pop(name, ROWS) == ROWS, name
    assert not found, "nothing else is there, of refused bodies least of all"
    assert spooled > GROWTH_BYTES
    assert watch.fullest < 1.0
    assert watch.most_bytes - before < GROWTH_BYTES
