"""The queries of each tenant: those that run, and the last that ended. Kept in memory, for whoever asked them."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from logflume.api.problem import Problem
from logflume.clock import Clock
from logflume.explore.engine.engine import Answer

_KEPT: Final = 100
_TENANTS: Final = 10_000


class State(StrEnum):
    """Where a query is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass
class Query:
    """One query, as those who asked it see it."""

    tenant: str
    sql: str
    began: datetime
    began_monotonic: float
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: State = State.WAITING
    answer: Answer | None = None
    problem: dict[str, object] | None = None
    seconds: float | None = None
    cancelled: bool = False
    waiting: asyncio.Task[Any] | None = None
    """Who waits for its turn and its beginning."""

    def runs(self, answer: Answer) -> None:
        """It has begun."""
        self.state, self.answer, self.waiting = State.RUNNING, answer, None

    def cancel(self) -> None:
        """End it, also while it waits; it says so itself when it has ended."""
        if self.over:
            return
        self.cancelled = True
        if self.answer is not None:
            self.answer.cancel()
        elif self.waiting is not None:
            self.waiting.cancel()

    def ended(self, seconds: float, problem: Problem | None = None) -> None:
        """It has ended."""
        self.seconds = seconds
        if problem is None:
            self.state = State.DONE
        else:
            self.state = State.CANCELLED if self.cancelled else State.FAILED
            self.problem = problem.content()

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state not in (State.WAITING, State.RUNNING)

    def about(self, now: float) -> dict[str, Any]:
        """Return what there is to say of it."""
        told: dict[str, Any] = {
            "id": self.id,
            "state": str(self.state),
            "sql": self.sql,
            "began": self.began.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "seconds": round(now - self.began_monotonic if self.seconds is None else self.seconds, 4),
        }
        if self.answer is not None:
            scanned = self.answer.scanned
            told |= {
                "row_count": self.answer.rows,
                "limit": self.answer.limit,
                "limited": self.answer.limited,
                "range": self.answer.range.told(),
                "versions": dict(self.answer.versions),
                "scanned": {
                    "files": scanned.files,
                    "of_files": scanned.of_files,
                    "bytes": scanned.bytes,
                    "of_bytes": scanned.of_bytes,
                },
            }
            if (waiting := self.answer.waiting) is not None:
                told["live"] = {"rows": waiting.rows, "bytes": waiting.bytes, "partial": waiting.partial or None}
        return told if self.problem is None else told | {"problem": self.problem}


class Register:
    """``_KEPT`` queries of a tenant at most; of those that have ended the oldest are forgotten first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: OrderedDict[str, OrderedDict[str, Query]] = OrderedDict()

    def begin(self, tenant: str, sql: str) -> Query:
        """Enter a new query."""
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        query = Query(tenant, sql, now, self._clock.monotonic())
        own = self._of.setdefault(tenant, OrderedDict())
        self._of.move_to_end(tenant)
        own[query.id] = query
        for old in [each for each in own.values() if each.over][: max(0, len(own) - _KEPT)]:
            del own[old.id]
        while len(self._of) > _TENANTS:
            self._of.popitem(last=False)
        return query

    def get(self, tenant: str, id: str) -> Query:
        """Return a tenant's query; ``Problem`` 404, also for another tenant's."""
        own = self._of.get(tenant)
        found = own.get(id) if own else None
        if found is None:
            raise Problem(404, "not-found", "there is no such query of this tenant, or it has been forgotten")
        return found

    def of(self, tenant: str) -> list[Query]:
        """Return a tenant's queries, the newest first."""
        own = self._of.get(tenant)
        return list(reversed(own.values())) if own else []
