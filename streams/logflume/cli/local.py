"""``logflume local``: Kafka, an object store and workers on this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from logflume.errors import Retryable
from logflume.local.stack import Part, Stack
from logflume.settings import GivenSettings

app = typer.Typer(help="Kafka, an object store and workers on this machine.", no_args_is_help=True)

_console = Console(stderr=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def up(
    json: AsJson = False,
    watch: Annotated[bool, typer.Option("--watch", help="Prometheus as well, where it is installed.")] = False,
) -> None:
    """Start what does not run yet, and wait until all is ready.

    A Kafka given by LOGFLUME_KAFKA_BOOTSTRAP, or a store given by LOGFLUME_STORE_URL, is used and not started.
    """
    stack = Stack(GivenSettings())
    with _console.status("Looking …") as status:
        stack.up(lambda text: status.update(text) if _console.is_terminal else _console.print(text), watch=watch)
    _print(stack, stack.status(), json)


@app.command()
def down(
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete its topics, objects and logs too.")
    ] = False,
) -> None:
    """Stop what `up` started: workers first, then Kafka and the store. Their data stay."""
    stack = Stack(GivenSettings())
    stopped = stack.down(_console.print)
    typer.echo(f"Stopped {', '.join(stopped)}." if stopped else f"Nothing runs in {stack.folder}.")
    if delete_data:
        stack.delete()
        typer.echo(f"Deleted the data in {stack.folder}.")


@app.command()
def status(json: AsJson = False) -> None:
    """Show each part with its process, uptime, restarts and address. Exit code 1 when nothing runs."""
    stack = Stack(GivenSettings())
    parts = stack.status()
    if not parts and not json:
        raise Retryable(f"Nothing runs in {stack.folder}. Start it: logflume local up")
    _print(stack, parts, json)
    if not parts:
        raise typer.Exit(1)


def _print(stack: Stack, parts: list[Part], json: bool) -> None:
    if json:
        found = {"state_dir": str(stack.folder), "parts": [asdict(part) for part in parts]}
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    table = Table("part", "state", "pid", "up", "restarts", "address", title=None)
    for part in parts:
        pid = "" if part.pid is None else str(part.pid)
        up_for = _duration(part.uptime_seconds) if part.pid else ""
        table.add_row(part.name, part.state, pid, up_for, str(part.restarts), part.address)
    console = Console()
    console.print(table)
    console.print(f"Data and logs: {stack.folder}", soft_wrap=True)


def _duration(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
