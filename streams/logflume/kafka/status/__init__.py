"""The topic ``status``: workers publish how they are (``Reporter``), edges follow the pressure (``Follower``)."""

from logflume.kafka.status.following import Follower
from logflume.kafka.status.outbox import Outbox
from logflume.kafka.status.reading import Entry, Reader, Seen, View, read
from logflume.kafka.status.record import (
    NO_PRESSURE,
    PRESSURE_KEY,
    Codec,
    Condition,
    Identity,
    Level,
    Pressure,
    Status,
    is_worker,
    stale_seconds,
    topic,
)
from logflume.kafka.status.reporter import Reporter, identity

__all__ = [
    "NO_PRESSURE",
    "PRESSURE_KEY",
    "Codec",
    "Condition",
    "Entry",
    "Follower",
    "Identity",
    "Level",
    "Outbox",
    "Pressure",
    "Reader",
    "Reporter",
    "Seen",
    "Status",
    "View",
    "identity",
    "is_worker",
    "read",
    "stale_seconds",
    "topic",
]
