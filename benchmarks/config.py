"""The configuration of ten thousand tenants: planned, applied, seen by a follower, and what following it costs.

As a module it is the follower: ``python -m benchmarks.config GENERATION SECONDS`` prints when it had that generation in
force, then what it used over so many seconds in which nothing changed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, cpu, own, peak, report
from benchmarks.services import Services, environment
from logflume.clock import SystemClock
from logflume.config.follow import Follower
from logflume.settings import Settings

JOBS = 5
_START_SECONDS = 120.0
_STEADY_SECONDS = 10.0
_MARK = "@ "


def run(running: Services, tenants: int) -> dict[str, Any]:
    """Return seconds, and CPU seconds, of each step."""
    folder = running.folder / "config-tenants"
    shutil.rmtree(folder, ignore_errors=True)
    write(folder, tenants, retention_days=30)
    settings = running.settings("config", [], tenants_dir="")
    found: dict[str, Any] = {"tenants": tenants, "jobs": tenants * JOBS}
    found["first plan"] = _command(settings, "plan", str(folder))
    found["first apply"] = _command(settings, "apply", str(folder), "--yes")
    found["start of a follower"] = _follow(settings, 1)
    change = folder / "tenant-00000.yaml"
    change.write_text(change.read_text().replace("retention_days: 30", "retention_days: 31"))
    found["plan of one tenant"] = _command(settings, "plan", str(folder))
    found |= _seen(settings, folder, 2, "one tenant")
    write(folder, tenants, retention_days=60)
    found |= _seen(settings, folder, 3, "all tenants")
    return found


def write(folder: Path, tenants: int, retention_days: int) -> None:
    """Write as many tenants' files, each with two datasets, five jobs and a token."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(tenants):
        name = f"tenant-{number:05}"
        lines = [f"name: {name}", "datasets:", "  http_requests:", f"  events: {{retention_days: {retention_days}}}"]
        lines.append("jobs:")
        for job in range(JOBS):
            dataset = "events" if job % 2 else "http_requests"
            lines += [f"  job-{job}:", f"    dataset: {dataset}", f"    destination: s3://bucket-{name}/logs/{job}"]
            lines += ["    format: parquet", "    max_age_seconds: 60"]
        lines += ["tokens:", f'  - {{id: "{number:08x}", sha256: "{number:064x}"}}']
        (folder / f"{name}.yaml").write_text("\n".join(lines) + "\n")


def _seen(settings: Settings, folder: Path, generation: int, what: str) -> dict[str, Any]:
    """Apply a change while a follower waits for it."""
    follower = _start(settings, generation)
    _said(follower)  # it has what is in force before
    applied = _command(settings, "apply", str(folder), "--yes", "--json")
    taken = float(_said(follower))
    steady = json.loads(_said(follower))
    follower.communicate()
    return {
        f"apply, {what} changed": applied,
        f"until a follower has it, {what} changed": {"seconds": max(0.0, taken - applied["ended"])},
        f"steady, {what} changed": {
            "cpu_percent": steady["cpu_seconds"] / steady["wall_seconds"] * 100,
            "peak_bytes": steady["peak_bytes"],
        },
    }


def _follow(settings: Settings, generation: int) -> dict[str, Any]:
    started = time.time()
    follower = _start(settings, generation)
    _said(follower)
    taken = float(_said(follower))
    follower.communicate()
    return {"seconds": taken - started}


def _start(settings: Settings, generation: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.config", str(generation), str(_STEADY_SECONDS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(settings), cwd=ROOT)


def _said(follower: subprocess.Popen[str]) -> str:
    """What a follower says next; it may log lines between."""
    assert follower.stdout is not None
    for line in follower.stdout:
        if line.startswith(_MARK):
            return line.removeprefix(_MARK)
    raise RuntimeError("the follower ended")


def _command(settings: Settings, *arguments: str) -> dict[str, Any]:
    """Run ``logflume config …`` as an operator does, its start included."""
    program = str(Path(sys.executable).with_name("logflume"))
    before, started = cpu(os.getpid()), time.perf_counter()
    subprocess.run(
        [program, "config", *arguments], stdout=subprocess.DEVNULL, check=True, env=environment(settings), cwd=ROOT
    )
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cpu_seconds": cpu(os.getpid()) - before, "ended": time.time()}


def main() -> None:
    """Follow, in a process of its own."""
    generation, seconds = int(sys.argv[1]), float(sys.argv[2])
    with Follower(Settings(), SystemClock()) as follower:
        follower.wait(_START_SECONDS)
        print(f"{_MARK}ready", flush=True)
        while follower.current().generation < generation:
            time.sleep(0.01)
        print(f"{_MARK}{time.time()}", flush=True)
        time.sleep(1)  # what it does after taking it up is no steady cost
        with own() as used:
            time.sleep(seconds)
        used.peak_bytes = peak(os.getpid())
        print(_MARK, end="")
        report(used)


if __name__ == "__main__":
    main()
