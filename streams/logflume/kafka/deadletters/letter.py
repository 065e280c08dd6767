"""What a dead letter is, and what names it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import orjson

from logflume.block import reasons

ID_BYTES = 12

FOREIGN = "foreign"
"""Reason of what lies in the dead-letter topic and is no letter; nobody writes it."""

REPLAY_OF = "replay-letter"
"""Header of a record that was put back on its ingest topic: the id of the letter that held it, hexadecimal."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One thing that could not be read, and why.

    ``topic``, ``topic_id``, ``partition`` and ``offset`` say which message it was or was in, ``row`` which record
    inside it (None: the whole message). A letter from an edge has no coordinates yet: ``edge`` names edge and
    epoch, and ``row`` counts that edge's letters. ``raw`` is exactly what came in.
    """

    reason: str
    """One of ``logflume.block.reasons``."""
    stage: str
    """Who refused it: ``edge``, ``sort``, ``sink``."""
    tenant: str | None
    dataset: str | None
    raw: bytes = field(repr=False)
    detail: str = ""
    topic: str = ""
    topic_id: str = ""
    partition: int | None = None
    offset: int | None = None
    row: int | None = None
    edge: str = ""
    key: bytes | None = None
    """The refused message's own key."""
    headers: tuple[tuple[str, bytes | None], ...] = ()
    """The refused message's own headers: a block can't be decoded without them."""
    apart: bool = False
    """Its key and headers were too large to ride along and are another letter's bytes: alone it can't go back."""

    @property
    def digest(self) -> bytes:
        """The same for every repeat of this letter, and for no other letter; ``ID_BYTES`` long."""
        where = [self.stage, self.topic, self.topic_id, self.partition, self.offset, self.row, self.edge, self.dataset]
        # A letter without bytes says what it is about in its detail: two lost ranges may begin at one offset.
        said = self.raw or self.detail.encode("utf-8", "backslashreplace")
        return hashlib.blake2b(orjson.dumps(where) + b"\0" + said, digest_size=ID_BYTES).digest()

    @property
    def id(self) -> str:
        """``digest`` for people and headers."""
        return self.digest.hex()

    @property
    def home(self) -> str:
        """The key of its messages: the tenant, or where it came from. Every repeat of a letter has the same, however
        the letters around it were packed, so that all of them lie in one partition, and its replay's marker too.
        """
        return self.tenant or (f"{self.topic}/{self.partition}" if self.topic else self.edge)

    @property
    def replay_of(self) -> str | None:
        """The id of the letter that this one's record was put back from, when it was."""
        value = dict(self.headers).get(REPLAY_OF)
        return None if value is None else value.decode("utf-8", "backslashreplace")


def deleted(stage: str, dataset: str, topic: str, topic_id: str, partition: int, first: int, last: int) -> DeadLetter:
    """Return the letter that records messages which retention deleted before ``stage`` had read them."""
    return DeadLetter(
        reason=reasons.RETENTION,
        stage=stage,
        tenant=None,
        dataset=dataset,
        raw=b"",
        detail=f"offsets {first} to {last} of {topic}[{partition}] were deleted before they were read",
        topic=topic,
        topic_id=topic_id,
        partition=partition,
        offset=first,
    )
