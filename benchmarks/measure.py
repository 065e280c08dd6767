"""What a process cost: CPU seconds of all its threads and children, and the most memory it ever held."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Used:
    """One process, or several put together."""

    cpu_seconds: float
    peak_bytes: int


def cpu(pid: int) -> float:
    """User and system seconds so far, of the process, its children, and those children that have ended."""
    family = [psutil.Process(pid)]
    family += family[0].children(recursive=True)
    times = [process.cpu_times() for process in family]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


def peak(pid: int) -> int:
    """The most resident memory of the process and of each of its children, in bytes (``VmHWM``)."""
    family = [psutil.Process(pid)]
    family += family[0].children(recursive=True)
    return sum(_high_water(process.pid) for process in family)


def _high_water(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@dataclass(slots=True)
class Own:
    """What this process used inside ``own``."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_bytes: int = 0
    more: dict[str, float] = field(default_factory=dict)


@contextmanager
def own() -> Iterator[Own]:
    """Measure this process over the block; the peak is from its start."""
    found = Own()
    wall, used = time.perf_counter(), time.process_time()
    yield found
    found.wall_seconds = time.perf_counter() - wall
    found.cpu_seconds = time.process_time() - used
    found.peak_bytes = _high_water(os.getpid())


def report(found: Own) -> None:
    """Print what was measured for ``child``."""
    print(json.dumps(asdict(found)))


def child(part: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Own:
    """Run a part of the bench in a process of its own and return what it reports; its errors end the bench."""
    command = [sys.executable, "-m", f"benchmarks.{part}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment, cwd=ROOT)
    return Own(**json.loads(done.stdout.splitlines()[-1]))
