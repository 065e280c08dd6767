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
    InForce,
    Level,
    Pressure,
    Status,
    in_force,
    is_worker,
    stale_seconds,
    topic,
)
from logflume.kafka.status.reporter import Reporter, identity
from logflume.kafka.status.shares import OTHERS, Share, bounded, merged

__all__ = [
    "NO_PRESSURE",
    "OTHERS",
    "PRESSURE_KEY",
    "Codec",
    "Condition",
    "Entry",
    "Follower",
    "Identity",
    "InForce",
    "Level",
    "Outbox",
    "Pressure",
    "Reader",
    "Reporter",
    "Seen",
    "Share",
    "Status",
    "View",
    "bounded",
    "identity",
    "in_force",
    "is_worker",
    "merged",
    "read",
    "stale_seconds",
    "topic",
]
