"""What aiokafka asks for a token at each new connection (OAUTHBEARER)."""

from __future__ import annotations

import asyncio
import threading
import time

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaConnectionError

from logflume.errors import LogflumeError
from logflume.kafka.oauth import Token, TokenService


class Provider(AbstractTokenProvider):  # type: ignore[misc]
    """Hands the same token to all connections, of any event loop, until it is nearly over."""

    def __init__(self, service: TokenService) -> None:
        self._service = service
        self._token: Token | None = None
        self._lock = threading.Lock()

    async def token(self) -> str:
        """Return a token; ``KafkaConnectionError`` when there is none, upon which aiokafka tries again."""
        try:
            return await asyncio.to_thread(self._current)
        except LogflumeError as error:
            raise KafkaConnectionError(str(error)) from error

    def _current(self) -> str:
        with self._lock:
            if self._token is None or time.monotonic() >= self._token.until:
                self._token = self._service.ask()
            return self._token.text
