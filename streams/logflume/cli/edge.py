"""``logflume edge``: the ways in that are processes of their own."""

from __future__ import annotations

import typer

from logflume.cli import edge_tail

app = typer.Typer(no_args_is_help=True, help="Take records: by HTTP and syslog, or from files.")
app.command("tail")(edge_tail.command)


@app.callback()
def _group() -> None:
    """Take records: by HTTP and syslog, or from files."""


@app.command()
def serve() -> None:
    """Take records by HTTP, and by syslog where LOGFLUME_EDGE_SYSLOG_LISTEN says so, until SIGTERM; then flush."""
    _run(http=True)


@app.command()
def syslog() -> None:
    """Take syslog alone, where LOGFLUME_EDGE_SYSLOG_LISTEN says, until SIGTERM; then flush."""
    _run(http=False)


def _run(*, http: bool) -> None:
    import uvloop

    from logflume import logs, memory
    from logflume.edge.serve import serve as run
    from logflume.kafka import rights
    from logflume.kafka.renewal import Renewal
    from logflume.settings import Settings

    settings = Settings()
    logs.setup(settings.log_format, settings.log_level)
    memory.setup()
    Renewal(settings).start()
    rights.require(settings, "edge")
    uvloop.run(run(settings, http=http))
