"""Where a drill takes place, and what it may do there.

G1  Only processes of the drill's own are signalled, each by its pid at that moment.
G2  Whatever happens, ``close`` ends what the drill has started; a process that it had paused is let go before.
G3  No tenant but those of drills is written, changed or taken away.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from types import TracebackType

from logflume import contract, model
from logflume.drill.tenant import DrillTenant
from logflume.errors import Misconfigured
from logflume.local.stack import Part
from logflume.model import Datasets
from logflume.settings import Settings

Say = Callable[[str], None]

WORKERS = ("edge", "sort", "sink", "watch", "care", "explore")
"""Kinds of processes that are Logflume's."""


@dataclass(frozen=True, slots=True)
class Applied:
    """How putting tenants in force went: the exit code, what was told, and what a guard said before it was answered."""

    code: int
    told: str
    refused: str = ""


class Ground(ABC):
    """See G1 to G3; used in a ``with`` block."""

    ours: bool
    """Whether the whole stack is the drill's, and nobody else's rows go through it."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.datasets: Datasets = model.load(contract.find(settings.topics_dir))

    @abstractmethod
    def __enter__(self) -> Ground: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End it (G2)."""

    @abstractmethod
    def declare(self, tenants: Iterable[DrillTenant], *, tokens: bool = True) -> None:
        """Note tenants, new or changed; they are in force when the ground is entered, or with ``apply``."""

    @abstractmethod
    def apply(self, why: str) -> Applied:
        """Put the tenants that were declared in force, naming the number of new pairs where a guard asks for it."""

    @abstractmethod
    def parts(self) -> list[Part]:
        """Every process that the drill may look at."""

    def workers(self) -> list[Part]:
        """Logflume's own processes among them."""
        return [part for part in self.parts() if kind(part.name) in WORKERS]

    def names(self, of: str) -> list[str]:
        """The processes of a kind."""
        return [part.name for part in self.parts() if kind(part.name) == of]

    def edges(self) -> list[str]:
        """Where records are taken by HTTP."""
        return [part.address for part in self.parts() if kind(part.name) == "edge"]

    @property
    def quiet(self) -> Settings:
        """Settings whose Kafka clients do not tell of a broker that is down: a drill took it down itself."""
        return self.settings.model_copy(update={"kafka_options": {**self.settings.kafka_options, "log_level": "0"}})

    def command(self, *arguments: str) -> CompletedProcess[str]:
        """Run ``logflume`` on this stack as an operator would."""
        raise Misconfigured(f"a drill on a given stack does not run `logflume {' '.join(arguments)}` there")

    def kill(self, name: str) -> None:
        """``kill -9``; somebody starts another in its place. Returns when it is gone."""
        raise Misconfigured(f"a drill on a given stack kills nothing there, nor {name}")

    def restart(self, name: str) -> None:
        """SIGTERM; somebody starts another when it has ended. Returns when that one is ready, else ``Retryable``."""
        raise Misconfigured(f"a drill on a given stack restarts nothing there, nor {name}")

    def pause(self, name: str) -> None:
        """SIGSTOP: it keeps its memory, sockets and locks, and does nothing."""
        raise Misconfigured(f"a drill on a given stack stops nothing there, nor {name}")

    def resume(self, name: str) -> None:
        """SIGCONT."""
        raise Misconfigured(f"a drill on a given stack stops nothing there, nor {name}")


def kind(name: str) -> str:
    """What sort of process a part is: ``sink`` of ``sink-1``."""
    return name.partition("-")[0]


def budget(settings: Settings, name: str) -> int | None:
    """Bytes that a process of Logflume may use for what passes through it; None: nothing does, or it is not ours."""
    budgets = {
        "edge": settings.edge_memory_bytes + settings.edge_http_work_bytes,
        "sort": settings.sort_memory_bytes,
        "sink": settings.sink_memory_bytes,
        "watch": 0,
    }
    return budgets.get(kind(name))
