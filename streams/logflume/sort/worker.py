"""Running the sort stage as a process, by the same worker as ``faust -A logflume.sort worker``."""

from __future__ import annotations

import faust

from logflume.settings import Settings
from logflume.sort.stage import build


def run(settings: Settings) -> None:
    """Sort until SIGTERM or SIGINT, then let running work end and commit it. Leaves by ``SystemExit``."""
    app = build(settings)
    worker = faust.Worker(app, loglevel=settings.log_level.upper(), redirect_stdouts=False, override_logging=False)
    worker.execute_from_commandline()
