"""Processes of queries: watched, and handed a task without the checks of its SQL."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection
from pathlib import Path

import orjson
import pyarrow as pa

from logflume.explore.engine import frames
from logflume.explore.engine.forks import Child, Forks
from logflume.explore.engine.frames import Place, TableTask, Task
from logflume.explore.gateway import Gateway
from logflume.explore.snapshots import Snapshots
from logflume.table.schema import DATE
from logflume.table.store import Store


class Watched(Forks):
    """Remembers the processes that it made."""

    def __init__(self) -> None:
        super().__init__()
        self.pids: list[int] = []

    def make(self) -> Child:
        """Make one."""
        child = super().make()
        told = Path(f"/proc/self/fdinfo/{child.handle}").read_text()
        self.pids.append(int(told.partition("Pid:")[2].split()[0]))
        return child


def handles() -> int:
    """Descriptors of other processes, and of sockets to them, that are open here.

    Not those of connections to a store or to Kafka: whoever had one before opens and closes it when it likes.
    """
    near = {line.split()[6] for line in Path("/proc/net/unix").read_text().splitlines()[1:]}
    return sum(_is_near(number, near) for number in Path("/proc/self/fd").iterdir())


def _is_near(number: Path, near: Collection[str]) -> bool:
    try:
        what = str(number.readlink())
    except OSError:  # it was closed meanwhile
        return False
    return "pidfd" in what or what.removeprefix("socket:[").rstrip("]") in near


async def gone(pid: int, seconds: float = 10.0) -> None:
    """A zombie counts: nobody reaps it who should."""
    async with asyncio.timeout(seconds):
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)


class Inside:
    """A process of one query that is handed a task by hand; the gateway holds passes of two tenants."""

    def __init__(self, store: Store, forks: Forks, gateway: Gateway) -> None:
        self._forks = forks
        self._gateway = gateway
        snapshots = [Snapshots(store).read(tenant, "http_requests") for tenant in ("acme", "globex")]
        own, theirs = (
            snapshot.objects(n, snapshot.files) for n, snapshot in zip(("own", "theirs"), snapshots, strict=True)
        )
        self.key, self.their_key = gateway.admit(own).key, gateway.admit(theirs).key
        self._schema = snapshots[0].schema
        self.largest = 0
        """Bytes of the largest frame of the last task."""

    def __call__(
        self,
        sql: str,
        *,
        confined: bool,
        tables: tuple[str, ...] = ("own",),
        key: str = "",
        memory_bytes: int = 100_000_000,
    ) -> tuple[str, int]:
        """Return what failed, or nothing, and how many rows came."""
        place = Place(self._gateway.port, memory_bytes, cpu_seconds=10, threads=1, confined=confined)
        task = Task(sql, tuple(TableTask(name, self._schema, DATE) for name in tables), key or self.key)
        child = self._forks.make()
        try:
            child.stream.settimeout(120)
            frames.send_place(child.stream, place)
            frames.send_task(child.stream, task)
            return self._read(child.stream)
        finally:
            child.end()

    def _read(self, stream: socket.socket) -> tuple[str, int]:
        schema, rows, self.largest = None, 0, 0
        with stream.makefile("rb") as up:
            while head := up.read(frames.HEAD.size):
                kind, length = frames.HEAD.unpack(head)
                payload = up.read(length)
                self.largest = max(self.largest, length)
                if kind == frames.FAILED:
                    return orjson.loads(payload)["text"], rows
                if kind == frames.SCHEMA:
                    schema = pa.ipc.read_schema(pa.py_buffer(payload))
                elif kind == frames.BATCH:
                    rows += pa.ipc.read_record_batch(pa.py_buffer(payload), schema).num_rows
                else:
                    return "", rows
        return "died", rows
