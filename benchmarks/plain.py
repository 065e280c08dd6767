"""Any Kafka client: each record a message of its own, the tenant as its key."""

from __future__ import annotations

import sys
from pathlib import Path

from confluent_kafka import Producer

from benchmarks import records
from benchmarks.measure import own, report
from logflume.kafka import client
from logflume.settings import Settings


def main(folder: Path, topic: str) -> None:
    producer = Producer(
        client.common(Settings())
        | {"linger.ms": 50, "compression.type": "lz4", "queue.buffering.max.messages": 500_000}
    )
    failed: list[object] = []

    def report_of(error: object, message: object) -> None:
        if error is not None:
            failed.append(error)

    rows = 0
    with own() as found:
        for piece in records.read(folder):
            key = piece.tenant.encode()
            lines = piece.data.splitlines()
            rows += len(lines)
            for line in lines:
                producer.produce(topic, line, key, on_delivery=report_of)
            producer.poll(0)
        left = producer.flush(60)
    if failed or left:
        raise SystemExit(f"{len(failed)} records were refused and {left} not sent: {failed[:1]}")
    found.more = {"rows": rows}
    report(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
