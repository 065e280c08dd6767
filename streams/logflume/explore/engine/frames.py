"""What a query's process and its parent say to each other, over one stream socket.

Down: where and within which limits it will run, and later one task (pickled: the parent is trusted). Up: a schema,
batches, and at the end ``Done`` or ``Failed``; a stream that ends before is a process that died. What comes up is not
trusted: lengths are bounded, what would grow when it is read is refused, batches are validated.
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
MOST_BYTES: Final = 64 << 20
"""Of one frame, which the parent holds as a whole: a process cuts its batches so."""
_BATCH_COMPRESSION: Final = 3
"""The number of ``compression`` among the fields of a RecordBatch (Arrow's Message.fbs)."""
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
    """One query. ``key`` opens what it may read at the gateway. ``gathers``: see ``Checked``."""

    sql: str
    tables: tuple[TableTask, ...]
    key: str
    gathers: bool = False


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


def send_rows(to: socket.socket, rows: pa.RecordBatch) -> None:
    """Send rows up, in as many frames as their bytes want. Raises ``Refusal`` for one row that fits into none."""
    size = pa.ipc.get_record_batch_size(rows)
    if size <= MOST_BYTES:
        send(to, BATCH, rows.serialize())
        return
    if rows.num_rows == 1:
        raise Refusal(f"one row of the answer has {size:,} bytes, and {MOST_BYTES:,} are the most; ask for less of it")
    half = rows.num_rows // 2
    send_rows(to, rows.slice(0, half))
    send_rows(to, rows.slice(half))


def read_rows(payload: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """Return the rows of a batch's frame. Raises ``ValueError`` or Arrow's own errors when it is none of ours."""
    message = pa.ipc.read_message(pa.py_buffer(payload))
    if _is_compressed(message.metadata.to_pybytes()):
        raise ValueError("a compressed batch, which may have any size")
    batch = pa.ipc.read_record_batch(message, schema)
    batch.validate(full=True)
    return batch


def _is_compressed(metadata: bytes) -> bool:
    """Whether a message is a batch with compression: pyarrow does not say so before all of it is unpacked."""
    try:
        header = _member(metadata, _at(metadata, 0, "<I"), 2)
        return header is None or _member(metadata, header + _at(metadata, header, "<I"), _BATCH_COMPRESSION) is not None
    except struct.error as error:
        raise ValueError("a message that ends before its end") from error


def _member(data: bytes, table: int, number: int) -> int | None:
    """Where a member of a flatbuffer's table lies; None: it has none."""
    members = table - _at(data, table, "<i")
    if 4 + 2 * number >= _at(data, members, "<H"):
        return None
    offset = _at(data, members + 4 + 2 * number, "<H")
    return table + offset if offset else None


def _at(data: bytes, place: int, form: str) -> int:
    if place < 0:
        raise ValueError("a message that points before its beginning")
    (value,) = struct.unpack_from(form, data, place)
    return int(value)


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
