"""Rows per CPU second that the sorter reads of plain records in each format: ``python -m benchmarks.plain_records``"""

from __future__ import annotations

import io
import json
import time
from typing import Any

import fastavro

from logflume import contract
from logflume.formats import avro_schema
from logflume.model import load
from logflume.sort.gather import Gatherer
from tests.support.ingest import chunk, message

ROWS = 20_000
LINES = 100


def record(number: int) -> dict[str, Any]:
    return {
        "level": "INFO",
        "service": "checkout",
        "host": f"h{number % 50}",
        "logger": "app.pay",
        "message": f"order {number} paid {'m' * 80}",
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "attributes": {"a": "b", "order": str(number)},
    }


def main() -> None:
    dataset = load(contract.find())["events"]
    schema = avro_schema.parsed(avro_schema.of_dataset(dataset))
    lines = [json.dumps({"time": "2026-05-01T12:00:00.123456Z"} | record(n)).encode() for n in range(ROWS)]
    bodies = []
    for n in range(ROWS):
        file = io.BytesIO()
        fastavro.schemaless_writer(file, schema, {"time": 1_770_000_000_000_000 + n} | record(n))
        bodies.append(avro_schema.MARKER + avro_schema.fingerprint(schema) + file.getvalue())
    values = {
        "one JSON record a message": lines,
        f"lines, {LINES} a message": [b"\n".join(lines[at : at + LINES]) for at in range(0, ROWS, LINES)],
        "Avro, one record a message": bodies,
    }
    for name, each in values.items():
        gatherer, unit = Gatherer(dataset), [chunk([message(at, value) for at, value in enumerate(each)])]
        gatherer.gather(unit)
        best = float("inf")
        for _ in range(5):
            started = time.process_time()
            found = gatherer.gather(unit)
            best = min(best, time.process_time() - started)
        assert len(found.codes) == ROWS
        assert not found.letters
        print(f"{name}: {ROWS / best:,.0f} rows per CPU second")


if __name__ == "__main__":
    main()
