"""A local stack of a drill's own, with all that can be done to its processes.

G1  Only processes of this stack are signalled, each by its pid at that moment.
G2  Whatever happens, ``close`` stops the stack; a process that a drill had paused is let go before.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import psutil

from logflume.drill import gauges
from logflume.drill import tenant as tenants_
from logflume.drill.ground import Applied, Ground, Say
from logflume.drill.tenant import DrillTenant
from logflume.errors import Retryable
from logflume.local.stack import READY_SECONDS, Part, Stack
from logflume.local.supervisor import DRAIN_SECONDS
from logflume.settings import PREFIX, GivenSettings

_APPEAR_SECONDS = 60.0
_COMMAND_SECONDS = 120.0
_REFUSED = 3
_GROWTH = re.compile(r"--accept-growth-of (\d+)")

FRESH: dict[str, Any] = {
    "kafka_bootstrap": "",
    "store_url": "",
    "tenants_dir": "",
    "local_edges": 1,
    "local_explorers": 0,
    "local_carers": 0,
}
"""Settings of a stack of one's own, whatever the user has set: nothing that is there already."""


class OwnGround(Ground):
    """A local stack in ``folder``; see G1 and G2."""

    ours = True

    def __init__(self, folder: Path, say: Say, **settings: Any) -> None:
        given = GivenSettings(state_dir=folder, **(FRESH | settings))
        super().__init__(folder, given)
        self._stack = Stack(given)
        self._say = say
        self._paused: dict[str, psutil.Process] = {}

    def __enter__(self) -> OwnGround:
        try:
            self.settings = self._stack.up(self._say)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop everything (G2)."""
        for name in list(self._paused):
            self.resume(name)
        self._stack.down(self._say)

    def declare(self, tenants: Iterable[DrillTenant], *, tokens: bool = True) -> None:
        """Write tenants' files; they are in force when the stack comes up, or with ``apply``."""
        tenants_.write(self.folder / "tenants", tenants, tokens=tokens)

    def apply(self, why: str) -> Applied:
        """See ``Ground``."""
        command = ("config", "apply", str(self.folder / "tenants"), "--yes", "--why", why)
        done = self.command(*command)
        asked = _GROWTH.search(done.stderr)
        if done.returncode != _REFUSED or asked is None:
            return Applied(done.returncode, done.stderr.strip())
        again = self.command(*command, "--accept-growth-of", asked[1])
        return Applied(again.returncode, again.stderr.strip(), done.stderr.strip())

    def command(self, *arguments: str) -> CompletedProcess[str]:
        """Run ``logflume`` on this stack as an operator would."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return subprocess.run(
            [sys.executable, "-m", "logflume", *arguments],
            env=clean | {PREFIX + "STATE_DIR": str(self.folder)},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_SECONDS,
        )

    # --- what is there --------------------------------------------------------------------------------------------

    def parts(self) -> list[Part]:
        """Every process of the stack."""
        return self._stack.status()

    # --- what can be done to it -----------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """``kill -9``; supervisord starts another in its place. Returns when it is gone."""
        process = self._process(name)
        process.kill()
        _wait_gone(process, _APPEAR_SECONDS)

    def restart(self, name: str) -> None:
        """See ``Ground``."""
        process = self._process(name)
        process.terminate()
        if not _wait_gone(process, DRAIN_SECONDS):
            raise Retryable(f"{name} has not ended within {DRAIN_SECONDS} s of SIGTERM")
        [health] = [part.health for part in self.parts() if part.name == name]
        deadline = time.monotonic() + READY_SECONDS
        while (reason := gauges.trouble(health)) is not None:
            if time.monotonic() > deadline:
                raise Retryable(f"{name} is not ready again: {reason}")
            time.sleep(0.1)

    def pause(self, name: str) -> None:
        """SIGSTOP: it keeps its memory, sockets and locks, and does nothing."""
        self._paused[name] = self._process(name)
        self._paused[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self._paused.pop(name).send_signal(signal.SIGCONT)

    def _process(self, name: str) -> psutil.Process:
        """The process that has this name now; waits for one that is being started."""
        deadline = time.monotonic() + _APPEAR_SECONDS
        while True:
            found = next((part.pid for part in self.parts() if part.name == name and part.pid), None)
            if found is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    return psutil.Process(found)
            if time.monotonic() > deadline:
                raise Retryable(f"{name} does not run in {self.folder}; see `logflume local status`")
            time.sleep(0.1)


def _wait_gone(process: psutil.Process, seconds: float) -> bool:
    """Wait until a process has ended; whether it has."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(psutil.NoSuchProcess):
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
    return True
