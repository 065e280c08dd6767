"""The sort stage: a Faust app that reads blocks and plain records and lays everything of a tenant together.

``faust -A logflume.sort worker`` and ``logflume sort`` run the same app. It is made when it is first asked for, so that
the stage's modules can be imported without settings. No module here may be called ``app``: it would hide it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

__all__ = ["app"]


@cache
def _app() -> Any:
    from logflume import logs
    from logflume.settings import Settings
    from logflume.sort.stage import build

    settings = Settings()
    # Before Faust sets up logging its own way: structlog's default prints the variables of a traceback, secrets too.
    logs.setup(settings.log_format, settings.log_level)
    return build(settings)


def __getattr__(name: str) -> Any:
    if name == "app":
        return _app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
