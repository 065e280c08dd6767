"""A transaction that only the last process to ask for its name can commit.

E1  When ``Exclusive`` was made, no transaction of that name is open any more, and no other holder of the name can begin
    or commit one: Kafka aborts what it left and refuses its next step (a transactional.id is fenced by its epoch).
E2  So what was read after that, to the log's end, is what the commit will follow: nobody of that name came between.
E3  ``commit`` returns when all of it is committed. ``Fenced``: nothing is, another holder took over. ``Retryable``:
    nothing is. ``InDoubt``: it is not known; ask for the name again and read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from logflume.errors import LogflumeError, Misconfigured, Refused, Retryable
from logflume.kafka import client
from logflume.kafka.deliveries import Headers
from logflume.settings import Settings

TIMEOUT_SECONDS = 30.0
"""Kafka aborts what a crashed holder left after this; until then readers of its topics wait behind it."""

_CALL_SECONDS = 5.0
_POLL_SECONDS = 0.2
_FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
    }
)


class Fenced(Refused):
    """Another process asked for the same name: nothing of this one's was committed, and nothing will be."""


class InDoubt(Retryable):
    """Kafka did not tell whether the transaction was committed."""


class Exclusive:
    """One transaction under a name (``transactional.id``). Used by one thread, as a context: left, it is aborted."""

    def __init__(self, settings: Settings, name: str) -> None:
        """Take the name over (E1). Raises ``Retryable`` when Kafka does not answer."""
        self._name = name
        self._deadline = time.monotonic() + TIMEOUT_SECONDS
        self._failed: KafkaError | None = None
        self._in_flight = 0
        self._open = False
        self._producer = Producer(
            client.producer_config(
                settings,
                transactional_id=name,
                transaction_timeout_ms=int(TIMEOUT_SECONDS * 1000),
                linger_ms=20,
                compression_type="zstd",
            )
            | {"log_level": 3}  # a coordinator that is not there yet is asked again, and no news
        )
        try:
            self._again(lambda: self._producer.init_transactions(_CALL_SECONDS))
        except KafkaException as error:
            raise client.typed(error, f"taking over the transactions of {name}") from error

    def __enter__(self) -> Exclusive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._abort()

    def begin(self) -> None:
        """Begin the transaction; its time runs from here. Raises ``Fenced``."""
        self._deadline = time.monotonic() + TIMEOUT_SECONDS
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise self._typed(error.args[0]) from error
        self._open = True

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        landed: Callable[[int], None] | None = None,
    ) -> None:
        """Produce a message inside the transaction; no value: the key is deleted.

        ``landed`` is told its offset by the time that ``wait`` returns.
        """

        def report(error: KafkaError | None, message: Any) -> None:
            self._in_flight -= 1
            if error is not None:
                self._failed = self._failed or error
            elif landed is not None:
                landed(message.offset())

        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=report, headers=list(headers) if headers else None
                )
            except BufferError:
                self._poll(_POLL_SECONDS)
                self._check()
            except KafkaException as error:
                raise self._typed(error.args[0]) from error
            else:
                self._in_flight += 1
                self._poll(0)
                return

    def wait(self) -> None:
        """Return when Kafka holds every message that was sent. Raises ``Fenced``, ``Retryable``, ``Misconfigured``."""
        while self._in_flight:
            self._poll(_POLL_SECONDS)
            self._check()
        self._check()

    def commit(self) -> None:
        """Commit it all, or nothing (E3)."""
        self.wait()
        try:
            self._again(lambda: self._producer.commit_transaction(_CALL_SECONDS))
        except KafkaException as error:
            cause = error.args[0]
            if cause.txn_requires_abort() or cause.code() in _FENCED:
                raise self._typed(cause) from error
            self._open = False
            raise InDoubt(
                f"whether the transaction of {self._name} was committed is not known: {cause.str()}"
            ) from error
        self._open = False

    def _poll(self, seconds: float) -> None:
        try:
            self._producer.poll(seconds)
        except KafkaException as error:  # of what ends the producer, such as another holder's coming
            raise self._typed(error.args[0]) from error

    def _check(self) -> None:
        if self._failed is not None:
            raise self._typed(self._failed)
        if self._in_flight and time.monotonic() > self._deadline:
            raise Retryable(f"the transaction of {self._name} took longer than {TIMEOUT_SECONDS:.0f} s; it is aborted")

    def _typed(self, cause: KafkaError) -> LogflumeError:
        if cause.code() in _FENCED:
            return Fenced(f"another process took over as {self._name} meanwhile; nothing was changed by this one")
        told = client.typed(cause, f"the transaction of {self._name} was aborted")
        return told if isinstance(told, Misconfigured) else Retryable(str(told))

    def _again(self, call: Callable[[], Any]) -> None:
        """Repeat a call while librdkafka says that the same call may be repeated."""
        while True:
            try:
                call()
                return
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > self._deadline:
                    raise

    def _abort(self) -> None:
        self._open = False
        # Fenced: there is nothing to abort. Kafka away: it aborts by itself after the time-out.
        with contextlib.suppress(KafkaException):
            self._producer.abort_transaction(_CALL_SECONDS)
        with contextlib.suppress(KafkaException):
            self._producer.purge()
