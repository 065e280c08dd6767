"""``logflume config``: what tenants' files would change, putting it in force, and what was in force before."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from confluent_kafka.admin import AdminClient

from logflume import contract
from logflume.cli import config_view
from logflume.cli.listing import AsJson, json_text, printable, show
from logflume.clock import SystemClock
from logflume.config import guard, inforce, quotas, shards
from logflume.config import plan as plans
from logflume.config import publish as publisher
from logflume.config.author import author
from logflume.config.difference import Kind, described
from logflume.config.inforce import InForce
from logflume.config.library import Library
from logflume.config.manifest import Manifest
from logflume.config.plan import Plan
from logflume.errors import Misconfigured, Refused, Retryable
from logflume.kafka import client, rights
from logflume.model.dataset import Dataset, load
from logflume.model.tenant import Configuration, Tenant
from logflume.settings import Settings

app = typer.Typer(no_args_is_help=True, help="The tenants: plan a change of their files, put it in force, go back.")

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the tenants' files, one <tenant>.yaml each.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Why = Annotated[str, typer.Option(help="Why; it stands in the history.")]
Who = Annotated[str, typer.Option(help="Who; else you and this machine.")]
Removal = Annotated[
    int, typer.Option(min=0, metavar="N", help="Yes, N active pairs of tenant and dataset are to go: exactly so many.")
]
Growth = Annotated[int, typer.Option(min=0, metavar="N", help="Yes, N are to come: exactly so many.")]
Everything = Annotated[bool, typer.Option("--all", help="Show every object, also when thousands change.")]
AsObject = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_HISTORY = ("generation", "published", "made", "who", "why", "tenants", "pairs", "jobs", "accepted")
_TENANTS = ("tenant", "owner", "datasets", "jobs", "tokens")
_OBJECTS = ("kind", "name", "owner", "id", "details")


@dataclass(frozen=True)
class _Place:
    """Where the configuration is: the clients, the contract's datasets, and what is in force."""

    settings: Settings
    admin: AdminClient
    library: Library
    datasets: Mapping[str, Dataset]
    now: InForce

    @classmethod
    def open(cls, *, changes: bool = False) -> _Place:
        settings = Settings()
        if changes:
            rights.require(settings, "config")
        library, admin = Library.from_settings(settings), client.admin(settings)
        datasets = load(contract.find(settings.topics_dir))
        return cls(settings, admin, library, datasets, inforce.look(settings, admin, library, decided=False))

    def of_folder(self, folder: Path) -> Plan:
        found = plans.of_folder(self.now, folder, self.datasets, publisher.limits(self.settings))
        return self._routed(found)

    def of_generation(self, generation: int) -> Plan:
        _, then = self.library.read(generation)
        later = self.library.after(generation)
        limits = publisher.limits(self.settings)
        return self._routed(plans.of_generation(self.now, then, self.datasets, limits, later))

    def _routed(self, plan: Plan) -> Plan:
        routing = shards.plan(self.settings, self.admin, self.now.configuration, plan.tenants)
        return replace(plan, routing=routing.changes)


@dataclass(frozen=True)
class _Wish:
    """What an operator says about a change."""

    yes: bool
    who: str
    why: str
    removal_of: int
    growth_of: int


@app.command()
def plan(directory: Directory, everything: Everything = False, as_json: AsObject = False) -> None:
    """Check the tenants' files, and show what they would change; change nothing."""
    found = _Place.open().of_folder(directory)
    if as_json:
        print(json_text(config_view.as_json(found)))
        return
    config_view.show(found, everything=everything)
    if found.refusal is not None:
        print(f"`logflume config apply` will refuse it: {printable(_hint(found.refusal))}")


@app.command()
def apply(
    directory: Directory,
    yes: Yes = False,
    why: Why = "",
    who: Who = "",
    accept_removal_of: Removal = 0,
    accept_growth_of: Growth = 0,
    everything: Everything = False,
    as_json: AsObject = False,
) -> None:
    """Put the tenants' files in force, as a new generation. What the API owns stays as it is."""
    wish = _wish(yes, who, why, accept_removal_of, accept_growth_of)
    place = _Place.open(changes=True)
    _carry_out(place, place.of_folder(directory), wish, everything=everything, as_json=as_json)


