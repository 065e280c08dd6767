"""A follower of files over a spool in memory, and what it put there."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from logflume import contract, model
from logflume.clock import ManualClock
from logflume.edge.packing import Packer
from logflume.edge.spool import Message
from logflume.edge.tail.followed import Limits
from logflume.edge.tail.follower import Follower
from logflume.edge.tail.gate import Gate
from logflume.edge.tail.source import Options, source
from logflume.edge.tail.turn import Blocks
from logflume.errors import Unavailable
from tests.support import edge
from tests.support.producer import Stored

DATASETS = model.load(contract.find())


class FakeSpool:
    """Keeps messages and marks at once or not at all; its content outlives any follower."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.marks: Mapping[str, bytes] = {}
        self.full = False
        self.puts = 0

    def put(self, messages: Sequence[Message], marks: Mapping[str, bytes]) -> None:
        if self.full:
            raise Unavailable("the spool is full")
        self.puts += 1
        self.messages += messages
        self.marks = {name: value for name, value in (dict(self.marks) | dict(marks)).items() if value}

    def records(self) -> list[dict[str, Any]]:
        """Every row, in the order in which they were put."""
        return [record for _, record in self.rows()]

    def rows(self) -> list[tuple[str, dict[str, Any]]]:
        """Every row with its tenant."""
        log = [Stored(m.topic, m.key, m.value, list(m.headers)) for m in self.messages]
        return edge.rows(log, DATASETS)

    def texts(self) -> list[str]:
        """The message of every row."""
        return [record["message"] for record in self.records()]

    def letters(self) -> list[bytes]:
        """The bytes of every dead letter."""
        log = [Stored(m.topic, m.key, m.value, list(m.headers)) for m in self.messages if m.topic == "dead"]
        return [letter.raw for letter in edge.letters(log, "dead")]


class Tail:
    """A follower whose time stands still but for ``settle``; ``crash`` begins another one over the same spool."""

    def __init__(
        self, *patterns: Path | str, limits: Limits | None = None, gate: Gate | None = None, **options: Any
    ) -> None:
        self.gate = gate
        named = {name: options.pop(name) for name in ("from_end", "once") if name in options}
        self.limits = limits or Limits()
        described = Options([str(pattern) for pattern in patterns], **({"tenant": "acme"} | options))
        self.source = source(described, DATASETS, self.limits.record_bytes)
        self.spool = FakeSpool()
        self.clock = ManualClock()
        self._named = named
        self.follower = self._begin()

    def _begin(self) -> Follower:
        packer = Packer(
            DATASETS,
            topic=lambda name: f"ingest.{name}",
            deadletter_topic="dead",
            edge="here",
            epoch=self.clock.now_ns(),
        )
        blocks = Blocks(packer.pack, self.gate or Gate.open(self.clock))
        return Follower([self.source], self.spool, blocks, self.clock, self.limits, host="here", **self._named)

    def crash(self) -> None:
        """Lose everything that only the process knew."""
        self.follower.close()
        self.follower = self._begin()

    def run(self) -> list[str]:
        """Scan, and read until nothing more is to be had; return all messages so far."""
        self._read()
        return self.spool.texts()

    def _read(self) -> None:
        self.follower.scan()
        while self.follower.turn():
            pass

    def settle(self) -> list[str]:
        """Let so much time pass that every last line counts as whole, a rotated file's also without newline."""
        quiet = 0
        while quiet < 4:  # a file may be known for what it is only after a while
            self._read()
            quiet = quiet + 1 if self.follower.idle else 0
            self.clock.advance(self.limits.partial_seconds)
        return self.run()


def write(path: Path, *lines: str, end: str = "\n") -> None:
    """Append ``lines``."""
    with path.open("a") as file:
        file.write("".join(line + "\n" for line in lines[:-1]) + lines[-1] + end)


def pack(path: Path) -> Path:
    """Do as ``gzip``: the packed file has the time of the other, which is deleted."""
    packed = path.with_name(path.name + ".gz")
    with path.open("rb") as plain, gzip.open(packed, "wb") as file:
        shutil.copyfileobj(plain, file)
    stat = path.stat()
    os.utime(packed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    path.unlink()
    return packed


def cut(path: Path, copy: Path | None = None) -> None:
    """Do as logrotate's ``copytruncate``."""
    if copy is not None:
        shutil.copy2(path, copy)
    os.truncate(path, 0)


def json_line(**fields: Any) -> str:
    """One record as a line."""
    return json.dumps(fields)
