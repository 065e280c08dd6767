"""Where a drill takes place: a local stack of its own, with what can be done to its processes.

G1  Only processes of this stack are signalled, each by its pid at that moment.
G2  Whatever happens, ``close`` stops the stack; a process that a drill had paused is let go before.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from logflume import contract, model
from logflume.drill import tenant as tenants_
from logflume.drill.tenant import DrillTenant
from logflume.errors import Retryable
from logflume.local.stack import Part, Stack
from logflume.model import Datasets
from logflume.settings import GivenSettings, Settings

Say = Callable[[str], None]

WORKERS = ("edge", "sort", "sink", "watch")
"""Kinds of processes that are Logflume's."""

_APPEAR_SECONDS = 60.0

FRESH: dict[str, Any] = {"kafka_bootstrap": "", "store_url": "", "tenants_dir": "", "local_edges": 1}
"""Settings of a stack of one's own, whatever the user has set: nothing that is there already."""


class Ground:
    """A local stack in ``folder``; used in a ``with`` block."""

    def __init__(self, folder: Path, say: Say, **settings: Any) -> None:
        self.given = GivenSettings(state_dir=folder, **(FRESH | settings))
        self.folder = folder
        self._stack = Stack(self.given)
        self._say = say
        self._paused: dict[str, psutil.Process] = {}
        self.settings: Settings = self.given
        self.datasets: Datasets = model.load(contract.find(self.given.topics_dir))

    def __enter__(self) -> Ground:
        try:
            self.settings = self._stack.up(self._say)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything (G2)."""
        for name in list(self._paused):
            self.resume(name)
        self._stack.down(self._say)

    def declare(self, tenants: Iterable[DrillTenant]) -> None:
        """Make tenants known; before the stack is up."""
        tenants_.write(self.folder / "tenants", tenants)

    @property
    def quiet(self) -> Settings:
        """Settings whose Kafka clients do not tell of a broker that is down: a drill took it down itself."""
        return self.settings.model_copy(update={"kafka_options": {**self.settings.kafka_options, "log_level": "0"}})

    # --- what is there --------------------------------------------------------------------------------------------

    def parts(self) -> list[Part]:
        """Every process of the stack."""
        return self._stack.status()

    def workers(self) -> list[Part]:
        """Logflume's own processes."""
        return [part for part in self.parts() if kind(part.name) in WORKERS]

    def names(self, of: str) -> list[str]:
        """The processes of a kind."""
        return [part.name for part in self.parts() if kind(part.name) == of]

    def edge(self) -> str:
        """Where records are taken by HTTP."""
        return next(part.address for part in self.parts() if kind(part.name) == "edge")

    # --- what can be done to it -----------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """``kill -9``; supervisord starts another in its place. Returns when it is gone."""
        process = self._process(name)
        process.kill()
        deadline = time.monotonic() + _APPEAR_SECONDS
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            time.sleep(0.02)

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


def kind(name: str) -> str:
    """What sort of process a part is: ``sink`` of ``sink-1``."""
    return name.partition("-")[0]


def budget(settings: Settings, name: str) -> int | None:
    """Bytes that a process of Logflume may use for what passes through it; None: it is not ours."""
    budgets = {
        "edge": settings.edge_memory_bytes + settings.edge_http_work_bytes,
        "sort": settings.sort_memory_bytes,
        "sink": settings.sink_memory_bytes,
        "watch": 0,
    }
    return budgets.get(kind(name))
