"""``logflume query``: one SELECT over a tenant's tables, or a prompt for many."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from logflume.cli import answer, asking
from logflume.cli.run_query import ask
from logflume.explore import query
from logflume.settings import Settings


def command(
    sql: Annotated[
        str, typer.Argument(help="One SELECT; tables are named as the datasets. Without it a prompt opens.")
    ] = "",
    tenant: asking.Tenant = "",
    since: Annotated[
        str, typer.Option(help="Rows from this time on: 2026-11-29T10:00Z, or 15m, 2h, 7d ago, or beginning.")
    ] = "",
    until: Annotated[str, typer.Option(help="Rows before this time, likewise.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Rows at most, when the query has no LIMIT.")] = query.LIMIT,
    live: Annotated[bool, typer.Option("--live", help="Add the rows that still wait in Kafka.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a row.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV; text that a spreadsheet would run gets a ' before it.")
    ] = False,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the rows to a Parquet file.", show_default=False)
    ] = None,
    arrow: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the rows to an Arrow file (IPC).", show_default=False)
    ] = None,
) -> None:
    """Ask a tenant's tables with SQL. Besides the dataset's fields there are _received, _extra, _src_* and _date.

    It asks the server that LOGFLUME_URL names, where that is set, and else the tables themselves.
    """
    output = answer.output(as_json, as_csv, parquet, arrow)
    settings = Settings()
    with asking.opened(settings, tenant, live) as whom:
        within = whom.span(since, until)
        if sql:
            ask(whom, sql, limit, within, output, live=live)
            return
        from logflume.cli import prompt

        prompt.run(whom, settings, prompt.Asked(since, until, limit, output, live))
