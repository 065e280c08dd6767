"""``logflume sort``: run a sort worker."""

from __future__ import annotations

from logflume import logs
from logflume.settings import Settings


def command() -> None:
    """Sort every dataset's records by tenant, until SIGTERM; running work is ended and committed first."""
    from logflume.sort import worker

    settings = Settings()
    logs.setup(settings.log_format, settings.log_level)
    worker.run(settings)
