"""Agents' own clients, unchanged, against the HTTP edge with a real Kafka behind it: each record stands there once."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from elasticsearch import Elasticsearch, helpers
from logging_loki import LokiHandler
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from splunk_handler import SplunkHandler

from logflume import contract, model
from logflume.clock import SystemClock
from logflume.config.directory import DirectorySource
from logflume.edge import Client
from logflume.edge.http.server import HttpListener
from logflume.kafka import client as kafka_client
from logflume.kafka import topics
from logflume.model.token import SECRET_BYTES, digest, text_of
from logflume.settings import Settings
from tests.conftest import SharedKafka
from tests.support.edge import rows
from tests.support.producer import Stored

DATASETS = model.load(contract.find())
TOKEN = text_of("k1", secrets.token_bytes(SECRET_BYTES))
ROWS = 300


@dataclass(frozen=True)
class Edge:
    """A server of this module's, and what it has put on Kafka."""

    url: str
    settings: Settings

    @property
    def port(self) -> int:
        return httpx.URL(self.url).port or 0

    def records(self, test: str) -> list[dict[str, Any]]:
        """The records in ``events`` that carry the attribute or field ``test``."""
        found = [record for tenant, record in rows(self._log(), DATASETS) if tenant == "acme"]
        return [
            record for record in found if test in ((record.get("attributes") or {}).get("test"), record.get("test"))
        ]

    def _log(self) -> list[Stored]:
        topic = topics.ingest_topic(self.settings, "events")
        consumer = Consumer(kafka_client.consumer_config(self.settings, "look"))
        found: list[Stored] = []
        for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
            where = TopicPartition(topic, partition, 0)
            _, high = consumer.get_watermark_offsets(where, timeout=30)
            consumer.assign([where])
            left = high
            while left:
                messages = consumer.consume(left, 10)
                assert all(message.error() is None for message in messages)
                found += [Stored(topic, each.key(), each.value(), each.headers() or []) for each in messages]  # type: ignore[arg-type]
                left -= len(messages)
        consumer.close()
        return found


