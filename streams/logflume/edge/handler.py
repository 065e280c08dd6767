"""Python's ``logging`` into the ``events`` dataset: ``logging.root.addHandler(LogHandler("acme", "checkout"))``."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import traceback
from collections.abc import Iterator

from logflume.edge.client import Client
from logflume.errors import LogflumeError
from logflume.settings import Settings

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
_OWN = ("logflume", "logflume.")


class LogHandler(logging.Handler):
    """Sends log records as records of dataset ``events``; what ``extra=`` adds goes to ``attributes`` as text.

    With no ``client`` given, one is made at the first record, in each process anew, so a handler set up before a fork
    works in the children. Blocks as ``Client.log`` does while memory is full; then ``handleError`` tells. Logflume's
    own records are left out: they would feed on themselves.
    """

    def __init__(
        self,
        tenant: str,
        service: str,
        *,
        client: Client | None = None,
        settings: Settings | None = None,
        level: int = logging.NOTSET,
        timeout: float | None = None,
    ) -> None:
        """``timeout``: seconds that one record may wait for room; None: the setting ``edge_timeout_seconds``."""
        super().__init__(level)
        self._tenant = tenant
        self._service = service
        self._settings = settings
        self._given = client
        self._timeout = timeout
        self._own: Client | None = None
        self._process = os.getpid()
        self._host = socket.gethostname()

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave Logflume's own records out.

        Here and not in ``emit``, which holds the handler's lock: a thread that waits for room inside ``emit`` holds it
        too, and the client's own threads, which make that room, must not wait for it.
        """
        if record.name == _OWN[0] or record.name.startswith(_OWN[1]):
            return False
        return super().filter(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; never raises, but tells ``handleError``."""
        try:
            self._client().log(self._tenant, "events", self.as_event(record), timeout=self._timeout)
        except Exception:  # logging's own contract: a handler's error is handleError's
            self.handleError(record)

    def as_event(self, record: logging.LogRecord) -> dict[str, object]:
        """Return the record as one of dataset ``events``."""
        attributes = {name: str(value) for name, value in vars(record).items() if name not in _STANDARD}
        trace_id, span_id = attributes.pop("trace_id", None), attributes.pop("span_id", None)
        attributes |= {"file": record.pathname, "line": str(record.lineno), "thread": str(record.threadName)}
        if record.exc_info and record.exc_info[0] is not None:
            attributes["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return {
            "time": round(record.created * 1e9),
            "level": record.levelname,
            "service": self._service,
            "host": self._host,
            "logger": record.name,
            "message": record.getMessage(),
            "trace_id": trace_id,
            "span_id": span_id,
            "attributes": attributes,
        }

    def flush(self) -> None:
        """Wait until Kafka holds every record so far, or tell on stderr that it takes too long.

        Never raises, as a handler must not: ``logging.shutdown`` calls it at exit, and an application would end with a
        traceback because Kafka is away. Who must know flushes the client.
        """
        client = self._given or self._own
        if client is not None and self._process == os.getpid():
            with self._told():
                client.flush()

    def close(self) -> None:
        """Flush, and close the client unless it was given; never raises, as ``flush``."""
        own, self._own = self._own, None
        try:
            with self._told():
                if own is not None and self._process == os.getpid():
                    own.close()
                elif self._given is not None:
                    self._given.flush()
        finally:
            super().close()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Tell on stderr what went wrong, under the switch that ``handleError`` has; there is no record to blame."""
        try:
            yield
        except LogflumeError as error:
            if logging.raiseExceptions and sys.stderr is not None:
                print(f"logflume: log records of {self._service} may be lost: {error}", file=sys.stderr)

    def _client(self) -> Client:
        if self._given is not None:
            return self._given
        if self._own is None or self._process != os.getpid():
            self._process = os.getpid()
            self._own = Client(self._settings)
        return self._own
