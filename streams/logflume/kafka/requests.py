"""Requests of Kafka's protocol that confluent-kafka has no call for (2.16), by aiokafka's client (0.14)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from logflume.errors import Retryable
from logflume.kafka.security import Security
from logflume.settings import Settings

T = TypeVar("T")
Send = Callable[[Any], Awaitable[Any]]
"""Sends a request to some broker, and returns its response."""


def asked(settings: Settings, about: str, ask: Callable[[Send], Awaitable[T]], seconds: float) -> T:
    """Return what ``ask`` makes of the answers to its requests. Not to be called on an event loop.

    Raises ``Retryable``, which names what it is ``about``, when Kafka does not answer in so many seconds.
    """

    async def run() -> T:
        connection = {"bootstrap_servers": settings.require("kafka_bootstrap"), **Security.of(settings).aiokafka()}
        kafka = AIOKafkaClient(client_id="logflume", **connection)
        try:
            async with asyncio.timeout(seconds):
                await kafka.bootstrap()

                async def send(request: Any) -> Any:
                    return await kafka.send(kafka.get_random_node(), request)

                return await ask(send)
        finally:
            await kafka.close()

    try:
        return asyncio.run(run())
    except TimeoutError:
        raise Retryable(f"Kafka did not answer about {about} within {seconds:g} s") from None
    except KafkaError as error:
        raise Retryable(f"Kafka's {about}: {error}") from error