@pytest.fixture(scope="module")
def edge(kafka: SharedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder = tmp_path_factory.mktemp("agents")
    (folder / "tenants").mkdir()
    (folder / "tenants" / "acme.yaml").write_text(
        f"name: acme\ndatasets: {{events: {{}}}}\ntokens: [{{id: k1, sha256: {digest(TOKEN)}}}]\n"
    )
    settings = Settings(
        kafka_bootstrap=kafka.bootstrap,
        topics_profile="local",
        topic_prefix=f"t{secrets.token_hex(4)}.",
        tenants_dir=str(folder / "tenants"),
        state_dir=str(folder / "state"),
        edge_http_port=0,
        edge_linger_seconds=0.02,
    )
    topics.apply(settings)
    with Client(settings, datasets=DATASETS) as client:
        source = DirectorySource(Path(settings.tenants_dir), DATASETS)
        listener = HttpListener(settings, DATASETS, source, client, SystemClock())
        started, ended = threading.Event(), asyncio.Event()
        loop = asyncio.new_event_loop()

        async def serve() -> None:
            await listener.start()
            started.set()
            await ended.wait()
            await listener.stop()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
        thread.start()
        assert started.wait(30)
        yield Edge(listener.addresses[0], settings)
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    names = [name for name in admin.list_topics(timeout=10).topics if name.startswith(settings.topic_prefix)]
    for future in admin.delete_topics(names).values():
        future.exception(timeout=30)


def texts(records: list[dict[str, Any]]) -> list[str]:
    return sorted(record["message"] for record in records)


EXPECTED = sorted(f"line {number}" for number in range(ROWS))


def test_opentelemetrys_exporter_delivers_its_logs(edge: Edge) -> None:
    provider = LoggerProvider(Resource({"service.name": "shop", "host.name": "web-1"}))
    exporter = OTLPLogExporter(
        f"{edge.url}/v1/logs", headers={"authorization": f"Bearer {TOKEN}"}, compression=Compression.Gzip
    )
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("shop.cart", "1.0")
    for number in range(ROWS):
        logger.emit(
            timestamp=1_700_000_000_000_000_001 + number,
            severity_number=SeverityNumber.WARN,
            body=f"line {number}",
            attributes={"test": "otlp", "number": number},
        )
    assert provider.force_flush()
    provider.shutdown()
    found = edge.records("otlp")
    assert texts(found) == EXPECTED
    first = next(record for record in found if record["message"] == "line 0")
    assert first["time"] == "2023-11-14T22:13:20.000000001Z"
    assert (first["service"], first["host"], first["logger"], first["level"]) == ("shop", "web-1", "shop.cart", "WARN")
    assert first["typed_attributes"] == {"number": 0}
    assert first["resource"]["attributes"]["service.name"] == "shop"


def test_elasticsearchs_bulk_helper_delivers_its_documents_and_hears_of_bad_ones(edge: Edge) -> None:
    with Elasticsearch(edge.url, api_key=TOKEN) as client:
        assert client.info()["tagline"].startswith("Logflume")
        assert client.cluster.health()["status"] == "green"
        actions = [
            {
                "_index": "my-index",
                "_op_type": "create",
                "_source": {
                    "@timestamp": f"2026-01-01T00:00:{number % 60:02}Z",
                    "message": f"line {number}",
                    "test": "es",
                },
            }
            for number in range(ROWS)
        ]
        assert helpers.bulk(client, actions, chunk_size=100) == (ROWS, [])
        taken, failed = helpers.bulk(
            client, [{"_op_type": "delete", "_index": "x", "_id": "1"}, {"_index": "x", "a": 1}], raise_on_error=False
        )
        assert taken == 1
        assert isinstance(failed, list)
        assert [error["delete"]["status"] for error in failed] == [400]
    found = edge.records("es")
    assert texts(found) == EXPECTED
    assert {record["_index"] for record in found} == {"my-index"}
    assert {record["time"][:16] for record in found} == {"2026-01-01T00:00"}


def test_the_loki_handler_delivers_its_records(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[logging.LogRecord] = []
    handler = LokiHandler(f"{edge.url}/loki/api/v1/push", tags={"test": "loki"}, auth=("any", TOKEN), version="1")
    monkeypatch.setattr(handler, "handleError", failed.append)
    logger = logging.Logger("shop.cart")
    logger.addHandler(handler)
    for number in range(10):  # a request each
        logger.warning("line %d", number, extra={"tags": {"number": str(number)}})
    logger.removeHandler(handler)
    handler.emitter.close()
    assert not failed
    found = edge.records("loki")
    assert texts(found) == sorted(f"line {number}" for number in range(10))
    first = next(record for record in found if record["message"] == "line 0")
    assert (first["logger"], first["level"]) == ("shop.cart", "warning")
    assert first["attributes"] == {"test": "loki", "number": "0"}
    assert first["time"]


def test_the_splunk_handler_delivers_its_events(edge: Edge) -> None:
    handler = SplunkHandler(
        host="127.0.0.1",
        port=str(edge.port),
        token=TOKEN,
        index="main",
        source="splunk-test",
        sourcetype="app",
        hostname="web-1",
        protocol="http",
        verify=False,
        flush_interval=600,  # ``force_flush`` sends
        queue_size=0,
    )
    logger = logging.Logger("shop.cart")
    logger.addHandler(handler)
    for number in range(ROWS):
        logger.warning('{"message": "line %d", "test": "hec"}', number)
    handler.force_flush()
    logger.removeHandler(handler)
    handler.shutdown()
    handler.session.close()
    found = edge.records("hec")
    assert texts(found) == EXPECTED
    assert {record["host"] for record in found} == {"web-1"}
    assert found[0]["attributes"] == {"index": "main", "source": "splunk-test", "sourcetype": "app"}
    assert found[0]["time"]


@pytest.mark.parametrize(
    ("path", "without", "unknown"),
    [
        ("/v1/logs", 401, 401),
        ("/_bulk", 401, 401),
        ("/", 401, 401),
        ("/loki/api/v1/push", 401, 401),
        ("/services/collector/raw", 401, 403),
    ],
)
def test_nobody_gets_in_without_a_tenants_token(edge: Edge, path: str, without: int, unknown: int) -> None:
    with httpx.Client(base_url=edge.url) as client:
        method = "GET" if path == "/" else "POST"
        assert client.request(method, path).status_code == without
        wrong = text_of("k1", bytes(SECRET_BYTES))
        assert client.request(method, path, headers={"authorization": f"Splunk {wrong}"}).status_code == unknown


def test_a_dataset_that_the_tenant_does_not_want_is_refused_in_the_protocols_words(edge: Edge) -> None:
    with httpx.Client(base_url=edge.url, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        bulk = client.post("/http_requests/_bulk", content=b'{"create":{}}\n{}\n')
        assert (bulk.status_code, bulk.json()["items"][0]["create"]["status"]) == (200, 403)
        streams = {"streams": [{"stream": {"dataset": "http_requests"}, "values": [["1", "x"]]}]}
        assert client.post("/loki/api/v1/push", json=streams).status_code == 403
        hec = client.post("/services/collector", json={"event": "x", "index": "http_requests"})
        assert (hec.status_code, hec.json()["code"]) == (400, 7)
        assert client.get("/services/collector/health").json()["code"] == 17
        assert client.post("/services/collector/ack", json={"acks": [1]}).json()["code"] == 14
        assert client.head("/").headers["x-elastic-product"] == "Elasticsearch"
        assert client.put("/_index_template/x", json={}).json() == {"acknowledged": True}
