"""Reading back what an edge client produced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from logflume.block import wire
from logflume.formats import to_records
from logflume.kafka.deadletters import DeadLetter, assemble
from logflume.model import Datasets
from tests.support.producer import Stored


def blocks(log: Iterable[Stored], datasets: Datasets) -> list[tuple[wire.Header, pa.RecordBatch]]:
    """Every block in the log, decoded as the sort stage does it."""
    found = []
    for message in log:
        if wire.is_block(message.headers):  # type: ignore[arg-type]
            header = wire.read_header(message.headers)  # type: ignore[arg-type]
            found.append(wire.decode(message.value or b"", message.headers, datasets[header.dataset]))  # type: ignore[arg-type]
    return found


def rows(log: Iterable[Stored], datasets: Datasets) -> list[tuple[str, dict[str, Any]]]:
    """Every row in the log with its tenant, in the order of the blocks."""
    found = []
    for _, batch in blocks(log, datasets):
        tenants = batch.column("_tenant").to_pylist()
        for tenant, record in zip(tenants, to_records(batch), strict=True):
            found.append((tenant, record))
    return found


def letters(log: Iterable[Stored], topic: str) -> list[DeadLetter]:
    """Every dead letter in the log."""
    return list(assemble((message.value, message.headers) for message in log if message.topic == topic))