@app.command()
def rollback(
    generation: Annotated[int, typer.Argument(min=1, help="Which one to go back to; see `logflume config history`.")],
    yes: Yes = False,
    why: Why = "",
    who: Who = "",
    accept_removal_of: Removal = 0,
    accept_growth_of: Growth = 0,
    everything: Everything = False,
    as_json: AsObject = False,
) -> None:
    """Make a new generation of what an earlier one had, the API's objects too; tokens stay as they are."""
    wish = _wish(yes, who, why or f"back to generation {generation}", accept_removal_of, accept_growth_of)
    place = _Place.open(changes=True)
    _carry_out(place, place.of_generation(generation), wish, everything=everything, as_json=as_json)


@app.command("show")
def show_(
    generation: Annotated[int | None, typer.Argument(min=1, help="An earlier one; else the one in force.")] = None,
    tenant: Annotated[str, typer.Option(help="One tenant, with its datasets, jobs and tokens.")] = "",
    as_json: AsObject = False,
) -> None:
    """Show a generation: its tenants, or everything of one. Secrets are not shown."""
    manifest, configuration = _generation(generation)
    if tenant and tenant not in configuration.tenants:
        raise Misconfigured(f"generation {manifest.generation} has no tenant {tenant}")
    chosen = [configuration.tenants[tenant]] if tenant else list(configuration.tenants.values())
    if as_json:
        objects = [{"tenant": each.name, "owner": each.owner, "objects": list(_objects(each))} for each in chosen]
        print(json_text(_row(manifest) | {"hash": manifest.hash, "tenants": objects}))
        return
    print(_headline(manifest))
    if tenant:
        show(_objects(chosen[0]), _OBJECTS, as_json=False, empty="it has nothing")
        return
    rows = [
        {
            "tenant": each.name,
            "owner": each.owner,
            "datasets": ", ".join(each.datasets),
            "jobs": len(each.jobs),
            "tokens": len(each.tokens),
        }
        for each in chosen
    ]
    show(rows, _TENANTS, as_json=False, empty="it has no tenants")


@app.command()
def history(
    limit: Annotated[int, typer.Option(min=1, help="How many of the latest.")] = 20, as_json: AsJson = False
) -> None:
    """List the generations that the object store has, the latest first; not all of them were ever in force."""
    settings = Settings()
    library = Library.from_settings(settings)
    rows = []
    for entry in library.entries()[: -limit - 1 : -1]:
        try:
            row = _row(library.manifest(entry.generation))
        except Refused as error:
            row = {"why": str(error)}
        rows.append(row | {"generation": entry.generation, "published": entry.published})
    show(rows, _HISTORY, as_json=as_json, empty="nothing was ever applied")


def _carry_out(place: _Place, plan: Plan, wish: _Wish, *, everything: bool, as_json: bool) -> None:
    if not as_json:
        config_view.show(plan, everything=everything)
    again = not plan.needed and bool(wish.removal_of or wish.growth_of)
    if again and not as_json:
        print("It is put in force once more, for workers that refuse it unless the number is named.")
    if not plan.needed and not again:
        publisher.mend(place.library, place.now)
        if as_json:
            print(json_text({"generation": plan.base, "applied": False}))
        if place.now.configuration is not None:
            _set_quotas(place.settings, place.now.configuration)
        return
    with _hinted():
        _refuse(place, plan, wish)
    if not wish.yes and not typer.confirm("Put it in force?"):
        print("Nothing was changed.")
        raise typer.Exit(1)
    order = publisher.Order(plan.base, plan.tenants, wish.who, wish.why, wish.removal_of, wish.growth_of)
    with _hinted():
        made = publisher.publish(place.settings, order, SystemClock())
    if as_json:
        print(json_text({"applied": True} | _row(made) | {"hash": made.hash}))
    else:
        counts = f"{made.tenants:,} tenants, {made.pairs:,} pairs, {made.jobs:,} jobs"
        print(f"Generation {made.generation} is in force: {counts}.")
    _set_quotas(place.settings, Configuration(made.generation, made.hash, plan.tenants))


