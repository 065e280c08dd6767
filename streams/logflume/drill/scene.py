"""A drill that is going on: its load, its events, and what the drill may do.

Sc1  Every sender is a process of its own and keeps its book; all are ended when the ``with`` block is left.
Sc2  Events and phases stand at the seconds after the start at which they were told.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from logflume.drill import book, flood, sender
from logflume.drill.drill import Size
from logflume.drill.ground import Ground, Say
from logflume.drill.report import Event
from logflume.drill.tenant import DATASET, DrillTenant, triples
from logflume.drill.verdict import Finding
from logflume.errors import Fatal, Retryable
from logflume.kafka import client as kafka_client
from logflume.kafka import topics
from logflume.local.process import Process
from logflume.settings import PREFIX

_END_SECONDS = 90.0  # for the answers that a sender still waits for
_LOOK_SECONDS = 0.25
_LARGE_SECONDS = 0.25  # a tenant that sends a lot does so in larger bodies, not in more than four a second


@dataclass(frozen=True, slots=True)
class Sending:
    """A sender process and its book."""

    name: str
    process: Process
    book: Path
    tenants: tuple[DrillTenant, ...]

    def acknowledged_at(self) -> float:
        """When the last acknowledgement came, in seconds since 1970."""
        return book.last(self.book, book.ACKNOWLEDGED)

    def stop(self) -> None:
        """Let it begin nothing new, and wait until it has its last answer."""
        self.process.stop(_END_SECONDS)


class Scene:
    """See Sc1 and Sc2. ``steady`` are those who are there before, ``more`` those who come with the harm."""

    def __init__(
        self,
        ground: Ground,
        size: Size,
        steady: Sequence[DrillTenant],
        more: Sequence[DrillTenant],
        folder: Path,
        say: Say,
    ) -> None:
        self.ground = ground
        self.size = size
        self.steady = tuple(steady)
        self.more = tuple(more)
        self.folder = folder
        self.run = int.from_bytes(os.urandom(2), "big")
        self.started = time.time()
        self.events: list[Event] = []
        self.findings: list[Finding] = []
        self.sendings: list[Sending] = []
        self.harmed_at: float | None = None
        self.repaired_at: float | None = None
        self._say = say
        self._stopped: set[str] = set()

    def __enter__(self) -> Scene:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sending in self.sendings:
            sending.process.stop(1.0 if kind else _END_SECONDS)

    # --- what is told ---------------------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds after the start."""
        return time.time() - self.started

    def did(self, what: str) -> float:
        """Take down what was done just now; returns when."""
        event = Event(self.now(), what)
        self.events.append(event)
        self._say(f"{event.at:5.0f} s  {what}")
        return event.at

    def harmed(self, what: str) -> None:
        """Take down that harm begins; of several the first counts."""
        at = self.did(what)
        self.harmed_at = at if self.harmed_at is None else self.harmed_at

    def repaired(self, what: str) -> None:
        """Take down that all that was broken is whole; from here on nobody lends a hand. Of several the last counts."""
        self.repaired_at = self.did(what)

    def found(self, name: str, promised: str, found: str, *, ok: bool) -> None:
        """Add a finding of this drill's own."""
        self.findings.append(Finding(name, promised, found, ok))

    # --- load -----------------------------------------------------------------------------------------------------

    def send(
        self,
        name: str,
        tenants: Sequence[DrillTenant],
        rows_a_second: float,
        *,
        bad_share: float = 0.0,
        every_seconds: float | None = None,
    ) -> Sending:
        """Start a sender by HTTP for these tenants; ``every_seconds``: each of them sends at least so often."""
        of_each = rows_a_second / len(tenants)
        rows_a_body = max(self.size.rows_a_body, int(of_each * _LARGE_SECONDS))
        if every_seconds is not None:
            rows_a_body = min(rows_a_body, int(of_each * every_seconds))
        rows_a_body = max(1, rows_a_body)
        plan = sender.Plan(
            run=self.run,
            urls=self.ground.edges(),
            dataset=DATASET,
            book=str(self._book(name)),
            tenants=triples(tenants),
            rows_a_second=rows_a_second,
            rows_a_body=rows_a_body,
            # An answer takes as long as Kafka does: so many bodies are under way at once.
            threads=int(min(64, max(8, 4 * rows_a_second / rows_a_body))),
            bad_share=bad_share,
        )
        return self._start(name, "logflume.drill.sender", plan.write(self.folder / f"{name}.json"), tenants)

    def flood(self, name: str, tenants: Sequence[DrillTenant], messages_a_second: float) -> Sending:
        """Start a producer of plain Kafka messages, half of them garbage."""
        settings = self.ground.settings
        plan = flood.Plan(
            run=self.run,
            options=kafka_client.common(settings),
            topic=topics.ingest_topic(settings, DATASET),
            book=str(self._book(name)),
            tenants=[(tenant.number, tenant.name) for tenant in tenants],
            messages_a_second=messages_a_second,
        )
        return self._start(name, "logflume.drill.flood", plan.write(self.folder / f"{name}.json"), tenants)

    def _start(self, name: str, module: str, plan: Path, tenants: Sequence[DrillTenant]) -> Sending:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        process = Process.start([sys.executable, "-m", module, str(plan)], self.folder / f"{name}.log", clean)
        sending = Sending(name, process, self._book(name), tuple(tenants))
        self.sendings.append(sending)
        return sending

    def _book(self, name: str) -> Path:
        return self.folder / f"{name}.book"

    # --- waiting --------------------------------------------------------------------------------------------------

    def hold(self, seconds: float) -> None:
        """Let it go on for so long; ``Fatal`` when a sender ends by itself."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for sending in self.sendings:
                if sending.name not in self._stopped and not sending.process.alive():
                    raise Fatal(f"the sender {sending.name} ended by itself:\n{sending.process.tail()}")
            time.sleep(min(left, _LOOK_SECONDS))

    def sends(self, sending: Sending) -> bool:
        """Whether it was not told to stop."""
        return sending.name not in self._stopped

    def stop(self, sending: Sending) -> None:
        """Stop one sender; again has no effect."""
        if sending.name in self._stopped:
            return
        self._stopped.add(sending.name)
        sending.stop()

    def comes(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition; whether it came true in time."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.hold(_LOOK_SECONDS)
        return True

    def until(self, condition: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait for a condition; returns when, after the start. ``Retryable`` when it does not come true in time."""
        if not self.comes(condition, seconds):
            raise Retryable(f"after {seconds:.0f} s still not: {what}")
        return self.now()
