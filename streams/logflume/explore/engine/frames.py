"""What a query's process and its parent say to each other, over one stream socket.

Down: where and within which limits it will run, and later one task (pickled: the parent is trusted). Up: a schema,
batches, and at the end ``Done`` or ``Failed``; a stream that ends before is a process that died. What comes up is not
trusted: lengths are bounded, batches are validated.
"""

from __future__ import annotations

import pickle
import socket
import struct
from dataclasses import dataclass
from typing import Final

import orjson
import pyarrow as pa

BUCKET: Final = "q"
"""Under which the gateway has the files of a query's tables."""

HEAD: Final = struct.Struct("!cQ")
SCHEMA: Final = b"S"
BATCH: Final = b"B"
DONE: Final = b"D"
FAILED: Final = b"F"
MOST_BYTES: Final = 1 << 30
"""Of one frame; a batch has 8,192 rows, or those that fit into the process's memory."""
_TEXT: Final = 4_000


@dataclass(frozen=True, slots=True)
class TableTask:
    """A table as the query's process sees it: a folder of Parquet files at the gateway, named as the table.

    ``date``: its column that is not in the files but in their folders' names. ``where``: a condition on all its rows,
    or empty.
    """

    name: str
    schema: pa.Schema
    date: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a query will run: the gateway's ``port``, and its limits. All that is known before there is a query."""

    port: int
    memory_bytes: int
    cpu_seconds: int
    threads: int
    confined: bool


@dataclass(frozen=True, slots=True)
class Task:
    """One query. ``key`` opens what it may read at the gateway."""

    sql: str
    tables: tuple[TableTask, ...]
    key: str


class Refusal(Exception):
    """The process's query can't run; the text says why."""


def send_place(to: socket.socket, place: Place) -> None:
    """Say where a query will run; the process makes itself ready for its task."""
    _send(to, b"P", place)


def send_task(to: socket.socket, task: Task) -> None:
    """Send a task; blocks until it is handed over."""
    _send(to, b"T", task)


def receive_place(of: socket.socket) -> Place:
    """Receive where to run; ``EOFError`` when the parent is gone."""
    place = _receive(of)
    assert isinstance(place, Place)
    return place


def receive_task(of: socket.socket) -> Task:
    """Receive the task; ``EOFError`` when there is none to come."""
    task = _receive(of)
    assert isinstance(task, Task)
    return task


def send(to: socket.socket, kind: bytes, payload: pa.Buffer | bytes) -> None:
    """Send one frame up; blocks while the parent does not read."""
    view = memoryview(payload).cast("B")
    to.sendall(HEAD.pack(kind, len(view)))
    to.sendall(view)


def failure(kind: str, text: str) -> bytes:
    """Return the payload of ``FAILED``: what sort of failure, and a bounded text."""
    return orjson.dumps({"kind": kind, "text": text[:_TEXT]})


def _send(to: socket.socket, kind: bytes, what: Place | Task) -> None:
    data = pickle.dumps(what)
    to.sendall(HEAD.pack(kind, len(data)) + data)


def _receive(of: socket.socket) -> object:
    _, length = HEAD.unpack(_exactly(of, HEAD.size))
    return pickle.loads(_exactly(of, length))


def _exactly(of: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        part = of.recv(min(length - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
