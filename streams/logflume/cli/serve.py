"""``logflume serve``: the explorer's page and API, until SIGTERM."""

from __future__ import annotations


def command() -> None:
    """Answer those who show a tenant's token with the scope query, by HTTP and with a page, until SIGTERM."""
    import uvloop

    from logflume import logs
    from logflume.api.serve import serve as run
    from logflume.kafka import rights
    from logflume.kafka.renewal import Renewal
    from logflume.page.app import front
    from logflume.settings import Settings

    settings = Settings()
    logs.setup(settings.log_format, settings.log_level)
    Renewal(settings).start()
    rights.require(settings, "serve")
    uvloop.run(run(settings, front))
