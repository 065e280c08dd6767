"""What the cursors topic keeps of a job in a sorted partition: how far its objects reach, and the cut that is frozen.

N1  The record lies in the partition where the position of the sorted partition lies, so that whoever reads that one to
    its end (K2) has seen this one too.
N2  Without a record the job's rows are durable as far as the position, and no cut of it is frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from logflume.kafka.single_object import SingleObject
from logflume.model.job import Job
from logflume.settings import Settings


@dataclass(frozen=True, slots=True)
class Intent:
    """A frozen cut: the job's rows at sorted offsets ``start`` … ``end`` - 1 make the object ``name``.

    ``job`` is as it was when the cut was made: it decides the bytes, whatever the tenant's file says by now.
    """

    start: int
    end: int
    name: str
    job: Job


@dataclass(frozen=True, slots=True)
class JobCursor:
    """One record. ``done``: all of the job's rows at sorted offsets below are in durable objects."""

    topic: str
    topic_id: str
    partition: int
    tenant: str
    job: str
    done: int
    intent: Intent | None = None


def prefix(group: str, topic: str, partition: int) -> bytes:
    """Return how the keys of all jobs of a sorted partition begin."""
    return f"job/{group}/{topic}/{partition}/".encode()


def key(group: str, cursor: JobCursor) -> bytes:
    """Return the key of a record."""
    return prefix(group, cursor.topic, cursor.partition) + f"{cursor.tenant}/{cursor.job}".encode()


class Codec:
    """Writes and reads records by the contract's schema."""

    def __init__(self, settings: Settings) -> None:
        self._encoding = SingleObject(settings.topics_dir, "job")

    def encode(self, cursor: JobCursor) -> bytes:
        """Return the message's value."""
        intent = cursor.intent
        return self._encoding.encode(
            {
                "topic": cursor.topic,
                "topic_id": cursor.topic_id,
                "partition": cursor.partition,
                "tenant": cursor.tenant,
                "job": cursor.job,
                "done": cursor.done,
                "intent": intent
                and {
                    "start": intent.start,
                    "end": intent.end,
                    "name": intent.name,
                    "definition": orjson.dumps(intent.job.definition()).decode(),
                },
            }
        )

    def decode(self, value: bytes) -> JobCursor:
        """Read a message's value; raises ``Refused`` when it is no record that this version knows."""
        record = self._encoding.decode(value)
        intent: Any = record.pop("intent")
        if intent is not None:
            job = Job.defined(record["job"], orjson.loads(intent.pop("definition")))
            intent = Intent(**intent, job=job)
        return JobCursor(**record, intent=intent)
