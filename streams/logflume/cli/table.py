"""``logflume table``: the tables at rest, their care by hand, and whether the object store may hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer

from logflume import contract
from logflume.care import deletion, hold
from logflume.care.look import Carer
from logflume.care.worker import retention
from logflume.cli.listing import AsJson, printable, show
from logflume.clock import SystemClock
from logflume.config import Source, opened_if_good
from logflume.config.follow import Follower
from logflume.errors import LogflumeError, Misconfigured, Refused, Unconfigured
from logflume.model import dataset as datasets
from logflume.settings import Settings
from logflume.table import snapshot
from logflume.table.probe import probe
from logflume.table.store import Store

app = typer.Typer(no_args_is_help=True, help="The tables at rest in the object store.")

Tenant = Annotated[str | None, typer.Option(help="Only this tenant's.")]
OneTenant = Annotated[str, typer.Option(help="Whose tables.")]
Dataset = Annotated[str | None, typer.Option(help="Only this dataset's table.")]
By = Annotated[str, typer.Option(help="Who wants it: it stands in the table's log, and in a receipt.")]
Reason = Annotated[str, typer.Option(help="Why: a case, a contract, a request.")]

_CONFIG_SECONDS = 20.0


@app.command("list")
def list_(tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the tables at rest: rows, files, bytes, and when the oldest and the newest row came. Opens no data file."""
    store = Store.from_settings(Settings())
    rows, failed = [], 0
    for owner, name in _tables(store, tenant, None):
        try:
            held = snapshot.read(store, owner, name)
        except Refused as error:  # the others are listed all the same
            failed += 1
            typer.secho(printable(str(error)), err=True)
            continue
        if held is not None:
            rows.append(
                {
                    "tenant": owner,
                    "dataset": name,
                    "version": held.version,
                    "rows": held.rows,
                    "files": len(held.files),
                    "bytes": held.size,
                    "dates": len({file.date for file in held.files}),
                    "oldest": _stamp(held.oldest),
                    "newest": _stamp(held.newest),
                    "held": hold.of(held.properties) is not None,
                    "address": store.uri(held.path),
                }
            )
    columns = ["tenant", "dataset", "version", "rows", "files", "bytes", "dates", "oldest", "newest", "held"]
    show(rows, [*columns, "address"] if as_json else columns, as_json=as_json, empty="no table is at rest yet")
    if failed:
        raise typer.Exit(1)


