"""One request in work, as a protocol's endpoint sees it: whose it is, its body, and the way to have its records taken.

A protocol is a list of ``Route``. Its endpoint asks the ``Exchange`` in this order, each at most once: ``tenant``,
``body``, ``decode`` (its own pure function, in a thread), ``take``. Each raises ``Refusal`` when the request ends
there; the route's ``refuse`` puts that into the protocol's words. Whatever else an endpoint raises is a 500.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from logflume.edge.http.once import Answer
from logflume.edge.http.portion import Portion, Taken
from logflume.edge.http.protocols.record import Targets
from logflume.edge.http.refusal import Refusal, as_json
from logflume.edge.receipt import Piece
from logflume.model import Datasets
from logflume.settings import Settings

T = TypeVar("T")


class Exchange(Protocol):
    """See the module. All calls are the event loop's."""

    request: Request
    """For method, path, query and headers; its body is read by ``body`` alone."""
    settings: Settings
    datasets: Datasets
    targets: Targets
    """The same, for protocols that don't know of datasets."""

    def tenant(self) -> str:
        """Whose token the request carries: ``Bearer <token>``, ``Splunk <token>`` or Basic with it as the password.

        ``Refusal`` 401 without one, or with one that no tenant has or that has expired; 403 when it lacks the scope
        ``ingest``.
        """
        ...

    def refusal(self, tenant: str, dataset: str) -> Refusal | None:
        """Why records of this dataset would not be taken from ``tenant`` (404, 403), or None: for answers by record."""
        ...

    async def body(self) -> bytes:
        """The whole body, unpacked by its Content-Encoding. ``Refusal`` 408, 413, 415, 400 (torn), or 503 (memory)."""
        ...

    async def decode(self, function: Callable[[], T], *, json: bytes = b"", per_byte: int = 1) -> T:
        """Call ``function`` in a thread, or at once when the body is small; it must be pure and bounded.

        ``per_byte``: how many times the work of finding lines it does with a byte.

        ``json``: text that the function will load as a JSON document. Memory for its objects is reserved beforehand
        (``Refusal`` 413 or 503). ``Poison`` that the function raises becomes a ``Refusal`` 400 with its detail.
        """
        ...

    def reserve(self, size: int) -> None:
        """Reserve memory for what ``decode`` will make. ``Refusal`` 413, 429 or 503."""
        ...

    async def take(self, tenant: str, portions: Sequence[Portion], *, atomic: bool = False) -> Taken:
        """Hand the records to Kafka (or the spool) and return when they are durable there, all or none of them.

        Bad records are in ``Taken.errors`` and in the dead letters, the others are taken; with ``atomic`` one bad
        record makes it ``Refusal`` 422 and nothing is kept. Portions of a dataset that ``refusal`` names: its Refusal.
        ``Refusal`` 503 when there is no room, and when Kafka was silent for too long; the detail says which.
        """
        ...

    async def take_pieces(self, pieces: Sequence[Piece], *, atomic: bool = False) -> Taken:
        """``take`` for records that are lines or columns already."""
        ...

    async def once(self, key: tuple[str, str], digest: bytes, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do ``work`` once for ``key``, a tenant and what it calls the request (see ``once``)."""
        ...


Endpoint = Callable[[Exchange], Awaitable[Response]]
Refuse = Callable[[Exchange, Refusal], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A path of a protocol (starlette's syntax), and who answers it.

    ``protocol`` is one word, the label of its metrics; ``refuse`` words a refusal as the protocol's clients expect it.
    """

    protocol: str
    path: str
    endpoint: Endpoint
    methods: tuple[str, ...] = ("POST",)
    refuse: Refuse = lambda _, refusal: as_json(refusal)
