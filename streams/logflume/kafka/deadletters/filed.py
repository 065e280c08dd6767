"""Dead letters read back from their topic, up to the end it had when reading began; nothing is committed.

A time is looked up by Kafka (the topic has LogAppendTime), so that an hour costs an hour's letters and no more. Memory
does not grow with the topic but by some 15 bytes for each letter that is given or marked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from logflume.errors import Misconfigured, Retryable
from logflume.kafka import client, topics
from logflume.kafka.deadletters import marker
from logflume.kafka.deadletters.ids import Ids
from logflume.kafka.deadletters.letter import DeadLetter
from logflume.kafka.deadletters.reading import Found, Letters
from logflume.kafka.deliveries import Headers
from logflume.settings import Settings

SECONDS = 30.0
"""How long Kafka may be silent, or somebody's transaction stay open, before reading gives up."""

_POLL_SECONDS = 0.2
_FETCH_WAIT_MS = 20
"""At a partition's end Kafka keeps a fetch this long, and the next partition waits for it."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant; None means any. Times are Kafka's, in milliseconds: from ``since``, before ``until``."""

    tenant: str | None = None
    dataset: str | None = None
    reason: str | None = None
    stage: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    def wants(self, letter: DeadLetter) -> bool:
        """Whether ``letter`` is meant, times aside."""
        pairs = (
            (self.tenant, letter.tenant),
            (self.dataset, letter.dataset),
            (self.reason, letter.reason),
            (self.stage, letter.stage),
        )
        return all(want is None or want == have for want, have in pairs)


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class Filed:
    """A letter as it lies in the topic: ``offset`` is that of its first part, ``number`` its place in a batch."""

    letter: DeadLetter
    digest: bytes = field(repr=False)
    size: int
    """Bytes of ``raw``, which is empty when bodies were not asked for."""
    partition: int
    offset: int
    number: int | None
    timestamp_ms: int
    """When Kafka took it."""
    replayed: bool
    """Whether it was put back on its ingest topic."""

    @property
    def id(self) -> str:
        """The letter's id; ``letter.id`` is another one when bodies were not asked for."""
        return self.digest.hex()

    @property
    def address(self) -> str:
        """``partition:offset`` or ``partition:offset:number``, by which ``read_one`` finds it again."""
        place = f"{self.partition}:{self.offset}"
        return place if self.number is None else f"{place}:{self.number}"


def read_all(settings: Settings, selection: Selection = EVERYTHING, *, bodies: bool = True) -> Iterator[Filed]:
    """Give each letter that ``selection`` means, a partition after the other, in the order in which they became whole.

    A message that is no dead letter comes as one with reason ``foreign``. Raises ``Retryable`` when Kafka is away.
    """
    with closing(Drawers(settings)) as drawers:
        for partition in drawers.partitions:
            start, stop, end = drawers.bounds(partition, selection.since_ms, selection.until_ms)
            marked = drawers.marked(partition, start, end)
            yield from drawers.letters(partition, start, stop, end, selection, marked, bodies=bodies)


def read_one(settings: Settings, partition: int, offset: int, number: int | None = None) -> Filed:
    """Return the letter at ``partition``, ``offset`` (of its first part) and, in a batch, ``number``.

    Raises ``Misconfigured`` when none is there.
    """
    with closing(Drawers(settings)) as drawers:
        if partition in drawers.partitions:
            low, _, end = drawers.bounds(partition, None, None)
            if low <= offset < end:
                marked = drawers.marked(partition, offset, end)
                for filed in drawers.letters(partition, offset, offset + 1, end, EVERYTHING, marked, bodies=True):
                    if filed.offset == offset and filed.number in (number, None if number == 0 else number):
                        return filed
        topic, place = drawers.topic, f"{partition}:{offset}" + ("" if number is None else f":{number}")
    raise Misconfigured(f"no dead letter is at {place} of {topic}; `deadletter list` shows those kept")


