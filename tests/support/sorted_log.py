"""Sorted topics written by hand, and tables read file by file: what tests of the sink stand on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import Producer
from deltalake import DeltaTable

from logflume import contract
from logflume.block.schema import sorted_schema, without_empty
from logflume.block.sorted import Coordinate, Runs, SortedMeta, Source, encode_sorted
from logflume.kafka import client, topics
from logflume.model import load
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.contracts import contract_of_events, with_partitions

EVENTS = load(contract.find())["events"]
INGEST = "ingest-topic-id"


def sorted_message(
    tenants: Mapping[str, int],
    ingest_offset: int,
    *,
    ingest_partition: int = 0,
    previous: Coordinate | None = None,
    session: str = "session",
    text: str = "m",
    level: str | None = None,
    generation: int = 0,
) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A sorted block of one ingest message: ``tenants`` says how many rows each has. Row i is ``m<offset>.<i>``."""
    names = sorted(tenants)
    rows = sum(tenants.values())
    schema = sorted_schema(EVENTS)
    columns = {name: pa.nulls(rows, schema.field(name).type) for name in schema.names}
    columns["_received"] = pa.array([1_767_225_600_000_000_000] * rows, pa.int64()).cast(schema.field("_received").type)
    columns["time"] = columns["_received"]
    columns["message"] = pa.array([f"{text}{ingest_offset}.{row}" for row in range(rows)])
    columns["level"] = pa.array([level] * rows, pa.string())
    columns["_src_topic"] = pa.array([INGEST] * rows).dictionary_encode().cast(schema.field("_src_topic").type)
    columns["_src_partition"] = pa.array([ingest_partition] * rows, pa.int32())
    columns["_src_offset"] = pa.array([ingest_offset] * rows, pa.int64())
    columns["_src_row"] = pa.array(range(rows), pa.int32())
    batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
    source = Source(INGEST, ingest_partition, (ingest_offset, 0), (ingest_offset, rows - 1), previous)
    meta = SortedMeta("events", session, (source,), Runs(names, [tenants[name] for name in names]), generation)
    return encode_sorted(without_empty(batch, ["_extra"]), meta)


def produce_sorted(
    settings: Settings, partition: int, messages: Sequence[tuple[bytes, list[tuple[str, bytes]]]]
) -> None:
    """Append sorted messages to one partition of the topic of ``events``."""
    producer = Producer(client.producer_config(settings))
    topic = topics.sorted_topic(settings, "events")
    failures = []
    for value, headers in messages:
        producer.produce(
            topic, value, partition=partition, headers=headers, on_delivery=lambda error, _: failures.append(error)
        )
    assert producer.flush(30) == 0
    assert not any(failures), failures


def few_partitions(settings: Settings, folder: Path) -> Settings:
    """A contract of one dataset with few partitions, made in Kafka; ``acme`` and ``bell`` want it. Short times."""
    topics_dir = contract_of_events(folder)
    with_partitions(topics_dir, coming_in=2, sorted=4)
    short = {
        "topics_dir": str(topics_dir),
        "sink_session_timeout_ms": 6000,
        "sink_transaction_timeout_ms": 10_000,
        "sink_flush_age_seconds": 0.5,
    }
    settings = settings.model_copy(update=short)
    topics.apply(settings)
    want(settings, "acme", "bell")
    return settings


def want(settings: Settings, *tenants: str) -> None:
    """Make ``tenants`` want ``events``."""
    for tenant in tenants:
        Path(settings.tenants_dir, f"{tenant}.yaml").write_text(f"name: {tenant}\ndatasets:\n  events:\n")


def stored(settings: Settings, tenant: str) -> Counter[str]:
    """How often each message is in the files of the tenant's table; empty without a table."""
    store = Store.from_settings(settings)
    uri = store.uri(store.table(tenant, "events"))
    if not DeltaTable.is_deltatable(uri, store.delta_options):
        return Counter()
    found: Counter[str] = Counter()
    for file in DeltaTable(uri, storage_options=store.delta_options).file_uris():
        path = file.removeprefix("s3://").removeprefix("file://")
        found.update(pq.read_table(path, filesystem=store.filesystem, columns=["message"])["message"].to_pylist())
    return found
