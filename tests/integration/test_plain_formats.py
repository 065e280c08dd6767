"""What any Kafka client may send, between real topics: every format in every compression, from one partition."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence

import fastavro
from confluent_kafka import Producer

from logflume import contract
from logflume.formats import avro_schema
from logflume.kafka import client, topics
from logflume.model import load
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.integration.test_sort import read_sorted

EVENTS = load(contract.find())["events"]
SCHEMA = avro_schema.parsed(avro_schema.of_dataset(EVENTS))
FINGERPRINT = avro_schema.fingerprint(SCHEMA)
KINDS = ("json", "lines", "printed", "marker", "header")
Sent = tuple[bytes, list[tuple[str, bytes]]]


def body(text: str) -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, SCHEMA, {"message": text})
    return file.getvalue()


def written(kind: str, texts: Sequence[str]) -> Sent:
    """The value and headers of a message of that kind which holds ``texts``."""
    lines = [json.dumps({"message": text}) for text in texts]
    match kind:
        case "lines":
            return "\n".join(lines).encode(), [("tenant", b"ada"), ("dataset", b"events")]
        case "printed":
            return json.dumps({"message": texts[0]}, indent=2).encode(), []
        case "marker":
            return avro_schema.MARKER + FINGERPRINT + body(texts[0]), []
        case "header":
            return body(texts[0]), [("schema-id", FINGERPRINT.hex().encode())]
    return lines[0].encode(), []


def test_every_format_in_every_compression_is_read_with_its_coordinates(
    settings: Settings, worker: StartWorker
) -> None:
    topics.apply(settings)
    expected: dict[tuple[int, int], str] = {}
    offset = 0
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        producer = Producer(client.producer_config(settings) | {"compression.type": codec, "linger.ms": 100})
        for kind in KINDS:
            texts = [f"{codec} {kind} {row} {'x' * 200}" for row in range(3 if kind == "lines" else 1)]
            value, headers = written(kind, texts)
            producer.produce(topics.ingest_topic(settings, "events"), value, b"ada", 2, headers=headers)
            expected |= {(offset, row): text for row, text in enumerate(texts)}
            offset += 1
        assert producer.flush(30) == 0
    worker("sort", settings)
    rows = read_sorted(settings, len(expected))
    assert {(at, row): text for _, text, _, at, row, _ in rows} == expected
    assert {tenant for tenant, *_ in rows} == {"ada"}
