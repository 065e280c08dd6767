"""Requests of Kafka's protocol that confluent-kafka has no call for (2.16), by aiokafka's connection (0.14).

aiokafka's client closes some of its connections without waiting for their end; a loop that ends before they do leaves
sockets to the garbage collector. So the connection is ours: it is gone before the loop is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import KafkaError

from logflume.errors import Retryable
from logflume.kafka.security import Security
from logflume.settings import Settings

T = TypeVar("T")
Send = Callable[[Any], Awaitable[Any]]
"""Sends a request to some broker, and returns its response."""

_GOODBYE_SECONDS: Final = 1.0  # TLS says goodbye and waits for an answer: asyncio would for 30 s


def asked(settings: Settings, about: str, ask: Callable[[Send], Awaitable[T]], seconds: float) -> T:
    """Return what ``ask`` makes of the answers to its requests. Not to be called on an event loop.

    Raises ``Retryable``, which names what it is ``about``, when Kafka does not answer in so many seconds.
    """

    async def run() -> T:
        brokers = collect_hosts(settings.require("kafka_bootstrap"))
        way = Security.of(settings).aiokafka()
        async with asyncio.timeout(seconds), _connected(brokers, way, seconds / len(brokers)) as broker:
            return await ask(broker.send)

    try:
        return asyncio.run(run())
    except TimeoutError:
        raise Retryable(f"Kafka did not answer about {about} within {seconds:g} s") from None
    except (KafkaError, OSError) as error:
        raise Retryable(f"Kafka's {about}: {error}") from error


@contextlib.asynccontextmanager
async def _connected(brokers: list[Any], way: dict[str, Any], seconds: float) -> AsyncIterator[AIOKafkaConnection]:
    """The first broker that lets us in, each within ``seconds``; gone at the block's end."""
    async with contextlib.AsyncExitStack() as stack:
        while True:
            host, port, _ = brokers.pop()
            broker = await stack.enter_async_context(_connection(host, port, way, seconds))
            try:
                await broker.connect()
                break
            except (KafkaError, OSError):  # TimeoutError is an OSError
                if not brokers:
                    raise
        yield broker


@contextlib.asynccontextmanager
async def _connection(host: str, port: int, way: dict[str, Any], seconds: float) -> AsyncIterator[AIOKafkaConnection]:
    opened: list[Any] = []  # it tells of its end, and only if it had begun

    def ended(*of: Any) -> None:
        opened.append(of)

    made = AIOKafkaConnection(
        host, port, client_id="logflume", request_timeout_ms=1000 * seconds, on_close=ended, **way
    )
    try:
        yield made
    finally:
        gone = made.close()
        if opened:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await gone
