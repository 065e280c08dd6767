"""What a sink has done to its partitions, stored as one Kafka transaction that a zombie can't complete.

X1  All messages have good delivery reports before the group's offsets are sent. Kafka checks the membership when it
    takes the offsets; so what it lets through was in the log before any successor was given the partition, and the
    successor, who reads up to the log's end and waits for open transactions, sees it. The other way round an old
    position could land behind a newer one.
X2  The membership sent is one that the consumer really has: Kafka takes the offsets of *no* member (empty id) from
    anyone, for old clients' sake, which would let a zombie through that was just told that it is out.
X3  ``commit`` returns when everything is committed. ``Stale`` or ``Retryable``: nothing is, and the same may be tried
    again. ``Fatal``: it is not known; the process must end, its successor reads what is true, and every later
    ``commit`` of this process, as when it leaves the group, raises it again and sends nothing.
X4  No call of librdkafka holds the caller for ever: one that is not back long after its deadline never will be (seen in
    2.16: the broker was killed, came back and hung while offsets were sent, and the call was not back after minutes,
    whatever time-out it was given). That is ``Fatal`` too: a process that waits for ever looks healthy.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from logflume.errors import Fatal, LogflumeError, Refused, Retryable
from logflume.kafka import client
from logflume.kafka.deliveries import Deliveries
from logflume.settings import Settings

_STALE = frozenset(
    {
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.STALE_MEMBER_EPOCH,
    }
)
"""How Kafka says that the membership is not the one in force: the process is a zombie, or the group is rebalancing."""

_ABORT_SECONDS = 15.0
_CALL_SECONDS = 5.0
_HANG_SECONDS = 75.0
"""For how long a call may take that was given ``_CALL_SECONDS``: longer than a request lives (socket.timeout.ms, 60 s).

While Kafka was away librdkafka (2.16) came back from sending offsets after 30.2 s each time, whatever it was given, and
nothing was lost by it: at 30 s every sink that was just there would have ended itself.
"""


class Hung(Fatal):
    """A call of librdkafka does not come back (X4)."""


class Stale(Refused):
    """Kafka refused the transaction, as this member's partitions may be another's by now; nothing was committed."""


class Outgoing(NamedTuple):
    """A message to be produced inside the transaction; ``partition`` None: by the key. No value: the key is deleted."""

    topic: str
    partition: int | None
    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


def membership(consumer: Consumer) -> Any:
    """Return the consumer's present group metadata; raises ``Stale`` when it is in no group (X2)."""
    before = consumer.memberid()
    metadata = consumer.consumer_group_metadata()
    if not before or consumer.memberid() != before:
        raise Stale("the consumer is not a member of its group now")
    return metadata


class Transactions:
    """Commits one transaction after the other. Used by one thread; the producer is made at the first one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._timeout = settings.sink_transaction_timeout_ms / 1000
        self._producer: Producer | None = None
        self._doubt: Fatal | None = None

    def commit(
        self, messages: Sequence[Outgoing], offsets: Sequence[TopicPartition], metadata: Callable[[], Any]
    ) -> None:
        """Commit ``messages`` and the group's ``offsets`` together, or nothing (X3).

        ``metadata`` gives the group metadata when asked, as late as possible. Blocks for the transaction time-out at
        most, and as long again for the commit's or the abort's own answer.
        """
        if self._doubt is not None:
            raise self._doubt
        producer = self._ready()
        deadline = time.monotonic() + self._timeout
        try:
            producer.begin_transaction()
            deliveries = Deliveries(producer, room_seconds=self._timeout)
            for message in messages:
                deliveries.send(*message)
            deliveries.wait(max(0.0, deadline - time.monotonic()))  # X1
            present = metadata()
            self._again(deadline, lambda: producer.send_offsets_to_transaction(list(offsets), present, _CALL_SECONDS))
        except KafkaException as error:
            self._abort()
            raise _typed(error) from error
        except Hung:
            raise
        except LogflumeError as error:
            self._abort()
            if isinstance(error, Fatal):
                # A message that Kafka will never take is not this transaction's doubt: nothing was committed.
                raise Retryable(f"the transaction was aborted: {error}") from error
            raise
        self._finish(producer)

    def close(self) -> None:
        """Let go of the producer; a transaction never stays open between two calls of ``commit``."""
        self._producer = None

    def _ready(self) -> Producer:
        if self._producer is None:
            # A new id each time: who may commit is decided by the group (X2), not by the producer's name.
            name = f"{self._settings.sink_group}-{uuid.uuid4().hex}"
            config = client.producer_config(
                self._settings,
                transactional_id=name,
                transaction_timeout_ms=self._settings.sink_transaction_timeout_ms,
                linger_ms=0,
            )
            producer = Producer(config)
            try:
                producer.init_transactions(self._timeout)
            except KafkaException as error:
                raise client.typed(error, f"transactional-id {name}") from error
            self._producer = producer
        return self._producer

    def _finish(self, producer: Producer) -> None:
        """Commit; after this has begun, only Kafka's answer tells whether it happened.

        Not waited for beyond the transaction's time-out: Kafka aborts it then, and fences who comes back for an answer.
        """
        deadline = time.monotonic() + self._timeout
        try:
            self._again(deadline, lambda: producer.commit_transaction(_CALL_SECONDS))
        except KafkaException as error:
            cause = error.args[0]
            if not cause.txn_requires_abort():
                self._doubt = Fatal(f"whether a transaction was committed is not known: {cause.name()}: {cause.str()}")
                raise self._doubt from error
            self._abort()
            raise _typed(error) from error

    def _again(self, deadline: float, call: Callable[[], Any]) -> None:
        """Repeat a call while librdkafka says that the same call may be repeated."""
        while True:
            try:
                self._back(call)
                return
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise

    def _back(self, call: Callable[[], Any]) -> None:
        """Make a call in a thread that can be left behind (X4); raises what it raises."""
        raised: list[BaseException] = []

        def run() -> None:
            try:
                call()
            except BaseException as error:
                raised.append(error)

        calling = threading.Thread(target=run, name="transaction", daemon=True)
        calling.start()
        calling.join(_HANG_SECONDS)
        if calling.is_alive():
            self._doubt = Hung(
                f"librdkafka has not come back from a call about a transaction for {_HANG_SECONDS:.0f} s"
            )
            raise self._doubt
        if raised:
            raise raised[0]

    def _abort(self) -> None:
        """End the transaction; the next one gets a new producer. (One whose epoch was bumped by a refused message may
        purge what the next transaction sends: librdkafka 2.16.)
        """
        producer, self._producer = self._producer, None
        deadline = time.monotonic() + _ABORT_SECONDS
        if producer is None:
            return
        # Nothing was committed in any case; what stays open is aborted by Kafka after its time-out.
        with contextlib.suppress(KafkaException):
            self._again(deadline, lambda: producer.abort_transaction(_CALL_SECONDS))
            return
        with contextlib.suppress(KafkaException):
            producer.purge()


def _typed(error: KafkaException) -> LogflumeError:
    cause = error.args[0]
    text = f"the transaction was aborted: {cause.name()}: {cause.str()}"
    return Stale(text) if cause.code() in _STALE else Retryable(text)
