"""``logflume topics``: what the contract declares, what Kafka has otherwise, and bringing Kafka in line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from logflume.cli.listing import AsJson, show
from logflume.kafka import client, rights, topics
from logflume.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Kafka's topics, as topics/topics.yaml declares them.")

_DIFFERENCE = ("topic", "what", "actual", "declared", "action", "note")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the topics that the contract declares; Kafka is not asked."""
    rows = [asdict(topic) for topic in topics.declared(Settings())]
    for row in rows:
        row["cleanup"] = row["config"].get("cleanup.policy")
        row["retention"] = _retention(row["config"])
    columns = ["name", "partitions", "replication", "cleanup", "retention", "description"]
    programs = ["name", "template", "dataset", "partitions", "replication", "grows", "config", "description"]
    show(rows, programs if as_json else columns, as_json=as_json, empty="no topic is declared")


@app.command()
def diff(as_json: AsJson = False) -> None:
    """Show what Kafka has otherwise than declared, and what `apply` would do about it; change nothing."""
    settings = Settings()
    client.reach(settings)
    rows = [asdict(difference) for difference in topics.diff(settings)]
    show(rows, _DIFFERENCE, as_json=as_json, empty="Kafka has what is declared")


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Create and alter topics as declared, and print what was done; never delete, refuse unsafe partition counts."""
    settings = Settings()
    client.reach(settings)
    rights.require(settings, "topics")
    rows = [asdict(difference) for difference in topics.apply(settings)]
    show(rows, _DIFFERENCE, as_json=as_json, empty="nothing to do: Kafka has what is declared")


@app.command()
def acl(
    stage: Annotated[list[str], typer.Option(help=f"Of {', '.join(rights.STAGES)}; may be given more than once.")],
    principal: Annotated[str, typer.Option(help="Who may do it, as brokers call it: User:NAME.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Ask Kafka instead what this process lacks, by its own settings.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the commands that give a principal the least rights of a stage; Kafka is asked only with `--check`."""
    settings = Settings()
    if check:
        lacks = [(name, missing) for name in rights.stages(stage) for missing in rights.lacking(settings, name)]
        rows = [{"stage": name, "lacks": str(missing), "why": missing.why} for name, missing in lacks]
        show(rows, ("stage", "lacks", "why"), as_json=as_json, empty="no right is missing that Kafka tells of")
        if rows:
            raise typer.Exit(1)
        return
    found = rights.acls(settings, stage)
    lines = list(rights.commands(found, principal, settings.kafka_bootstrap or "HOST:PORT"))
    if as_json:
        rows = [{"principal": principal, **asdict(each)} for each in found]
        show(rows, ("principal", *asdict(found[0])), as_json=True, empty="")
        return
    for line in lines:
        typer.echo(line)


def _retention(config: Mapping[str, str]) -> str | None:
    """Return for how long records are kept, in hours or days."""
    if "retention.ms" not in config:
        return None
    hours = int(config["retention.ms"]) / 3_600_000
    return f"{hours:g} h" if hours <= 72 else f"{hours / 24:g} d"
