"""What a query's process sends is not trusted: it may be anything, whatever it had become."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import threading
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest

from logflume.errors import Refused, Retryable
from logflume.explore.engine import frames
from logflume.explore.engine.engine import Engine, TooLarge
from logflume.explore.engine.forks import Child, Forks
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.tables import SMALL, append

SCHEMA = pa.schema({"RayID": pa.string()})
BATCH = pa.record_batch({"RayID": ["a"]}).serialize().to_pybytes()


def bomb() -> bytes:
    """A few kilobytes that become 60 MB when they are read."""
    rows, stream = pa.record_batch({"RayID": ["x" * 60_000_000]}), pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write(rows)
    _, batch, *_ = pa.ipc.MessageReader.open_stream(stream.getvalue())
    return batch.serialize().to_pybytes()


def frame(kind: bytes, payload: bytes, length: int | None = None) -> bytes:
    return frames.HEAD.pack(kind, len(payload) if length is None else length) + payload


OPENING = frame(frames.SCHEMA, SCHEMA.serialize().to_pybytes())


class Hostile(Forks):
    """Its children take their task, and send what they were told to."""

    def __init__(self, sends: bytes) -> None:
        super().__init__()
        self._sends = sends
        self._body = subprocess.Popen(["sleep", "60"])

    def start(self) -> None:
        """Nothing to start."""

    def make(self) -> Child:
        """A child that is only a socket's other end; what is ended is a process of its own."""
        ours, theirs = socket.socketpair()
        threading.Thread(target=self._send, args=(theirs,), daemon=True).start()
        return Child(ours, os.pidfd_open(self._body.pid))

    def _send(self, to: socket.socket) -> None:
        with to, contextlib.suppress(ConnectionError):  # the parent may have read enough
            frames.receive_place(to)
            frames.receive_task(to)
            to.sendall(self._sends)

    def ended(self) -> bool:
        return self._body.wait(5) != 0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(f"file://{tmp_path}")
    append(store, ["a"])
    return store


def ask(store: Store, sends: bytes) -> list[str]:
    hostile = Hostile(sends)

    async def go() -> list[str]:
        engine = Engine(Settings(), store, {"http_requests": SMALL}, forks=hostile)
        await engine.start()
        try:
            async with engine.query("acme", "SELECT RayID FROM http_requests") as answer:
                return [value for batch in [b async for b in answer.batches()] for value in batch["RayID"].to_pylist()]
        finally:
            await engine.close()

    try:
        return asyncio.run(asyncio.wait_for(go(), 10))
    finally:
        assert hostile.ended()


def test_what_a_process_sends_in_order_is_the_answer(store: Store) -> None:
    assert ask(store, OPENING + frame(frames.BATCH, BATCH) * 2 + frame(frames.DONE, b"{}")) == ["a", "a"]


@pytest.mark.parametrize(
    "sends",
    [
        frame(frames.SCHEMA, b"no schema"),
        frame(frames.SCHEMA, b""),
        OPENING + frame(frames.BATCH, b"no batch"),
        OPENING + frame(frames.BATCH, BATCH[:-16]),
        OPENING + frame(frames.BATCH, pa.record_batch({"x": [1], "y": [2]}).serialize().to_pybytes()),
        OPENING + frame(frames.BATCH, b"x", length=frames.MOST_BYTES + 1),
        frame(frames.FAILED, b"no JSON"),
        frame(frames.FAILED, b"[1, 2]"),
        frame(frames.FAILED, b'"text"'),
        frame(frames.FAILED, b'{"kind": "broken", "text": {"a": 1}}'),
        frame(frames.FAILED, b'{"kind": "broken"}'),
    ],
)
def test_what_is_no_answer_costs_its_own_query_and_may_be_asked_again(store: Store, sends: bytes) -> None:
    with pytest.raises(Retryable):
        ask(store, sends)


@pytest.mark.parametrize("sends", [b"", b"B", frame(b"?", b"x"), OPENING, OPENING + frame(frames.BATCH, BATCH)[:-5]])
def test_an_answer_that_ends_before_its_end_is_a_process_that_died(store: Store, sends: bytes) -> None:
    with pytest.raises(TooLarge, match="process has died"):
        ask(store, sends)


def test_a_frame_of_many_bytes_is_not_read(store: Store) -> None:
    """A process that lies takes from its parent what one frame may have, and no more."""
    tracemalloc.start()
    try:
        for sends in (
            OPENING + frame(frames.BATCH, bytes(128 << 20), length=1 << 30),
            OPENING + frame(frames.BATCH, bytes(64 << 20) + b"x"),
            OPENING + frame(frames.BATCH, bomb()),
        ):
            before, held = tracemalloc.get_traced_memory()[0], pa.total_allocated_bytes()
            tracemalloc.reset_peak()
            with pytest.raises(Retryable, match=r"at once|compressed batch"):
                ask(store, sends)
            assert tracemalloc.get_traced_memory()[1] - before < 8 << 20
            assert pa.total_allocated_bytes() - held < 1 << 20
    finally:
        tracemalloc.stop()


def test_what_it_refuses_is_told(store: Store) -> None:
    with pytest.raises(Refused, match="can't run: No field x in http_requests"):
        ask(store, frame(frames.FAILED, frames.failure("refused", "No field x in datafusion.public.http_requests")))
