"""From the sockets' loop to the client: messages wait here, and become lines of records in a thread of their own.

Where loop and thread meet: ``put`` is the loop's, all else below ``_run`` the thread's; one lock guards what waits.

SF1  A message that ``put`` took is handed to the client once, those of one sender in their order; or it is counted as
     refused, because nobody can tell its tenant. It is never put under a guess.
SF2  What waits is within ``memory_bytes``, or that and one piece more: from the brim on ``pause`` is asked for, and
     ``resume`` once half is free. So senders wait, by their sockets, while the client has no room.
SF3  A token is never stored: it is taken out of the record that carries it.
SF4  When the client can't go on, ``failed`` is told once, and what comes then is refused.
SF5  Of a tenant over its rate no stream is read until what came is made up for; its datagrams, which nobody can hold
     back, are dropped and counted. No other tenant's messages wait for that.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from functools import partial
from typing import Any, Protocol

import orjson
import structlog

from logflume import metrics
from logflume.clock import Clock
from logflume.config.tally import Tally
from logflume.edge.forwarding import UNWANTED
from logflume.edge.intake import NotAccepted
from logflume.edge.rates import Pacing
from logflume.edge.syslog.framing import Frame
from logflume.errors import LogflumeError, Unavailable, Unconfigured
from logflume.formats import syslog
from logflume.model.tenant import Configuration
from logflume.model.token import Scope

_PIECE_BYTES = 1 << 20
"""Most bytes of messages that become lines in one go: large enough for whole blocks, small enough for memory."""
_OVERHEAD = 200  # of a message that waits: bytes object, frame, its share of the deque
_TOKEN = re.compile(r"logflume@[0-9]+(?:\.[0-9]+)*\.token(?:\.[0-9]+)?")

_log = structlog.get_logger(__name__)


class Taking(Protocol):
    """What the feed needs of ``edge.Client``."""

    def log_ndjson(self, tenant: str, dataset: str, data: bytes) -> Any:
        """Accept lines of JSON, or raise ``NotAccepted``, which says how many went in."""
        ...


class Sender(Protocol):
    """Who messages come from: a connection, or all of a port's datagrams."""

    @property
    def transport(self) -> str:
        """``udp``, ``tcp`` or ``tls``."""
        ...

    @property
    def tenant(self) -> str | None:
        """Whose messages they are; None: each one's token says."""
        ...

    def refuse(self) -> None:
        """Take no more from this sender; called from any thread, perhaps more than once."""
        ...

    @property
    def waits(self) -> bool:
        """Whether it can be held back by not reading."""
        ...

    def slow(self, wait: Callable[[], float]) -> None:
        """Read nothing from it as long as ``wait`` gives any seconds; called from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class _Piece:
    sender: Sender
    host: str
    frames: Sequence[Frame]
    received_ns: int
    size: int


@dataclass(slots=True)
class _Charge:
    """What came from one sender for one tenant."""

    size: int = 0
    records: int = 0

    def add(self, size: int) -> None:
        self.size += size
        self.records += 1


class Feed:
    """See SF1 to SF5."""

    def __init__(
        self,
        client: Taking,
        configuration: Callable[[], Configuration],
        *,
        dataset: str,
        zone: tzinfo,
        clock: Clock,
        pacing: Pacing,
        memory_bytes: int,
        pause: Callable[[], None],
        resume: Callable[[], None],
        failed: Callable[[LogflumeError], None],
    ) -> None:
        """``pause`` is called from within ``put``; ``resume`` and ``failed`` from the feed's thread."""
        self._client = client
        self._configuration = configuration
        self._dataset = dataset
        self._zone = zone
        self._clock = clock
        self._pacing = pacing
        self.unwanted = Tally("syslog's messages were dropped that no table and no job wants", clock)
        """By tenant, since the start."""
        self._memory_bytes = memory_bytes
        self._pause, self._resume, self._failed = pause, resume, failed
        self._changed = threading.Condition()
        self._waiting: deque[_Piece] = deque()
        self._size = 0
        self._paused = False
        self._closing = False
        self._dead = False
        self._thread = threading.Thread(target=self._run, name="logflume-edge-syslog", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """Bytes that wait, what Python takes for them included."""
        return self._size

    @property
    def paused(self) -> bool:
        """Whether senders must wait: a ``resume`` on its way to the loop may be older than the last ``pause``."""
        return self._paused

    def put(self, sender: Sender, host: str, frames: Sequence[Frame], received_ns: int) -> None:
        """Take messages that came from ``host``; never waits, but may ask for a pause (SF2)."""
        if not frames:
            return
        size = sum(len(frame.message) + _OVERHEAD for frame in frames)
        metrics.EDGE_SYSLOG_MESSAGES.labels(sender.transport).inc(len(frames))
        missing = sum(frame.missing > 0 for frame in frames)
        if missing:
            metrics.EDGE_SYSLOG_CUT_MESSAGES.inc(missing)
        with self._changed:
            if self._dead:
                metrics.EDGE_SYSLOG_REFUSED_MESSAGES.labels("stopped").inc(len(frames))
                return
            self._waiting.append(_Piece(sender, host, frames, received_ns, size))
            self._size += size
            self._changed.notify()
            if self._paused or self._size < self._memory_bytes:
                return
            self._paused = True
        self._pause()

    def close(self, timeout: float) -> int:
        """Hand on what waits, then end; return how many messages were not handed on in ``timeout`` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        with self._changed:
            self._dead = True
            self._changed.notify()
            left = sum(len(piece.frames) for piece in self._waiting)
        if left:
            metrics.EDGE_SYSLOG_REFUSED_MESSAGES.labels("stopped").inc(left)
        return left

    # --- the feed's thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while pieces := self._next():
                for tenant, lines in self._lines(pieces).items():
                    self._hand_on(tenant, lines)
                self._done(pieces)
        except LogflumeError as failure:  # the client can't go on: SF4
            self._end(failure)
        except Exception as failure:
            _log.exception("syslog's feed failed")
            self._end(LogflumeError(f"syslog's feed failed: {type(failure).__name__}: {failure}"))

    def _next(self) -> list[_Piece]:
        """Wait for pieces; none: the end. They stay in ``_waiting`` until ``_done``, so ``close`` can count them."""
        with self._changed:
            while not self._waiting:
                if self._closing or self._dead:
                    return []
                self._changed.wait()
            if self._dead:
                return []
            pieces, size = [], 0
            for piece in self._waiting:
                pieces.append(piece)
                size += piece.size
                if size >= _PIECE_BYTES:
                    break
            return pieces

    def _done(self, pieces: Sequence[_Piece]) -> None:
        with self._changed:
            for piece in pieces:
                self._waiting.popleft()
                self._size -= piece.size
            if not self._paused or self._size > self._memory_bytes // 2:
                return
            self._paused = False
        self._resume()

    def _end(self, failure: LogflumeError) -> None:
        with self._changed:
            self._dead = True
        self._failed(failure)

    def _lines(self, pieces: Sequence[_Piece]) -> dict[str, list[bytes]]:
        """The messages as lines of JSON, by tenant."""
        configuration = self._in_force()
        found: dict[str, list[bytes]] = {}
        charged: dict[tuple[str, Sender], _Charge] = {}
        for piece in pieces:
            for frame in piece.frames:
                record = syslog.read(frame.message, piece.received_ns, piece.host, self._zone)
                tenant = self._tenant(configuration, piece.sender, record["attributes"])
                if tenant is None:
                    continue
                if frame.missing:
                    record["attributes"]["missing_bytes"] = str(frame.missing)
                line = orjson.dumps(record) + b"\n"
                if not piece.sender.waits:
                    if self._pacing.allowances.take(tenant, len(line), 1):
                        metrics.EDGE_SYSLOG_REFUSED_MESSAGES.labels("rate").inc()
                        self._pacing.note(tenant, self._dataset, "udp", 1)
                        continue
                else:
                    charged.setdefault((tenant, piece.sender), _Charge()).add(len(line))
                found.setdefault(tenant, []).append(line)
        for (tenant, sender), charge in charged.items():
            self._charge(tenant, sender, charge)
        return found

    def _charge(self, tenant: str, sender: Sender, charge: _Charge) -> None:
        """SF5, of a stream."""
        if self._pacing.allowances.charge(tenant, charge.size, charge.records):
            self._pacing.note(tenant, self._dataset, "syslog", charge.records)
            sender.slow(partial(self._pacing.allowances.wait, tenant, 0, 0))

    def _in_force(self) -> Configuration | None:
        try:
            return self._configuration()
        except Unconfigured:
            return None

    def _tenant(self, configuration: Configuration | None, sender: Sender, attributes: dict[str, str]) -> str | None:
        tokens = _take_tokens(attributes)
        if configuration is None:  # what has its tenant is kept by the client; tokens are nobody's yet
            if sender.tenant is None:
                metrics.EDGE_SYSLOG_REFUSED_MESSAGES.labels("unconfigured").inc()
                sender.refuse()
            return sender.tenant
        if sender.tenant is not None:
            if configuration.wants(sender.tenant, self._dataset):
                return sender.tenant
            self._refused(UNWANTED, sender.tenant)
            return None
        now_ns = self._clock.now_ns()
        owners = {configuration.allowed(token, Scope.INGEST, now_ns) for token in tokens}
        owner = owners.pop() if len(owners) == 1 else None
        if owner is not None and configuration.wants(owner, self._dataset):
            return owner
        self._refused("no-token" if not tokens else "token" if owner is None else UNWANTED, owner)
        sender.refuse()
        return None

    def _refused(self, reason: str, tenant: str | None) -> None:
        metrics.EDGE_SYSLOG_REFUSED_MESSAGES.labels(reason).inc()
        if tenant is not None:
            self.unwanted.add(tenant, self._dataset, reason, 1)

    def _hand_on(self, tenant: str, lines: list[bytes]) -> None:
        """Give ``lines`` to the client, waiting for room as long as it takes, but not beyond ``close``."""
        while lines:
            try:
                self._client.log_ndjson(tenant, self._dataset, b"".join(lines))
                return
            except NotAccepted as full:
                lines = lines[full.accepted :]
                _log.warning("the client has no room; senders of syslog wait", waiting=self._size, reason=str(full))
                if self._dead:
                    raise Unavailable("stopped while the client had no room") from full


def _take_tokens(attributes: dict[str, str]) -> list[str]:
    """Take out what an element ``logflume@<number>`` says as ``token`` (SF3); a repeated one is named ``.token.2``."""
    names = [name for name in attributes if _TOKEN.fullmatch(name)]
    return [attributes.pop(name) for name in names]
