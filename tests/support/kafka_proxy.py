"""Proxies between a client and a real broker, for what a broker does at a moment that a test can't choose.

They refuse the first message, as a broker does that just came up, or know of no broker any more, as the last one does
that shuts down. They speak as much of the protocol as that takes: https://kafka.apache.org/protocol (Produce versions
9 to 12, Metadata from 9 on).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

NOT_LEADER = 6
_PRODUCE, _METADATA = 0, 3
_HOST = b"127.0.0.1"
_TOGETHER_SECONDS = 3.0


@dataclass
class Proxy:
    """Passes everything on between clients and a broker; those below change something of it."""

    broker: tuple[str, int]
    address: str = ""

    def serve(self, downstream: socket.socket) -> None:
        """Serve one client, until it or the broker goes."""
        with suppress(OSError), downstream, socket.create_connection(self.broker) as upstream:
            threading.Thread(target=self._answers, args=(upstream, downstream), daemon=True).start()
            while (request := _frame(downstream)) is not None:
                if (passed := self._asked(request, downstream)) is not None:
                    _send(upstream, passed)

    def _answers(self, upstream: socket.socket, downstream: socket.socket) -> None:
        with suppress(OSError):
            while (answer := _frame(upstream)) is not None:
                self._answered(answer, downstream)

    def _asked(self, request: bytes, downstream: socket.socket) -> bytes | None:
        """What the broker hears of a request; None: nothing."""
        return request

    def _answered(self, answer: bytes, downstream: socket.socket) -> None:
        """Send an answer on, with our address for the broker's: all that it says in Metadata goes through us."""
        there, here = (_HOST + struct.pack(">i", port) for port in (self.broker[1], _place(self.address)[1]))
        _send(downstream, answer.replace(there, here))


@dataclass
class RefusingProxy(Proxy):
    """Refuses the first Produce request, once another was sent behind it or ``_TOGETHER_SECONDS`` have passed."""

    refused: list[int] = field(default_factory=list)
    """The refused requests' correlation ids."""
    behind: list[bool] = field(default_factory=list)
    """Of each refused request: whether a second one was in flight when it was refused."""

    def _asked(self, request: bytes, downstream: socket.socket) -> bytes | None:
        if struct.unpack_from(">h", request)[0] != _PRODUCE or self.refused:
            return request
        self.refused.append(struct.unpack_from(">i", request, 4)[0])
        following = self._next(downstream)
        self.behind.append(following is not None)
        _send(downstream, _refusal(request))
        return following

    def _next(self, downstream: socket.socket) -> bytes | None:
        downstream.settimeout(_TOGETHER_SECONDS)
        try:
            return _frame(downstream)
        except TimeoutError:
            return None
        finally:
            downstream.settimeout(None)


@dataclass
class ForgettingProxy(Proxy):
    """Passes everything on, until ``forget``: the next Metadata answers name no broker, and end their connections."""

    _forgets: threading.Event = field(default_factory=threading.Event)
    _versions: dict[tuple[int, int], int] = field(default_factory=dict)
    """Of each Metadata request that was not answered, by its connection and correlation id."""

    def forget(self) -> None:
        """See above; ``remember`` ends it."""
        self._forgets.set()

    def remember(self) -> None:
        """Pass everything on again."""
        self._forgets.clear()

    def _asked(self, request: bytes, downstream: socket.socket) -> bytes | None:
        key, version, correlation = struct.unpack_from(">hhi", request)
        if key == _METADATA:
            self._versions[id(downstream), correlation] = version
        return request

    def _answered(self, answer: bytes, downstream: socket.socket) -> None:
        version = self._versions.pop((id(downstream), struct.unpack_from(">i", answer)[0]), None)
        if version is None or not self._forgets.is_set():
            super()._answered(answer, downstream)
            return
        assert version >= 9, version
        _send(downstream, _without_brokers(answer))
        downstream.shutdown(socket.SHUT_RDWR)


@contextmanager
def refusing_proxy(bootstrap: str) -> Iterator[RefusingProxy]:
    """Run the proxy before the broker at ``bootstrap``, until all is closed."""
    proxy = RefusingProxy(_place(bootstrap))
    with _listening(proxy):
        yield proxy


@contextmanager
def forgetting_proxy(bootstrap: str) -> Iterator[ForgettingProxy]:
    """Run the proxy before the broker at ``bootstrap``, until all is closed."""
    proxy = ForgettingProxy(_place(bootstrap))
    with _listening(proxy):
        yield proxy


@contextmanager
def _listening(proxy: Proxy) -> Iterator[None]:
    with socket.create_server((_HOST.decode(), 0)) as listener:
        proxy.address = f"{_HOST.decode()}:{listener.getsockname()[1]}"

        def accept() -> None:
            while True:
                try:
                    downstream, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=proxy.serve, args=(downstream,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield


def _place(bootstrap: str) -> tuple[str, int]:
    host, _, port = bootstrap.rpartition(":")
    return host, int(port)


def _without_brokers(answer: bytes) -> bytes:
    """A Metadata answer whose list of brokers is empty."""
    start = at = 4 + 1 + 4  # correlation id, tags, throttle time
    count, at = _varint(answer, at)
    for _ in range(count - 1):
        at += 4  # node id
        host, at = _varint(answer, at)
        at += host - 1 + 4  # port
        rack, at = _varint(answer, at)
        at += max(rack - 1, 0)
        tags, at = _varint(answer, at)
        assert tags == 0
    return answer[:start] + bytes([1]) + answer[at:]


def _frame(source: socket.socket) -> bytes | None:
    head = _exactly(source, 4)
    return None if head is None else _exactly(source, struct.unpack(">i", head)[0])


def _exactly(source: socket.socket, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        part = source.recv(count - len(found))
        if not part:
            return None
        found += part
    return bytes(found)


def _send(to: socket.socket, frame: bytes) -> None:
    to.sendall(struct.pack(">i", len(frame)) + frame)


def _refusal(request: bytes) -> bytes:
    """The answer NOT_LEADER_OR_FOLLOWER to a Produce request for one partition."""
    version, correlation = struct.unpack_from(">hi", request, 2)
    assert 9 <= version <= 12, version
    at = 8
    (length,) = struct.unpack_from(">h", request, at)
    at += 2 + max(length, 0) + 1  # client id, tags
    transactional, at = _varint(request, at)
    at += max(transactional - 1, 0) + 2 + 4  # acks, time-out
    topics, at = _varint(request, at)
    name_length, start = _varint(request, at)
    at = start + name_length - 1
    name = request[start:at]
    partitions, at = _varint(request, at)
    assert (topics, partitions) == (2, 2), "librdkafka sends one partition a request"
    (partition,) = struct.unpack_from(">i", request, at)
    answer = struct.pack(">ihqqq", partition, NOT_LEADER, -1, -1, -1) + bytes([1, 0, 0])
    body = bytes([2, len(name) + 1]) + name + bytes([2]) + answer + bytes([0]) + struct.pack(">i", 0) + bytes([0])
    return struct.pack(">i", correlation) + bytes([0]) + body


def _varint(source: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = source[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