@app.command()
def maintain(
    tenant: Tenant = None,
    dataset: Dataset = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look after the tables once: end retention, merge small files, write checkpoints, vacuum. ``care`` goes on."""
    settings, clock = Settings(), SystemClock()
    store = Store.from_settings(settings)
    declared = datasets.load(contract.find(settings.topics_dir))
    carer = Carer(settings, declared, store, clock)
    rows: list[dict[str, Any]] = []
    failed = 0
    if not dry_run:
        deletion.resume(store, clock)
    with _configuration(settings, declared) as source:
        for owner, name in _tables(store, tenant, dataset):
            try:
                done = asdict(carer.look(owner, name, retention(source, owner, name), dry_run=dry_run))
                rows.append({**done, "notes": "; ".join(done["notes"])})
            except LogflumeError as error:  # the others are looked after all the same
                failed += 1
                rows.append({"tenant": owner, "dataset": name, "notes": f"failed: {error}"})
    columns = ["tenant", "dataset", "expired_files", "expired_rows", "merged_files", "into_files", "merged_bytes"]
    columns += ["into_bytes", "vacuumed", "checkpoint", "held", "notes"]
    show(rows, columns, as_json=as_json, empty="no table is at rest yet")
    if failed:
        raise typer.Exit(1)


@app.command("hold")
def hold_(tenant: OneTenant, by: By, reason: Reason, dataset: Dataset = None, as_json: AsJson = False) -> None:
    """Hold a tenant's tables: until they are released nothing removes a row, neither retention nor deletion."""

    def put(store: Store, owner: str, name: str) -> dict[str, Any]:
        return asdict(hold.put(store, store.table(owner, name), by, reason, SystemClock()))

    _each(tenant, dataset, put, ["by", "reason", "since"], as_json=as_json)


@app.command()
def release(tenant: OneTenant, by: By, reason: Reason, dataset: Dataset = None, as_json: AsJson = False) -> None:
    """End the hold of a tenant's tables, and show the one that each had."""

    def end(store: Store, owner: str, name: str) -> dict[str, Any]:
        had = hold.release(store, store.table(owner, name), by, reason, SystemClock())
        return asdict(had) if had else {"reason": "it had no hold"}

    _each(tenant, dataset, end, ["by", "reason", "since"], as_json=as_json)


@app.command()
def delete(
    tenant: OneTenant,
    by: By,
    reason: Reason,
    confirm: Annotated[str, typer.Option(help="The tenant's name once more: what is deleted does not come back.")],
    dataset: Dataset = None,
    as_json: AsJson = False,
) -> None:
    """Delete all rows of a tenant's tables, and leave receipts. Refused, for all of them, when one has a hold.

    Without --dataset the tenant's saved queries go as well.
    """
    if confirm != tenant:
        raise Misconfigured(f"--confirm {confirm!r} is not the tenant's name, {tenant!r}: nothing was deleted")
    store, clock = Store.from_settings(Settings()), SystemClock()
    tables = _tables(store, tenant, dataset)
    for owner, name in tables:
        deletion.refuse_held(store, store.table(owner, name))
    done = [deletion.delete(store, owner, name, by=by, reason=reason, clock=clock) for owner, name in tables]
    if dataset is None and (saved := deletion.delete_saved(store, tenant, by=by, reason=reason, clock=clock)):
        done.append(saved)
    if not done:
        raise _no_table(tenant, "" if dataset else ", and nothing saved")
    columns = ["tenant", "dataset", "version", "rows", "files", "bytes", "saved_queries", "done", "sha256"]
    show(done, columns, as_json=as_json, empty="")


@app.command()
def receipts(tenant: Tenant = None, as_json: AsJson = False) -> None:
    """List the receipts of what was deleted; ``intact`` says whether each still has the hash that it tells."""
    found = []
    for receipt in deletion.receipts(Store.from_settings(Settings()), tenant):
        found.append({**receipt, "intact": receipt.get("sha256") == deletion.digest(receipt)})
    columns = ["tenant", "dataset", "by", "reason", "done", "rows", "files", "bytes", "saved_queries", "oldest"]
    columns += ["newest", "intact"]
    show(found, [*columns, "sha256", "objects"] if as_json else columns, as_json=as_json, empty="nothing was deleted")


@app.command("probe")
def probe_(as_json: AsJson = False) -> None:
    """Race conditional puts against the object store; exit with 3 when it lets more than one win."""
    store = Store.from_settings(Settings())
    row = {"store": store.url, **asdict(probe(store)), "conditional_puts": "atomic"}
    show([row], list(row), as_json=as_json, empty="")


def _tables(store: Store, tenant: str | None, dataset: str | None) -> list[tuple[str, str]]:
    found = snapshot.list_tables(store)
    return [(owner, name) for owner, name in found if tenant in (None, owner) and dataset in (None, name)]


def _each(
    tenant: str,
    dataset: str | None,
    work: Callable[[Store, str, str], dict[str, Any]],
    columns: list[str],
    *,
    as_json: bool,
) -> None:
    store = Store.from_settings(Settings())
    tables = _tables(store, tenant, dataset)
    if not tables:
        raise _no_table(tenant)
    rows = [{"tenant": owner, "dataset": name, **work(store, owner, name)} for owner, name in tables]
    show(rows, ["tenant", "dataset", *columns], as_json=as_json, empty="")


def _no_table(tenant: str, more: str = "") -> Misconfigured:
    return Misconfigured(f"{tenant} has no such table{more}; `logflume table list` shows those that there are")


@contextmanager
def _configuration(settings: Settings, declared: datasets.Datasets) -> Iterator[Source | None]:
    """The configuration, if there is one: without it nothing expires, and the notes say so."""
    if not settings.tenants_dir and not settings.kafka_bootstrap:
        yield None
        return
    with opened_if_good(settings, declared) as source:
        if isinstance(source, Follower):
            try:
                source.wait(_CONFIG_SECONDS)
            except Unconfigured as error:
                typer.secho(f"no configuration, so nothing expires: {error}", err=True)
        yield source


def _stamp(time: datetime | None) -> str | None:
    return time.isoformat(timespec="seconds").replace("+00:00", "Z") if time else None
