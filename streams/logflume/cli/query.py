"""``logflume query``: one SELECT over a tenant's tables."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from logflume import contract
from logflume.cli import answer
from logflume.cli.waiting import waiting_rows
from logflume.explore import query, span
from logflume.model import dataset
from logflume.settings import Settings
from logflume.table.store import Store


def command(
    sql: Annotated[str, typer.Argument(help="One SELECT; tables are named as the datasets.")],
    tenant: Annotated[str, typer.Option(help="Whose tables.")],
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
) -> None:
    """Ask a tenant's tables with SQL. Besides the dataset's fields there are _received, _extra, _src_* and _date."""
    form = answer.form(as_json, as_csv)
    settings = Settings()
    datasets = dataset.load(contract.find(settings.topics_dir))
    recent = settings.explore_recent_seconds if settings.explore_recent_sql == "on" else 0
    asked = span.asked(since, until, datetime.now(UTC), recent)
    start = time.monotonic()
    with (
        waiting_rows(settings, datasets, live) as waiting,
        query.opened(settings, Store.from_settings(settings), datasets, live=waiting) as explorer,
        explorer.query(tenant, sql, limit, asked, live=live) as result,
    ):
        rows = answer.show(result.batches, result.schema, form)
        if form is answer.Form.TABLE or result.limited:
            answer.say_scanned(result.scanned, rows, time.monotonic() - start)
        if form is answer.Form.TABLE or result.range.chosen:
            answer.say_range(result.range)
        answer.say_waiting(result.waiting)
    if result.limited:
        print(
            f"There are more rows: this is the limit of {result.limit:,}. Write a LIMIT, or give --limit.",
            file=sys.stderr,
        )
