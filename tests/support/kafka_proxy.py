"""A proxy between one producer and a real broker that refuses the first messages, as a broker does that just came up.

It speaks as much of Kafka's protocol as that takes: https://kafka.apache.org/protocol (Produce versions 9 to 12).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

NOT_LEADER = 6
_PRODUCE = 0
_HOST = b"127.0.0.1"
_TOGETHER_SECONDS = 3.0


@dataclass
class RefusingProxy:
    """Refuses the first Produce request, once another was sent behind it or ``_TOGETHER_SECONDS`` have passed."""

    broker: tuple[str, int]
    address: str = ""
    refused: list[int] = field(default_factory=list)
    """The refused requests' correlation ids."""
    behind: list[bool] = field(default_factory=list)
    """Of each refused request: whether a second one was in flight when it was refused."""

    def _serve(self, downstream: socket.socket) -> None:
        upstream = socket.create_connection(self.broker)
        answers = threading.Thread(target=self._answers, args=(upstream, downstream), daemon=True)
        answers.start()
        try:
            while (request := _frame(downstream)) is not None:
                if struct.unpack_from(">h", request)[0] == _PRODUCE and not self.refused:
                    self.refused.append(struct.unpack_from(">i", request, 4)[0])
                    following = self._next(downstream)
                    self.behind.append(following is not None)
                    _send(downstream, _refusal(request))
                    if following is None:
                        continue
                    request = following
                _send(upstream, request)
        except OSError:
            pass
        finally:
            upstream.close()
            downstream.close()

    def _next(self, downstream: socket.socket) -> bytes | None:
        downstream.settimeout(_TOGETHER_SECONDS)
        try:
            return _frame(downstream)
        except TimeoutError:
            return None
        finally:
            downstream.settimeout(None)

    def _answers(self, upstream: socket.socket, downstream: socket.socket) -> None:
        here = _HOST + struct.pack(">i", int(self.address.rpartition(":")[2]))
        there = _HOST + struct.pack(">i", self.broker[1])
        try:
            while (answer := _frame(upstream)) is not None:
                _send(downstream, answer.replace(there, here))  # the addresses in Metadata: everything goes through us
        except OSError:
            pass


@contextmanager
def refusing_proxy(bootstrap: str) -> Iterator[RefusingProxy]:
    """Run the proxy before the broker at ``bootstrap``, until all is closed."""
    host, _, port = bootstrap.rpartition(":")
    with socket.create_server((_HOST.decode(), 0)) as listener:
        proxy = RefusingProxy((host, int(port)), f"{_HOST.decode()}:{listener.getsockname()[1]}")

        def accept() -> None:
            while True:
                try:
                    downstream, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=proxy._serve, args=(downstream,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield proxy


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
