"""A server on a real Kafka whose tenant's rows are followed, and those who send them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from logflume.cli.main import DONE, run
from logflume.settings import Settings
from tests.support.sorted_log import few_partitions, produce_sorted, sorted_message
from tests.support.waiting import until
from tests.support.waiting_rows import Sorted
from tests.support.worker import Worker


@dataclass
class Served:
    """A server, its worker, the sorted topic that it reads, and a token."""

    url: str
    worker: Worker
    sorted: Sorted
    token: str

    def send(self, first: int, end: int, rows: int = 2, text: str = "m") -> list[str]:
        """Have sorted blocks come, one an offset; returns the messages of acme's rows."""
        produce_sorted(
            self.sorted.settings,
            self.sorted.home,
            [sorted_message({"acme": rows, "bell": 1}, offset, text=text) for offset in range(first, end)],
        )
        return [f"{text}{offset}.{row}" for offset in range(first, end) for row in range(rows)]


def serve(
    settings: Settings,
    tmp_path: Path,
    worker: Callable[..., Worker],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Served:
    """Start it, with a configuration in force and a token for queries."""
    given = few_partitions(settings, tmp_path)
    made = given.model_copy(update={"tenants_dir": "", "serve_port": 0})
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    assert run(["config", "apply", given.tenants_dir, "--yes"]) == DONE
    capsys.readouterr()
    assert run(["token", "create", "--tenant", "acme", "--scope", "query", "--id", "analyst"]) == DONE
    token = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("lf_"))
    server = worker("serve", made)
    address = until(lambda: re.search(r"explore\.started.*(http://127\.0\.0\.1:\d+)", server.output()), 60)[1]
    server.wait_ready()
    return Served(address, server, Sorted(made), token)
