"""How much is in work at once: memory and requests, of all tenants and of each.

W1  What is reserved stays within ``most_bytes`` and ``most_requests``, and a tenant's within its share of each.
W2  ``release`` gives back all that one ``Reservation`` took, once.

Any thread may reserve: bodies are received on the event loop and unpacked in threads.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from logflume import metrics
from logflume.edge.http.refusal import RETRY_SECONDS, Refusal, busy


@dataclass
class _Held:
    requests: int = 0
    size: int = 0


class Work:
    """See the promises W1 and W2."""

    def __init__(self, *, most_bytes: int, most_requests: int, tenant_share: float) -> None:
        self._most_bytes = most_bytes
        self._most_requests = most_requests
        self._tenant_bytes = round(most_bytes * tenant_share)
        self._tenant_requests = max(1, round(most_requests * tenant_share))
        self._lock = threading.Lock()
        self._all = _Held()
        self._tenants: dict[str, _Held] = {}

    @property
    def used(self) -> int:
        """Bytes reserved."""
        return self._all.size

    @property
    def requests(self) -> int:
        """Requests in work."""
        return self._all.requests

    def reservation(self) -> Reservation:
        """Return what one more request will hold: nothing yet."""
        return Reservation(self)

    def _begin(self) -> None:
        with self._lock:
            if self._all.requests >= self._most_requests:
                raise busy(f"{self._most_requests} requests are in work already")
            self._all.requests += 1

    def _assign(self, tenant: str) -> _Held:
        with self._lock:
            held = self._tenants.setdefault(tenant, _Held())
            if held.requests >= self._tenant_requests:
                raise _too_many(f"{held.requests} requests of this tenant are in work already")
            held.requests += 1
        return held

    def _reserve(self, size: int, held: int, tenant: _Held | None) -> None:
        if held + size > self._tenant_bytes:  # it would not fit later either: nobody should try again
            whole = held + size
            raise Refusal(413, f"it would take {whole} bytes of memory, and a request may have {self._tenant_bytes}")
        with self._lock:
            if self._all.size + size > self._most_bytes:
                raise busy(f"bodies in work take {self._all.size} bytes of {self._most_bytes}")
            if tenant is not None:
                if tenant.size + size > self._tenant_bytes:
                    raise _too_many(f"bodies of this tenant in work take {tenant.size} bytes of {self._tenant_bytes}")
                tenant.size += size
            self._all.size += size
            metrics.EDGE_HTTP_WORK_BYTES.set(self._all.size)

    def _release(self, size: int, name: str | None, tenant: _Held | None) -> None:
        with self._lock:
            self._all.requests -= 1
            self._all.size -= size
            metrics.EDGE_HTTP_WORK_BYTES.set(self._all.size)
            if tenant is not None and name is not None:
                tenant.requests -= 1
                tenant.size -= size
                if not tenant.requests:
                    del self._tenants[name]


class Reservation:
    """What one request holds."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._name: str | None = None
        self._tenant: _Held | None = None
        self._size = 0
        self._begun = False

    def begin(self) -> None:
        """Let the request in. ``Refusal`` 503."""
        self._work._begin()
        self._begun = True

    def assign(self, tenant: str) -> None:
        """Count the request as ``tenant``'s, before anything is reserved. ``Refusal`` 429."""
        if self._tenant is None:
            self._tenant = self._work._assign(tenant)
            self._name = tenant

    def reserve(self, size: int) -> None:
        """Take ``size`` bytes more. ``Refusal`` 413 (never possible), 429 (of this tenant) or 503 (of all)."""
        if not self._begun:
            raise busy("this request has ended")  # what goes on without it reserves nothing more
        self._work._reserve(size, self._size, self._tenant)
        self._size += size

    def release(self) -> None:
        """The request has ended."""
        if self._begun:
            self._begun = False
            self._work._release(self._size, self._name, self._tenant)


def _too_many(detail: str) -> Refusal:
    return Refusal(429, detail, retry_seconds=RETRY_SECONDS)
