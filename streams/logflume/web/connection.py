"""A connection to uvicorn's server that slow, endless or too many senders can't hold.

uvicorn and llhttp bound neither a request's head nor its time, and a connection that never says a word stays for ever.
This overrides ``uvicorn.protocols.http.httptools_impl.HttpToolsProtocol``, which is not public: checked against uvicorn
0.38 to 0.54, and tests/integration/test_http_connection.py fails when it moves.

CO1  A head is whole within ``header_seconds`` of its first byte, the first one of its connection's begin; else 408.
CO2  A head has at most ``header_bytes`` and ``_MOST_HEADERS`` fields (one read more, at most); else 431.
CO3  Bytes of a body that are no content (chunks' sizes, trailers) are bounded by ``header_bytes`` and its content.
CO4  A body that goes on after its answer is thrown away for ``_LINGER_SECONDS``, so that the sender gets to read the
     answer; then the connection is cut.
CO5  Of more than ``most_connections`` the newest is answered 503 and closed.
CO6  Nobody holds a connection by not reading. Once more waits than the transport may hold back, it must come down to a
     quarter within ``idle_seconds``; what is left when we have closed must be taken within that time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

import orjson
from prometheus_client import Gauge
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_MOST_HEADERS: Final = 100
_LINGER_SECONDS: Final = 2.0
_FRAMING: Final = 8
"""Bytes of framing allowed for each byte of content: a chunk of one byte has six."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """See CO1 to CO6. ``open``: the metric of connections that are."""

    header_bytes: int
    header_seconds: float
    most_connections: int
    open: Gauge


def protocol(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """Return the protocol class for ``uvicorn.Config(http=…)``."""
    return type("LimitedConnection", (Connection,), {"limits": limits})


class Connection(HttpToolsProtocol):
    """See the promises CO1 to CO6."""

    limits: ConnectionLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._in_head = True  # nothing has come yet, or a head that is not whole
        self._unfinished = False  # a request whose body is not whole
        self._head_bytes = 0  # of a head that is not whole, with what is not parsed of it yet
        self._fields = 0  # of one that is parsed: both may come at once
        self._content = 0
        self._framing = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A sender has connected (CO1, CO5)."""
        super().connection_made(transport)
        self.limits.open.set(len(self.connections))
        if len(self.connections) > self.limits.most_connections:
            self._end(503, "too many connections", "retry-after: 2\r\n")
            return
        self._arm(self.limits.header_seconds, self._head_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._disarm()
        self.resume_writing()
        super().connection_lost(exc)
        self.limits.open.set(len(self.connections))

    def data_received(self, data: bytes) -> None:
        """Bytes have come; the parser calls ``on_…`` from within."""
        if self.transport.is_closing():
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._timer is None:
                self._arm(self.limits.header_seconds, self._head_late)
        else:
            self._framing += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > self.limits.header_bytes:
            self._end(431, f"a request's head may have {self.limits.header_bytes} bytes")
        elif self._framing > self.limits.header_bytes + _FRAMING * self._content:
            self._end(400, "the body is mostly framing")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._fields = 0
        self._unfinished = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field is whole, or a trailer."""
        if not self._in_head:
            return  # a trailer; nobody asks for one
        super().on_header(name, value)
        self._fields += len(name) + len(value) + 4  # ": " and the line's end
        if self._fields > self.limits.header_bytes and not self.transport.is_closing():
            self._end(431, f"a request's head may have {self.limits.header_bytes} bytes")
        if len(self.headers) > _MOST_HEADERS and not self.transport.is_closing():
            self._end(431, f"a request may have {_MOST_HEADERS} header fields")

    def on_headers_complete(self) -> None:
        """The head is whole; uvicorn starts the application."""
        if self.transport.is_closing():
            return
        self._disarm()
        self._in_head = False
        self._head_bytes = self._content = self._framing = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of the body's content."""
        if self.transport.is_closing():
            return
        self._content += len(body)
        self._framing -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is whole."""
        if self.transport.is_closing():
            return
        super().on_message_complete()
        self._in_head = True
        self._unfinished = False
        self._head_bytes = self._content = self._framing = 0
        if self.cycle is not None and self.cycle.response_complete:
            self._disarm()
            self._rest()

    def on_response_complete(self) -> None:
        """The answer is written (CO4)."""
        super().on_response_complete()
        if self._unfinished and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._arm(_LINGER_SECONDS, self.transport.abort)
        elif self.transport.is_closing():
            self._arm(self.timeout_keep_alive, self.transport.abort)

    def pause_writing(self) -> None:
        """More waits to be read than may (CO6)."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        """It has been read, or nobody will read it."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """The connection was idle for too long (CO6)."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
            return
        super().timeout_keep_alive_handler()

    def _rest(self) -> None:
        """The rest of a body has gone by; the connection is idle as after any answer."""
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _head_late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._arm(self.limits.header_seconds, self._head_late)  # a pipelined one: its turn has not come
        elif self._head_bytes:
            self._end(408, f"a request's head was not whole after {self.limits.header_seconds:g} s")
        else:
            self.transport.close()  # never a byte: nobody to tell

    def _end(self, status: int, detail: str, headers: str = "") -> None:
        """Answer in place of the application, and close."""
        self._disarm()
        body = orjson.dumps({"error": detail})
        head = f"content-type: application/json\r\n{headers}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()
        self._arm(self.timeout_keep_alive, self.transport.abort)

    def _arm(self, seconds: float, late: Any) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