def _set_quotas(settings: Settings, configuration: Configuration) -> None:
    """Hold tenants' own producers to their rates; a failure changes nothing about what is in force."""
    try:
        changed = quotas.bring_in_line(settings, configuration)
        if changed:
            typer.echo(f"Kafka's quotas of {len(changed):,} users were set.", err=True)
    except (Retryable, Misconfigured) as error:
        raise Retryable(
            f"generation {configuration.generation} is in force, but the quotas of tenants' own producers could not be "
            f"set ({error}); `logflume config apply` again sets them"
        ) from error


def _refuse(place: _Place, plan: Plan, wish: _Wish) -> None:
    """Ask the guards before the operator is asked; the publisher asks them again."""
    after = Configuration(place.now.claimed + 1, "", plan.tenants)
    guard.check(
        place.now.configuration,
        after,
        publisher.limits(place.settings),
        removal_of=wish.removal_of,
        growth_of=wish.growth_of,
    )


@contextmanager
def _hinted() -> Iterator[None]:
    try:
        yield
    except (guard.Shrunk, guard.Grown) as error:
        raise Refused(_hint(error)) from error


def _hint(error: Refused) -> str:
    """The guard's sentence, with what to type if it is meant."""
    if isinstance(error, guard.Shrunk):
        return f"{error}. If that is meant, say so: --accept-removal-of {error.pairs}"
    if isinstance(error, guard.Grown):
        return f"{error}. If that is meant, say so: --accept-growth-of {error.pairs}"
    return str(error)


def _wish(yes: bool, who: str, why: str, removal_of: int, growth_of: int) -> _Wish:
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Misconfigured("there is no terminal to ask on: look at `logflume config plan`, then give --yes")
    return _Wish(yes, who or author(), why, removal_of, growth_of)


def _generation(number: int | None) -> tuple[Manifest, Configuration]:
    settings = Settings()
    library = Library.from_settings(settings)
    if number is not None:
        return library.read(number)
    now = inforce.look(settings, client.admin(settings), library, decided=False)
    if now.manifest is None or now.configuration is None:
        raise Misconfigured("nothing was applied yet; see `logflume config apply`")
    if now.trouble:
        typer.echo(f"attention: {printable(now.trouble)}", err=True)
    return now.manifest, now.configuration


def _headline(manifest: Manifest) -> str:
    why = f": {manifest.why}" if manifest.why else ""
    return printable(
        f"Generation {manifest.generation}, made {_time(manifest.made_ns)} by {manifest.who}{why}. "
        f"{manifest.tenants:,} tenants, {manifest.pairs:,} pairs, {manifest.jobs:,} jobs; hash {manifest.hash[:16]}"
    )


def _row(manifest: Manifest) -> dict[str, Any]:
    named = [each for each in manifest.accepted if each.generation == manifest.generation]
    accepted = [f"removal of {each.removal_of}" for each in named if each.removal_of]
    accepted += [f"growth of {each.growth_of}" for each in named if each.growth_of]
    return {
        "generation": manifest.generation,
        "made": _time(manifest.made_ns),
        "who": manifest.who,
        "why": manifest.why,
        "tenants": manifest.tenants,
        "pairs": manifest.pairs,
        "jobs": manifest.jobs,
        "accepted": ", ".join(accepted) or None,
    }


def _objects(tenant: Tenant) -> Iterator[dict[str, Any]]:
    def row(kind: Kind, name: str, each: Any) -> dict[str, Any]:
        details = ", ".join(f"{field} {value}" for field, value in described(each).items())
        id = getattr(each, "id", None) if kind is Kind.JOB else None
        return {"kind": kind, "name": name, "owner": each.owner, "id": id, "details": details}

    yield row(Kind.TENANT, tenant.name, tenant)
    yield from (row(Kind.DATASET, name, each) for name, each in tenant.datasets.items())
    yield from (row(Kind.JOB, key, job) for key, job in tenant.jobs.items())
    yield from (row(Kind.TOKEN, token.id, token) for token in tenant.tokens)


def _time(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%d %H:%M:%SZ}"
