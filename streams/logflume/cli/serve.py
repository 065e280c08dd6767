"""``logflume serve``: the explorer's API, until SIGTERM."""

from __future__ import annotations


def command() -> None:
    """Answer queries by HTTP for those who show a tenant's token with the scope query, until SIGTERM."""
    import uvloop

    from logflume import logs
    from logflume.api.serve import serve as run
    from logflume.settings import Settings

    settings = Settings()
    logs.setup(settings.log_format, settings.log_level)
    uvloop.run(run(settings))
