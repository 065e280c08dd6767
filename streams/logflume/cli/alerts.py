"""``logflume alerts``: what Prometheus is told to watch over."""

from __future__ import annotations

import typer

from logflume.cli.listing import AsJson, show
from logflume.settings import Settings
from logflume.watch.alerts import alert
from logflume.watch.alerts.catalogue import ALERTS, SERIES

app = typer.Typer(no_args_is_help=True)
_COLUMNS = ("alert", "severity", "after_s", "runbook", "cause")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the alerts: whom each wakes, after how many seconds, its runbook, and a cause."""
    rows = [
        {
            "alert": f"Logflume{each.name}",
            "severity": str(each.severity),
            "after_s": each.seconds,
            "runbook": f"{alert.RUNBOOKS}/{each.slug}.md",
            "cause": each.cause,
            "expression": alert.told(each.expression),
            "summary": alert.told(each.summary),
        }
        for each in ALERTS
    ]
    show(rows, [*_COLUMNS, *(["expression", "summary"] if as_json else [])], as_json=as_json, empty="")


@app.command()
def rules() -> None:
    """Print the rules for Prometheus (YAML). Its durations and links go by LOGFLUME_ALERT_WINDOWS and _RUNBOOKS."""
    settings = Settings()
    written = alert.rules(SERIES, ALERTS, windows=settings.alert_windows, runbooks=settings.alert_runbooks)
    typer.echo(written, nl=False)
