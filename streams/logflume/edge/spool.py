"""Where messages wait when Kafka is away and memory must not grow: the place for a spool, not yet one on disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

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


class Spool(Protocol):
    """Messages that wait outside of memory, oldest first. Called from the client's threads, never by two at once.

    SP1  ``put`` returns only when the message would survive a kill of this process; from then on the spool answers for
         it and the client forgets it. It raises ``Unavailable`` when the spool is full; nothing was taken then.
    SP2  ``take`` gives the oldest message that is not out already, or None. The message stays in the spool.
    SP3  ``done`` is called once Kafka has acknowledged a taken message, and only then may the spool forget it.
    SP4  A spool that is opened again gives what was not done, also what was out at a crash; about that it must find out
         first whether Kafka has it, else it would be stored twice (DESIGN §6).
    SP5  No call waits for Kafka.
    """

    def put(self, message: Message) -> None:
        """Keep ``message`` (SP1)."""
        ...

    def take(self) -> Message | None:
        """Give the oldest message not yet out (SP2)."""
        ...

    def done(self, message: Message) -> None:
        """Forget ``message``, which Kafka holds now (SP3)."""
        ...
