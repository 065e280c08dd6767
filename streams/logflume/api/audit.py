"""Who asked what: every query, export and change is a record of the tenant's own dataset ``audit_logs``.

AU1  An act is recorded when its request has ended, its answer sent or broken off, whatever came of it: one record,
     however many queries it took.
AU2  Recording never waits, nor fails a request: a record is handed to a client of the edge, which keeps it in memory,
     and in a spool if it has one, until Kafka has it. What finds no room there is counted as lost, and logged.
AU3  When records are ``required``, a request is refused before any work while there may be no room for its record.
AU4  Tenants whose configuration keeps no ``audit_logs`` have no records: nobody would want them.
AU5  ``close`` returns when all that was handed over is durable, or after a time-out; the rest is counted as lost.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from logflume import metrics
from logflume.api.caller import Caller
from logflume.api.problem import Problem
from logflume.api.register import Query, State
from logflume.api.session import CALLER
from logflume.clock import Clock
from logflume.config import Source
from logflume.edge.client import Client
from logflume.edge.lines import Lines
from logflume.edge.receipt import Piece, Receipt
from logflume.errors import LogflumeError, Misconfigured, Unconfigured
from logflume.model import Datasets
from logflume.settings import Settings

DATASET: Final = "audit_logs"
MOST_TEXT: Final = 16_000
"""Characters of one value: SQL may have 100,000, and the record is not the place to keep them."""
_FULL: Final = 0.8
"""Of the client's memory, or of its spool: the acts that are in work at that moment fit into the rest."""

_log = structlog.get_logger(__name__)


@dataclass
class Act:
    """One request that is recorded, as it goes on."""

    kind: str
    who: Caller
    address: str
    path: str
    parameters: str
    claimed: str
    """For whom a proxy says that it asks; anybody can write that."""
    began_ns: int
    began: float
    interface: str = "API"
    """How it was asked: ``UI`` is the page."""
    form: str = ""
    resource: tuple[str, str] = ("", "")
    """Type and id of what it was about."""
    old: Mapping[str, str] = field(default_factory=dict)
    new: Mapping[str, str] = field(default_factory=dict)
    queries: list[Query] = field(default_factory=list)

    def record(self, status: int, problem: str, seconds: float) -> dict[str, Any]:
        """Return what ``audit_logs`` has of it."""
        # An answer that is written as it comes may fail behind its status; of others the status says it all.
        failed = [query for query in self.queries if query.state is not State.DONE] if self.form else []
        outcome = "done" if status < 400 and not failed else "failed"
        if status < 400 and failed:
            outcome = str(failed[0].state)
            problem = str((failed[0].problem or {}).get("type", "")).removeprefix("urn:logflume:")
        answers = [query.answer for query in self.queries if query.answer is not None]
        about: dict[str, Any] = {
            "outcome": outcome,
            "status": status,
            "problem": problem,
            "path": self.path,
            "parameters": self.parameters,
            "sql": self.queries[0].sql if self.queries else "",
            "form": self.form,
            "queries": len(self.queries),
            "rows": sum(answer.rows for answer in answers),
            "bytes_read": sum(answer.scanned.bytes for answer in answers),
            "seconds": round(seconds, 4),
            "forwarded_for": self.claimed,
        }
        type, id = self.resource
        if not type and self.queries:
            type, id = "query", self.queries[0].id
        return {
            "ID": uuid.uuid4().hex,
            "When": datetime.fromtimestamp(self.began_ns / 1e9, UTC),
            "ActionType": self.kind,
            "ActionResult": outcome == "done",
            "ActorID": self.who.token,
            "ActorIP": self.address,
            "ActorType": "token",
            "Interface": self.interface,
            "Metadata": _texts(about),
            "NewValue": _texts(self.new),
            "OldValue": _texts(self.old),
            "OwnerID": self.who.tenant,
            "ResourceID": id,
            "ResourceType": type,
        }


