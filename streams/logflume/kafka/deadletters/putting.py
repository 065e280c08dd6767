"""The way back from one partition of the dead-letter topic, on Kafka: transactions under one name.

The name (``transactional.id``) belongs to the partition: a producer that begins under it ends whatever an earlier one
has open and shuts it out, which is what ``replay`` needs of ``fence``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from logflume import crash
from logflume.errors import Fatal, LogflumeError, Misconfigured, Refused, Retryable
from logflume.kafka import client, cursors, topics
from logflume.kafka.deadletters.filed import SECONDS, Drawers, Filed, Selection
from logflume.kafka.deadletters.ids import Ids
from logflume.kafka.deadletters.marker import replayed
from logflume.kafka.deadletters.original import NO_CORRECTION, Correction, Original, Stays
from logflume.kafka.deadletters.replay import Outcome, rehearse, replay
from logflume.kafka.deliveries import Deliveries
from logflume.model import check_tenant_name
from logflume.settings import Settings

_TRANSACTION_MS = 15_000
"""How long readers of the ingest topics wait at most for a replay that died; Kafka looks every 10 s."""

_FENCED = frozenset({KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED})


def put_back(
    settings: Settings,
    selection: Selection,
    correction: Correction = NO_CORRECTION,
    *,
    dry_run: bool = False,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Put back what ``selection`` means, a partition of the dead-letter topic after the other.

    May be repeated, and run by several at once: what was put back before is passed over. ``tell`` is given the outcome
    so far. Raises ``Misconfigured`` for an impossible correction, and what ``Drawer.put`` does; run it again then.
    """
    largest = _largest(settings)
    _checked(correction, largest)
    outcome = Outcome()
    with contextlib.closing(Drawers(settings)) as drawers:
        # Fixed before anything goes back: what fails again must not be met in a later partition.
        bounds = {p: drawers.bounds(p, selection.since_ms, selection.until_ms) for p in drawers.partitions}
        for partition, within in bounds.items():
            if within[0] == within[1]:
                continue
            drawer = KafkaDrawer(settings, drawers, partition, selection, within)
            (rehearse if dry_run else replay)(drawer, outcome, partial(_check, largest=largest), correction)
            tell(outcome)
    return outcome


class KafkaDrawer:
    """See ``replay.Drawer``."""

    def __init__(
        self, settings: Settings, drawers: Drawers, partition: int, selection: Selection, within: tuple[int, int, int]
    ) -> None:
        """``within``: where the letters lie that are meant, as ``Drawers.bounds`` says."""
        self._settings = settings
        self._drawers = drawers
        self._partition = partition
        self._selection = selection
        self._within = within
        self._admin = client.admin(settings)
        self._producer: Producer | None = None

    @property
    def _where(self) -> str:
        return f"{self._drawers.topic}[{self._partition}]"

    def fence(self) -> None:
        """Take the partition's name over."""
        config = client.producer_config(
            self._settings,
            transactional_id=f"{self._drawers.topic}.replay.{self._partition}",
            transaction_timeout_ms=_TRANSACTION_MS,
            linger_ms=5,
        )
        producer = Producer(config)
        try:
            _again(lambda: producer.init_transactions(SECONDS))
        except KafkaException as error:
            raise client.typed(error, f"starting to replay {self._where}") from error
        self._producer = producer

    def marked(self) -> Ids:
        """Read every marker that the partition has: a repeat of a letter may lie behind the marker of the first."""
        # The high watermark, not the last stable offset: it lies behind the messages of open transactions too.
        end = cursors.ends(self._admin, self._drawers.topic, [self._partition])[self._partition]
        start, _, _ = self._drawers.bounds(self._partition, None, None)
        return self._drawers.marked(self._partition, start, end)

    def letters(self) -> Iterator[Filed]:
        """Give the selected letters."""
        return self._drawers.letters(self._partition, *self._within, self._selection, Ids(), bodies=True)

    def put(self, records: list[Original], digests: list[bytes]) -> None:
        """Commit one transaction."""
        producer = self._producer
        assert producer is not None, "fence first"
        deadline = time.monotonic() + _TRANSACTION_MS / 1000
        marker = replayed(digests)
        try:
            producer.begin_transaction()
            deliveries = Deliveries(producer, room_seconds=_TRANSACTION_MS / 1000)
            for record in records:
                topic = topics.ingest_topic(self._settings, record.dataset)
                deliveries.send(topic, None, record.key, record.value, record.headers)
            deliveries.send(self._drawers.topic, self._partition, marker.key, marker.value, marker.headers)
            deliveries.wait(max(0.0, deadline - time.monotonic()))
            crash.point("replay.produced")
        except (KafkaException, LogflumeError) as error:
            self._give_up(producer, error)
        try:
            _again(lambda: producer.commit_transaction(5.0))
        except KafkaException as error:
            if error.args[0].txn_requires_abort():
                self._give_up(producer, error)
            self._raise_if_fenced(error)
            raise Fatal(
                f"replaying {self._where}: whether the last {len(digests)} letters were put back is not known "
                f"({error.args[0].str()}); run it again, it finds out"
            ) from error

    def _give_up(self, producer: Producer, error: KafkaException | LogflumeError) -> None:
        """End the transaction, of which nothing was committed, and raise."""
        if isinstance(error, KafkaException):
            self._raise_if_fenced(error)
        try:
            _again(lambda: producer.abort_transaction(5.0))
        except KafkaException as other:
            self._raise_if_fenced(other)  # what stays open is ended by Kafka, or by the next one's fence
        text = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise Retryable(f"replaying {self._where}: a transaction was aborted: {text}; run it again") from error

    def _raise_if_fenced(self, error: KafkaException) -> None:
        if error.args[0].code() in _FENCED:
            raise Refused(
                f"another replay took {self._where} over; what was put back until then is marked, and stays once"
            ) from error


def _largest(settings: Settings) -> dict[str, int]:
    """The datasets, and how many bytes a message on the ingest topic of each may have."""
    return {
        topic.dataset: int(topic.config.get("max.message.bytes", 1 << 20))
        for topic in topics.declared(settings)
        if topic.dataset is not None and topic.name == topics.ingest_topic(settings, topic.dataset)
    }


def _check(record: Original, largest: Mapping[str, int]) -> None:
    """Raise ``Stays`` for a record that its topic would refuse."""
    if record.dataset not in largest:
        raise Stays(f"there is no dataset {record.dataset[:80]!r}")
    if record.size > largest[record.dataset]:
        raise Stays(f"larger than a message of {record.dataset} may be ({largest[record.dataset]} bytes)")


def _checked(correction: Correction, largest: Mapping[str, int]) -> None:
    if correction.tenant is not None:
        check_tenant_name(correction.tenant)
    if correction.dataset is not None and correction.dataset not in largest:
        raise Misconfigured(f"there is no dataset {correction.dataset!r}; known are {', '.join(largest)}")


def _again(call: Callable[[], Any]) -> None:
    """Repeat a call while librdkafka says that the same call may be repeated, ``SECONDS`` at most."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            call()
            return
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise
