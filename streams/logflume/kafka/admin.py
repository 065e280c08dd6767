"""An administrator's client that Kafka's absence does not wear out: for workers, which live longer than brokers do.

A1  After a request that Kafka did not answer in its time the client is made anew before the next one. librdkafka's may
    never connect again to a broker that was killed, came back and hung: each request of it then takes its whole time
    and fails, while those of a new client are answered (2.16: two of six clients in twelve such restarts).
A2  A request that was begun is ended by the client that it was begun with. One that was replaced is let go when all its
    requests must have ended, and by a thread of ours: librdkafka's own thread, which tells a request's end, would wait
    for itself for ever.
A3  After ``renew`` the next request goes by a client of the new configuration.
A4  A client that takes a former leader for the present one is made anew as well. librdkafka's asks for offsets by the
    leader and the epoch that it knows, and looks for neither anew when it is told that they are over (2.16; its issue
    4620 was the same in a consumer): after a broker's restart each ``list_offsets`` fails for as long as it takes its
    metadata for fresh, minutes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

_ENDED_SECONDS = 60.0
"""No request takes longer."""

_WORN = frozenset(
    {KafkaError._TIMED_OUT, KafkaError.FENCED_LEADER_EPOCH, KafkaError.NOT_LEADER_FOR_PARTITION}  # A1, A4
)


class Administrator:
    """See A1 to A4. It has every method of ``AdminClient``; safe for threads."""

    def __init__(self, config: Mapping[str, Any], make: Callable[[dict[str, Any]], AdminClient] = AdminClient) -> None:
        self._config = dict(config)
        self._make = make
        self._lock = threading.Lock()
        self._client = make(dict(config))
        self._number = 0
        self._worn = False

    def renew(self, config: Mapping[str, Any]) -> None:
        """Have another configuration: a certificate or a password is new (A3)."""
        with self._lock:
            self._config, self._worn = dict(config), True

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._worn:
                threading.Thread(target=_let_go, args=([self._client],), name="kafka-admin-ends", daemon=True).start()
                self._client, self._worn = self._make(dict(self._config)), False
                self._number += 1
            return partial(self._call, getattr(self._client, name), self._number)

    def _call(self, method: Callable[..., Any], number: int, /, *arguments: Any, **options: Any) -> Any:
        try:
            asked = method(*arguments, **options)
        except KafkaException as error:
            self._heard(number, error)
            raise
        for future in asked.values() if isinstance(asked, dict) else (asked,):
            if isinstance(future, Future):
                # Of the client it must know the number only (A2): what stands here is let go by librdkafka's thread.
                future.add_done_callback(partial(_told, self._heard, number))
        return asked

    def _heard(self, number: int, error: BaseException | None) -> None:
        if isinstance(error, KafkaException) and error.args[0].code() in _WORN:
            with self._lock:
                self._worn = self._worn or number == self._number


def _told(heard: Callable[[int, BaseException | None], None], number: int, done: Future[Any]) -> None:
    heard(number, done.exception())


def _let_go(clients: list[AdminClient]) -> None:
    time.sleep(_ENDED_SECONDS)
    clients.clear()
