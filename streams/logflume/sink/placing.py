"""Where the reading of a sorted partition starts, or why it must not.

Decided from what Kafka has and what the group stored, with nothing assumed: a topic made again, a position beyond the
log's end, a position that is gone or an older configuration stop the partition, and it says so (DESIGN §6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from logflume.kafka.cursors import Cursor
from logflume.kafka.intents import JobCursor
from logflume.kafka.parked import ParkedCursor
from logflume.kafka.position import Position

OLD_CONFIGURATION = "old-configuration"
"""Why a partition is not read that an owner with a newer configuration had: it is, as soon as this one has it too."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is about a sorted partition at its assignment. ``start``, ``end``: the log's first and next offset."""

    topic: str
    partition: int
    topic_id: str
    partitions: int
    declared_partitions: int
    start: int
    end: int
    stored: Cursor | None
    committed: int | None
    """The group's committed offset; asked for only when there is no stored position."""
    generation: int
    """Of the configuration that this worker has."""
    adopted: bool = False
    """Whether the operator said that the topic may be another one than the stored position is about."""


@dataclass(frozen=True, slots=True)
class Start:
    """Read from ``position``; ``lost`` is the range of offsets that retention removed before it was read.

    ``stored``: the cursors topic has exactly this position. ``jobs``: what it has of the partition's jobs; ``parked``:
    of parked outlets; ``known``: the hashes of whom it knows, None without a record. ``first``: the log's first offset.
    """

    position: Position
    lost: tuple[int, int] | None = None
    stored: bool = False
    jobs: tuple[JobCursor, ...] = ()
    parked: tuple[ParkedCursor, ...] = ()
    known: frozenset[int] | None = None
    first: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """Don't read. ``reason`` is one word, fit for a metric's label; ``detail`` says what to do."""

    reason: str
    detail: str


def place(found: Found) -> Start | Stop:
    """Decide where to start."""
    if found.partitions != found.declared_partitions:
        return Stop(
            "partition-count",
            f"the topic has {found.partitions} partitions, {found.declared_partitions} are declared: what stands where "
            "depends on their number. See `logflume topics diff`",
        )
    stored = found.stored
    if stored is None:
        return _first_time(found)
    if stored.generation > found.generation:
        return Stop(
            OLD_CONFIGURATION,
            f"its position was stored by configuration {stored.generation}, this worker has {found.generation}: "
            "tenants that it does not know would be passed over. It goes on when it has that one",
        )
    position = stored.position
    if stored.topic_id != found.topic_id:
        if not found.adopted:
            return Stop(
                "topic-changed",
                f"the position {position.offset} is about the topic with id {stored.topic_id}, now it has id "
                f"{found.topic_id}: it was deleted and made again, and what had not been read is gone. To read the new "
                f"one from its start, start the sinks once with --adopt {found.topic}",
            )
        # The watermarks stay: they are about the ingest topics, and the sorter goes on where it was. What was lost with
        # the old topic is no hole in the new one: hence a floor above 0 even when the new log begins at 0.
        return Start(replace(position, offset=found.start, floor=max(1, found.start), since=frozenset()))
    if position.offset > found.end:
        return Stop(
            "beyond-end",
            f"the position {position.offset} lies beyond the log's end {found.end}: the log lost acknowledged messages "
            "(an unclean election, a restored disk)",
        )
    if position.offset < found.start:
        return Start(position.lost_until(found.start), (position.offset, found.start))
    return Start(position, stored=True)


def _first_time(found: Found) -> Start | Stop:
    if found.committed is not None:
        return Stop(
            "position-lost",
            f"the group has committed offset {found.committed}, but no position is stored: the cursors topic was "
            "emptied or made again. Restore it, or take a new sink_group: tables know what they hold, but file jobs "
            "write again what Kafka still has",
        )
    if found.start > 0:
        return Start(Position(0).lost_until(found.start), (0, found.start))
    return Start(Position(0))
