"""``logflume table``: the tables at rest, and whether the object store may hold them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from logflume.cli.listing import AsJson, show
from logflume.settings import Settings
from logflume.table import snapshot
from logflume.table.probe import probe
from logflume.table.store import Store

app = typer.Typer(no_args_is_help=True, help="The tables at rest in the object store.")


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None, as_json: AsJson = False
) -> None:
    """List the tables at rest: tenant, dataset, version, rows, files and bytes."""
    store = Store.from_settings(Settings())
    rows = []
    for owner, dataset in snapshot.list_tables(store):
        if tenant not in (None, owner):
            continue
        held = snapshot.read(store, owner, dataset)
        if held is not None:
            rows.append(
                {
                    "tenant": owner,
                    "dataset": dataset,
                    "version": held.version,
                    "rows": held.rows,
                    "files": len(held.files),
                    "bytes": held.size,
                    "dates": len({file.date for file in held.files}),
                    "address": store.uri(held.path),
                }
            )
    columns = ["tenant", "dataset", "version", "rows", "files", "bytes", "dates"]
    show(rows, [*columns, "address"] if as_json else columns, as_json=as_json, empty="no table is at rest yet")


@app.command("probe")
def probe_(as_json: AsJson = False) -> None:
    """Race conditional puts against the object store; exit with 3 when it lets more than one win."""
    store = Store.from_settings(Settings())
    row = {"store": store.url, **asdict(probe(store)), "conditional_puts": "atomic"}
    show([row], list(row), as_json=as_json, empty="")
