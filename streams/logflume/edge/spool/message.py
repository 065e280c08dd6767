"""What goes to Kafka, and waits in the spool while Kafka is away."""

from __future__ import annotations

from dataclasses import dataclass, field

from logflume.kafka.deliveries import Headers


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to Kafka: a packed block, or a dead letter (then ``rows`` is 0), and what it stands for."""

    topic: str
    key: bytes | None
    value: bytes = field(repr=False)
    headers: Headers
    dataset: str
    rows: int = 0
    raw_bytes: int = 0
    """Bytes of the rows as they came."""