class Recorded(Response):
    """A response after which its act is recorded, however sending it ends (AU1)."""

    def __init__(self, response: Response, end: Callable[[], None]) -> None:
        super().__init__(status_code=response.status_code)
        self._response = response
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then record."""
        try:
            await self._response(scope, receive, send)
        finally:
            self._end()


class Audit:
    """See AU1 to AU5. ``begin`` and ``end`` on the event loop; reports come from the client's threads."""

    def __init__(self, source: Source, clock: Clock, client: Client | None, *, required: bool = False) -> None:
        """Without a ``client`` nothing is recorded."""
        self._source = source
        self._clock = clock
        self._client = client
        self._required = required
        self._lock = threading.Lock()
        self._waiting = 0

    @classmethod
    def opened(cls, settings: Settings, datasets: Datasets, source: Source, clock: Clock, **how: Any) -> Audit:
        """Return what the settings ask for; ``how``: the client's producer and look-up, for tests."""
        required = settings.serve_audit == "required"
        why = ""
        if settings.serve_audit == "off":
            why = "serve_audit is off"
        elif DATASET not in datasets:
            why = f"the contract has no dataset {DATASET}"
        elif not settings.kafka_bootstrap:
            why = "there is no Kafka: kafka_bootstrap is empty"
        if why and required:
            raise Misconfigured(f"serve_audit is required, and {why}")
        if why:
            _log.warning("audit.off", because=why)
            return cls(source, clock, None)
        own = settings.model_copy(
            update={
                "edge_memory_bytes": settings.serve_audit_bytes,
                "edge_spool_dir": settings.serve_audit_spool_dir,
                "edge_id": f"{settings.edge_id}-audit",
            }
        )
        client = Client(own, datasets=datasets, source=source, limited=False, tells=False, clock=clock, **how)
        client.heed_no_more()  # its memory is its bound; questions are not asked less when the pipeline is late
        return cls(source, clock, client, required=required)

    def keeps(self, tenant: str) -> bool:
        """Whether there are records of this tenant's requests (AU4)."""
        try:
            return self._client is not None and self._source.current().wants(tenant, DATASET)
        except Unconfigured:
            return False

    def begin(self, request: Request, who: Caller, kind: str) -> Act:
        """Return the act that a request is. ``Problem`` 503 when it could not be recorded, and must be (AU3)."""
        if self._required and self._is_full() and self.keeps(who.tenant):
            raise Problem(
                503,
                "no-record",
                "requests must be recorded, and there is no room for records now: Kafka takes none",
                retry_seconds=10,
            )
        return self.act(request, who, kind)

    def act(self, request: Request, who: Caller, kind: str) -> Act:
        """Return the act that a request is, whatever becomes of its record."""
        act = Act(
            kind,
            who,
            request.client.host if request.client else "",
            request.url.path,
            request.url.query,
            request.headers.get("x-forwarded-for", "")[:200],
            self._clock.now_ns(),
            self._clock.monotonic(),
            # By the page itself, or by its script: who asks with no token of his own has a session.
            "UI" if CALLER in request.scope or not request.headers.get("authorization", "").strip() else "API",
        )
        request.state.act = act
        return act

    def end(self, act: Act, status: int, problem: str = "") -> None:
        """Record it, if its tenant wants that (AU1, AU2)."""
        tenant = act.who.tenant
        if self._client is None or not self.keeps(tenant):
            return
        line = orjson.dumps(act.record(status, problem, self._clock.monotonic() - act.began))
        with self._lock:
            self._waiting += 1
        try:
            taken = self._client.offer([Piece(tenant, DATASET, Lines(line))], Receipt(self._settled))
        except LogflumeError as error:
            _log.error("audit.failed", tenant=tenant, kind=act.kind, error=str(error))
            taken = False
        if not taken:
            self._lost(act)

    def close(self) -> None:
        """Have all records be durable (AU5)."""
        if self._client is None:
            return
        try:
            self._client.close()
        except LogflumeError as error:
            with self._lock:
                left = self._waiting
            metrics.EXPLORE_AUDIT_LOST.inc(left)
            _log.error("audit.lost-at-end", records=left, error=str(error))

    def _is_full(self) -> bool:
        client = self._client
        if client is None:
            return True
        spool = client.spool
        return client.failure is not None or client.fill >= _FULL or (spool is not None and spool.share >= _FULL)

    def _settled(self, failure: LogflumeError | None) -> None:
        """In a thread of the client's: one record is durable, or never will be."""
        with self._lock:
            self._waiting -= 1
        (metrics.EXPLORE_AUDIT if failure is None else metrics.EXPLORE_AUDIT_LOST).inc()

    def _lost(self, act: Act) -> None:
        with self._lock:
            self._waiting -= 1
        metrics.EXPLORE_AUDIT_LOST.inc()
        _log.error("audit.lost", tenant=act.who.tenant, kind=act.kind, token=act.who.token, path=act.path[:200])


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """As a map of texts, without what is empty; a long one says how much of it is missing."""
    return {name: _cut(str(value)) for name, value in values.items() if value not in ("", None)}


def _cut(text: str) -> str:
    # A lone surrogate from JSON is no UTF-8, and would cost the record.
    text = text.encode(errors="backslashreplace").decode()
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}… ({len(text)} characters)"
