"""An administrator's client that Kafka's absence does not wear out.

A1  After a request that Kafka did not answer in its time the client is made anew before the next one. librdkafka's may
    never connect again to a broker that was killed, came back and hung: each request of it then takes its whole time
    and fails, while those of a new client are answered (2.16: two of six clients in twelve such restarts).
A2  A request that was begun is ended by the client that it was begun with.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient


class Administrator:
    """See A1 and A2. It has every method of ``AdminClient``; safe for threads."""

    def __init__(self, config: Mapping[str, Any], make: Callable[[dict[str, Any]], AdminClient] = AdminClient) -> None:
        self._config = dict(config)
        self._make = make
        self._lock = threading.Lock()
        self._client = make(dict(config))
        self._worn = False

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._worn:
                self._client, self._worn = self._make(dict(self._config)), False
            client = self._client
        method = getattr(client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            try:
                asked = method(*arguments, **options)
            except KafkaException as error:
                self._heard(client, error)
                raise
            for future in asked.values() if isinstance(asked, dict) else (asked,):
                if isinstance(future, Future):
                    future.add_done_callback(lambda done: self._heard(client, done.exception()))
            return asked

        return call

    def _heard(self, client: AdminClient, error: BaseException | None) -> None:
        if isinstance(error, KafkaException) and error.args[0].code() == KafkaError._TIMED_OUT:
            with self._lock:
                self._worn = self._worn or client is self._client
