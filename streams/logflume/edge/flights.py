"""What was given to the Kafka client and not reported on: what for, since when, and how much. Safe for threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from logflume.edge.spool import Message
from logflume.edge.spool.routes import Partition, Route


@dataclass(slots=True)
class Flight:
    """A message in flight; the fields change under the lock of its ``Flights`` only.

    ``ticket``: whom to tell once it is durable; None when it came out of the spool, or was told already.
    ``number``: which message of the spool it is. ``message``: None once the spool has it, too.
    """

    ticket: int | None
    message: Message | None
    topic: str
    size: int
    since: float
    route: Route | None = None
    tag: str = ""
    number: int | None = None
    held: bool = False
    """It still counts as the client's memory, though its ticket was told."""


class Flights:
    """All flights of a publisher, in the order of their start.

    ``waiting_bytes`` is the size of those whose ticket is not told.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting_bytes = 0
        self.spooled = 0
        """Flights that were taken out of the spool."""
        self._flying: dict[int, Flight] = {}
        self._next = 0

    def add(self, flight: Flight) -> int:
        """Count a flight; returns its number."""
        with self.lock:
            self._next += 1
            self._flying[self._next] = flight
            if flight.ticket is not None:
                self.waiting_bytes += flight.size
            else:
                self.spooled += 1
            return self._next

    def get(self, number: int) -> Flight:
        """The flight of that number."""
        with self.lock:
            return self._flying[number]

    def pop(self, number: int) -> Flight:
        """Count a flight no more."""
        with self.lock:
            flight = self._flying.pop(number)
            if flight.ticket is not None:
                self.waiting_bytes -= flight.size
            elif not flight.held:
                self.spooled -= 1
            return flight

    def told(self, number: int, spooled: int) -> Flight | None:
        """Its ticket can be told, as the spool has it under the number ``spooled``; None: it has landed meanwhile."""
        with self.lock:
            flight = self._flying.get(number)
            if flight is None or flight.ticket is None:
                return None
            self.waiting_bytes -= flight.size
            before = Flight(flight.ticket, flight.message, flight.topic, flight.size, flight.since)
            flight.ticket, flight.message, flight.number, flight.held = None, None, spooled, True
            return before

    def oldest_since(self) -> float | None:
        """When the oldest flight began."""
        with self.lock:
            return next((flight.since for flight in self._flying.values()), None)

    def older(self, since: float) -> list[tuple[int, Flight]]:
        """The flights with a ticket and a route that began before ``since``."""
        with self.lock:
            return [
                (number, flight)
                for number, flight in self._flying.items()
                if flight.since < since and flight.ticket is not None and flight.route is not None
            ]

    def stuck(self, since: float) -> set[Partition]:
        """The partitions of flights that began before ``since``."""
        with self.lock:
            return {
                (flight.route.topic, flight.route.partition)
                for flight in self._flying.values()
                if flight.route is not None and flight.since < since
            }
