"""``logflume edge serve`` as the process that a user runs, in front of a real Kafka."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from logflume import contract, model
from logflume.kafka import topics
from logflume.model.token import digest, text_of
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.edge import blocks, rows
from tests.support.topic import ingested
from tests.support.waiting import until
from tests.support.worker import Worker

DATASETS = model.load(contract.find())
TOKEN = text_of("k1", bytes(32))


@pytest.fixture
def served(settings: Settings, worker: StartWorker) -> Iterator[tuple[Worker, httpx.Client]]:
    (Path(settings.tenants_dir) / "acme.yaml").write_text(
        f'name: acme\ndatasets: {{events: }}\ntokens:\n  - {{id: k1, sha256: "{digest(TOKEN)}"}}\n'
    )
    topics.apply(settings)
    edge = worker("edge serve", settings.model_copy(update={"edge_http_port": 0, "edge_linger_seconds": 0.3}))
    edge.wait_ready()
    found = re.search(r"http://127\.0\.0\.1:\d+", edge.output())
    assert found, edge.output()
    with httpx.Client(base_url=found[0], headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as sender:
        yield edge, sender


def test_what_was_answered_is_on_kafka_once_also_after_a_kill(
    settings: Settings, served: tuple[Worker, httpx.Client]
) -> None:
    edge, sender = served

    def post(number: int) -> httpx.Response:
        body = b"".join(b'{"message":"%d-%d"}\n' % (number, line) for line in range(10))
        key = {"Idempotency-Key": f"batch-{number % 20}"}  # each is sent twice
        body = body if number < 20 else b"".join(b'{"message":"%d-%d"}\n' % (number - 20, line) for line in range(10))
        return sender.post("/v1/ingest/events", content=body, headers=key)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(40)))
    assert [(answer.status_code, answer.json()["rows"]) for answer in answers] == [(200, 10)] * 40
    edge.kill()
    log = ingested(settings)
    assert sorted(record["message"] for _, record in rows(log, DATASETS)) == sorted(
        f"{number}-{line}" for number in range(20) for line in range(10)
    )
    assert len(blocks(log, DATASETS)) < 20, "requests that come together share blocks"


def test_sigterm_ends_what_is_in_work_and_exits_with_zero(
    settings: Settings, served: tuple[Worker, httpx.Client]
) -> None:
    edge, sender = served
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(sender.post, "/v1/ingest/events", content=b'{"message":"last"}\n')
        until(lambda: "logflume_edge_http_work_bytes 0.0" not in edge.get("/metrics")[1] or asked.done(), 20, "in work")
        edge.terminate()
        assert asked.result().status_code == 200
    assert edge.wait() == 0
    assert [record["message"] for _, record in rows(ingested(settings), DATASETS)] == ["last"]