class Drawers:
    """The partitions of the dead-letter topic, read one at a time by one consumer that belongs to no group."""

    def __init__(self, settings: Settings) -> None:
        self.topic = topics.deadletter_topic(settings)
        self._consumer = Consumer(
            client.consumer_config(
                settings,
                client.reader_group(settings, "deadletters"),
                enable_partition_eof=True,
                fetch_wait_max_ms=_FETCH_WAIT_MS,
            )
        )
        try:
            self.partitions = self._partitions()
        except BaseException:
            self._consumer.close()
            raise

    def close(self) -> None:
        """Let go of the consumer."""
        self._consumer.close()

    def bounds(self, partition: int, since_ms: int | None, until_ms: int | None) -> tuple[int, int, int]:
        """Return the first offset at or after ``since``, the first at or after ``until``, and the end.

        The end is that of what is committed: no transaction that is open now is waited for.
        """
        about = f"looking for the ends of {self.topic}[{partition}]"
        try:
            ends = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=SECONDS)
        except KafkaException as failure:
            raise client.typed(failure, about) from failure
        if ends is None:
            raise Retryable(f"{about}: not told in {SECONDS:g} s")
        low, end = ends
        start = low if since_ms is None else self._at(partition, since_ms, end)
        stop = end if until_ms is None else self._at(partition, until_ms, end)
        return start, stop, end

    def marked(self, partition: int, start: int, end: int) -> Ids:
        """Return the ids of the letters that markers between ``start`` and ``end`` name.

        ``end`` may lie behind transactions that are open: they are waited for, ``SECONDS`` at most, so that what a
        dying replay may have done is in the answer or never will be (``cursors``, K2).
        """
        found = Ids()
        for message in self._messages(partition, start, end):
            headers = _headers(message)
            if marker.is_marker(headers):
                found.add(marker.marked(_bytes(message.value()), headers))
        return found

    def letters(
        self, partition: int, start: int, stop: int, end: int, selection: Selection, marked: Ids, *, bodies: bool
    ) -> Iterator[Filed]:
        """Give the letters that begin in ``[start, stop)``; parts of theirs are looked for up to ``end``."""
        letters = Letters(selection.wants, bodies=bodies)
        for message in self._messages(partition, start, end):
            offset = message.offset() or 0
            if offset >= stop and not letters.half:
                return
            found = letters.read(_bytes(message.value()), _headers(message), offset, message.timestamp()[1])
            replayed = marked.have([each.digest for each in found])
            for each, done in zip(found, replayed, strict=True):
                if each.at < stop:
                    yield Filed(
                        each.letter, each.digest, each.size, partition, each.at, each.number, each.timestamp_ms, done
                    )

    def read_on(self, letters: Letters, partition: int, start: int, end: int) -> Iterator[Found]:
        """Give the letters that become whole from ``start`` to ``end``; ``letters`` knows what came before."""
        for message in self._messages(partition, start, end):
            offset, at_ms = message.offset() or 0, message.timestamp()[1]
            yield from letters.read(_bytes(message.value()), _headers(message), offset, at_ms)

    def _messages(self, partition: int, start: int, end: int) -> Iterator[Message]:
        """Every message from ``start`` to ``end``. What stands there may be a transaction's end, which nobody sees:
        only Kafka's word that the end is reached counts.
        """
        if start >= end:
            return
        about = f"reading {self.topic}[{partition}]"
        self._consumer.assign([TopicPartition(self.topic, partition, start)])
        deadline = time.monotonic() + SECONDS
        while True:
            message = self._consumer.poll(_POLL_SECONDS)
            if message is None:
                if time.monotonic() > deadline:
                    raise Retryable(f"{about}: nothing came for {SECONDS:g} s; is Kafka up, or a transaction open?")
                continue
            offset, error = message.offset() or 0, message.error()
            if error is not None:
                if error.code() != KafkaError._PARTITION_EOF:
                    raise client.typed(error, about)
                if offset >= end:
                    return
                continue  # the last stable offset: a transaction is open
            if offset >= end:
                return
            yield message
            deadline = time.monotonic() + SECONDS

    def _at(self, partition: int, time_ms: int, end: int) -> int:
        about = f"looking for a time in {self.topic}[{partition}]"
        try:
            [found] = self._consumer.offsets_for_times(
                [TopicPartition(self.topic, partition, max(time_ms, 0))], timeout=SECONDS
            )
        except KafkaException as failure:
            raise client.typed(failure, about) from failure
        if found.error is not None:
            raise client.typed(found.error, about)
        return end if found.offset < 0 else min(found.offset, end)  # below 0: nothing is as late

    def _partitions(self) -> list[int]:
        try:
            found = self._consumer.list_topics(self.topic, timeout=SECONDS).topics[self.topic]
        except KafkaException as failure:
            raise client.typed(failure, f"looking for {self.topic}") from failure
        if found.error is not None:
            raise client.typed(found.error, f"looking for {self.topic}")
        return sorted(found.partitions)


def _headers(message: Message) -> Headers:
    headers = message.headers() or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    return [(name, _bytes(value)) for name, value in pairs]


def _bytes(value: str | bytes | None) -> bytes | None:
    """Confluent's types allow text where Kafka has bytes only."""
    return value.encode() if isinstance(value, str) else value
