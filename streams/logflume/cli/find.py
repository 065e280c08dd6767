"""``logflume find``: a tenant's records by their id."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from logflume.cli import answer, asking
from logflume.cli.listing import AsJson, json_text, printable
from logflume.errors import LogflumeError
from logflume.explore.find import find
from logflume.formats.records import to_records
from logflume.settings import Settings


def command(
    id: Annotated[str, typer.Argument(help="The record's id, such as a RayID.")],
    tenant: asking.Tenant = "",
    dataset: Annotated[str | None, typer.Option(help="Only this dataset's.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Look also among the rows that still wait in Kafka.")] = False,
    as_json: AsJson = False,
) -> None:
    """Find a tenant's records by their id, in all datasets that have one; exit with 1 when there is none.

    With --json: one array of records, each with its dataset.
    """
    start = time.monotonic()
    records = []
    with asking.opened(Settings(), tenant, live) as whom:
        tenant = whom.tenant()
        for found in find(whom.explorer, whom.datasets(), tenant, id, dataset, live=live):
            answer.say_waiting(found.waiting)
            here = to_records(found.rows)
            records += [{"dataset": found.dataset, "record": record} for record in here]
            if as_json:
                continue
            for record in here:
                print(found.dataset)
                answer.show_record(record)
            print(f"{found.dataset}: ", end="", file=sys.stderr)
            answer.say_scanned(found.scanned, len(here), time.monotonic() - start)
    if as_json:
        print(json_text(records))
    if not records:
        raise LogflumeError(f"no record of the tenant {tenant!r} has the id {printable(id)!r}")
