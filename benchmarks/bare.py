"""The bare loop that peers are measured against: consume(1000), pyarrow.json, Parquet with zstd to the same store.

No sorting, no tenants, no tables; at least once. It reads with the schema of the records, not of the whole dataset:
the fastest way that keeps every field.
"""

from __future__ import annotations

import sys

import orjson
import pyarrow as pa
import pyarrow.json as pj
import pyarrow.parquet as pq
from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks import records
from benchmarks.measure import own, report
from logflume import contract, model
from logflume.settings import Settings
from logflume.table.store import Store

FILE_ROWS = 100_000


def schema(record: bytes) -> pa.Schema:
    """The dataset's types for the fields that this record has."""
    fields = model.load(contract.find())[records.DATASET].schema
    stamp = pa.timestamp("us", tz="UTC")
    chosen = [fields.field(name) for name in orjson.loads(record)]
    return pa.schema([f.with_type(stamp) if pa.types.is_timestamp(f.type) else f for f in chosen])


def main(topic: str, partitions: int, rows: int) -> None:
    settings = Settings()
    store = Store.from_settings(settings)
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "bench-bare",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    options: pj.ParseOptions | None = None
    done = files = size = 0
    held: list[pa.Table] = []
    with own() as found:
        while done < rows:
            messages = consumer.consume(1000, timeout=5)
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
            values = [message.value() or b"" for message in messages]
            if options is None:
                options = pj.ParseOptions(explicit_schema=schema(values[0]), unexpected_field_behavior="error")
            held.append(pj.read_json(pa.BufferReader(b"\n".join(values)), parse_options=options))
            done += len(values)
            if sum(t.num_rows for t in held) >= FILE_ROWS or done >= rows:
                path = store.full(f"bare/{files}.parquet")
                pq.write_table(pa.concat_tables(held), path, filesystem=store.filesystem, compression="zstd")
                size += store.filesystem.get_file_info(path).size or 0
                files += 1
                held = []
                consumer.commit(asynchronous=False)
    found.more = {"rows": done, "bytes_out": size, "files": files}
    report(found)
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
