"""Prometheus on this machine: scrapes the stack's workers, and looks at the alerts."""

from __future__ import annotations

import shutil
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import yaml

from logflume.errors import Retryable
from logflume.settings import Settings
from logflume.watch.alerts import alert
from logflume.watch.alerts.catalogue import ALERTS, SERIES

STOP_SECONDS: Final = 10
KEPT: Final = "7d"
_SCRAPE_SECONDS: Final = 5
_READY_SECONDS: Final = 60.0


def program() -> str | None:
    """Where Prometheus is installed; None where it is not (on Debian: ``apt-get install prometheus``)."""
    return shutil.which("prometheus")


@dataclass(frozen=True)
class Prometheus:
    """A server whose data and configuration lie in ``folder``; nothing is started by making one."""

    folder: Path
    port: int

    @property
    def address(self) -> str:
        """Its page and its HTTP API."""
        return f"http://127.0.0.1:{self.port}"

    def prepare(self, settings: Settings, workers: Mapping[str, int]) -> None:
        """Write what it scrapes, the ports of the workers by name, and the rules."""
        self.folder.mkdir(parents=True, exist_ok=True)
        windows = settings.alert_windows
        rules = alert.rules(SERIES, ALERTS, windows=windows, runbooks=settings.alert_runbooks)
        seconds = _SCRAPE_SECONDS if windows == 1 else 1
        config = self.configuration(workers, seconds)
        (self.folder / "logflume.rules.yml").write_text(rules)
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config, sort_keys=False))

    def configuration(self, workers: Mapping[str, int], seconds: int) -> dict[str, Any]:
        """What it is told to scrape. A label of its own must not be one of a metric's: it would take its place."""
        targets = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"instance": name, "worker_kind": name.partition("-")[0]}}
            for name, port in workers.items()
        ]
        return {
            "global": {"scrape_interval": f"{seconds}s", "evaluation_interval": f"{seconds}s"},
            "rule_files": ["logflume.rules.yml"],
            "scrape_configs": [{"job_name": "logflume", "static_configs": targets}],
        }

    def command(self) -> Sequence[str]:
        """The command line of the server, in the foreground; it ends on SIGTERM."""
        return [
            program() or "prometheus",
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--storage.tsdb.retention.time={KEPT}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]

    def wait_ready(self) -> None:
        """Until it answers. Raises ``Retryable``."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{self.address}/-/ready", timeout=5).close()
            except (OSError, HTTPException) as error:
                if time.monotonic() > deadline:
                    raise Retryable(f"Prometheus at {self.address} is not ready: {error}") from error
                time.sleep(0.1)
            else:
                return
