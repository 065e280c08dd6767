"""Requests that carry an ``Idempotency-Key``: done once, answered alike, as long as this process remembers.

K1  While a key's first request is in work, others with it wait for that one's answer; they are not done themselves.
K2  Once it is done, they get the same answer, for ``seconds`` and as long as neither ``most_keys`` nor the memory for
    answers pushes it out, oldest first.
    In work are ``most_keys`` at most; one more is refused, 503.
K3  A key that comes with another request (``digest``) is refused, 422.
K4  What was refused is forgotten: the next request with the key is done. What only took too long goes on, and its key
    waits for it.

One event loop's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from logflume.clock import Clock
from logflume.edge.http.refusal import Refusal, busy

_ANSWER_BYTES: Final = 32_000_000
_OWN_BYTES: Final = 600
"""What a remembered key takes beside its answer."""

Key = tuple[str, str]
"""The tenant, and the key that it sent."""


@dataclass(frozen=True)
class Answer:
    """What a request was answered; a ``Response`` is made of it for each."""

    status: int
    body: bytes

    def response(self) -> Response:
        """Say it."""
        return Response(self.body, self.status, media_type="application/json")


@dataclass
class _Entry:
    digest: bytes
    task: asyncio.Task[Answer]
    until: float = 0.0
    size: int = 0


class Answers:
    """See the promises K1 to K4."""

    def __init__(self, *, seconds: float, most_keys: int, clock: Clock) -> None:
        self._seconds = seconds
        self._most_keys = most_keys
        self._clock = clock
        self._done: OrderedDict[Key, _Entry] = OrderedDict()
        self._running: dict[Key, _Entry] = {}
        self._size = 0

    def __len__(self) -> int:
        """Keys remembered."""
        return len(self._done) + len(self._running)

    async def once(self, key: Key, digest: bytes, work: Callable[[], Awaitable[Answer]], patience: float) -> Answer:
        """Return the answer of the one run of ``work`` under ``key``; ``Refusal`` 422, 503 after ``patience`` seconds.

        ``work`` goes on when the caller is gone or out of patience.
        """
        self._forget()
        entry = self._done.get(key) or self._running.get(key)
        if entry is None:
            if len(self._running) >= self._most_keys:
                raise busy(f"{len(self._running)} keys are in work already; nothing was taken")
            entry = _Entry(digest, asyncio.ensure_future(_awaited(work)))
            self._running[key] = entry
            entry.task.add_done_callback(lambda _: self._ended(key))
        elif entry.digest != digest:
            raise Refusal(422, "this Idempotency-Key came before, with another request; nothing was taken")
        try:
            return await asyncio.wait_for(asyncio.shield(entry.task), patience)
        except TimeoutError:
            raise Refusal(
                503,
                f"not durable after {patience:g} s; it is still on its way, ask again with the same Idempotency-Key",
                retry_seconds=2,
            ) from None

    def _ended(self, key: Key) -> None:
        entry = self._running.pop(key)
        if entry.task.cancelled() or entry.task.exception() is not None:
            return
        entry.until = self._clock.monotonic() + self._seconds
        entry.size = len(entry.task.result().body) + len(key[1]) + _OWN_BYTES
        self._done[key] = entry
        self._size += entry.size
        self._forget()

    def _forget(self) -> None:
        now = self._clock.monotonic()
        while self._done:
            oldest = next(iter(self._done.values()))
            if oldest.until > now and len(self._done) <= self._most_keys and self._size <= _ANSWER_BYTES:
                return
            self._done.popitem(last=False)
            self._size -= oldest.size


async def _awaited(work: Callable[[], Awaitable[Answer]]) -> Answer:
    return await work()
