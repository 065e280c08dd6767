"""Puts the command ``logflume`` together, and turns errors into messages and exit codes.

Exit codes: 0 done, 1 the work failed, 2 wrong use, 3 refused by a guard. Only the module of the command that was called
is imported, so that ``logflume --help`` and a short command do not wait for pyarrow, Faust and DataFusion.

A module of a command has either ``command``, a function for typer, or ``app``, a ``typer.Typer`` with subcommands.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Annotated

import typer

import logflume
from logflume.errors import LogflumeError, Misconfigured, Refused

DONE, FAILED, WRONG_USE, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130


@dataclass(frozen=True)
class Entry:
    """A command: its module in ``logflume.cli``, and its line in ``logflume --help``."""

    module: str
    help: str


EXTRAS = {"duckdb": "local", "psutil": "local", "supervisor": "local", "textual": "top"}
"""Modules that only an extra brings."""

# In the order in which a newcomer needs them.
COMMANDS = {
    "demo": Entry("demo", "Run everything on this machine with real traffic shapes, and count what came to rest."),
    "local": Entry("local", "Kafka, an object store and workers on this machine: up, down, status."),
    "topics": Entry("topics", "List the declared topics, compare them with Kafka, create them."),
    "config": Entry("config", "Plan a change of the tenants, put it in force, show it, go back."),
    "send": Entry("send", "Send a file of records."),
    "edge": Entry("edge", "Take records by HTTP and syslog, or from files."),
    "token": Entry("token", "Tokens of the tenants' senders: make, list, expire, rotate, revoke."),
    "sort": Entry("sort", "Run a sort worker."),
    "sink": Entry("sink", "Run a sink worker."),
    "query": Entry("query", "Ask a tenant's tables with SQL."),
    "find": Entry("find", "Find a tenant's records by their id."),
    "tail": Entry("tail", "Follow a tenant's rows as they come."),
    "serve": Entry("serve", "Answer queries by HTTP."),
    "table": Entry("table", "List and maintain the tables at rest; hold, delete; probe the object store."),
    "care": Entry("care", "Run a care worker: merges small files, ends retention, vacuums."),
    "lag": Entry("lag", "Show how far each consumer group is behind."),
    "status": Entry("status", "Show what each worker says of itself, and the pressure."),
    "watch": Entry("watch", "Measure how late each stage is, and publish the pressure that edges follow."),
    "top": Entry("top", "The whole pipeline in a terminal: stages, groups, workers, tenants, troubles."),
    "alerts": Entry("alerts", "List the alerts, and write them as rules for Prometheus."),
    "drill": Entry("drill", "Harm a pipeline on purpose, under load, and judge."),
    "deadletter": Entry("deadletter", "List, show, export and replay records that could not be read."),
}


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"logflume {logflume.__version__}")
        raise typer.Exit


def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The logs of many tenants, through Kafka into Delta tables in object storage."""
    from logflume import logs

    logs.keep_off_stdout()


def build(called: str | None) -> typer.Typer:
    """The application with the command ``called`` loaded; the others are there for the help only."""
    app = typer.Typer(
        name="logflume",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_main)
    for name, entry in COMMANDS.items():
        if name != called:
            app.command(name, help=entry.help)(_not_loaded)
            continue
        module = _load(entry)
        if hasattr(module, "command"):
            app.command(name)(module.command)
        else:
            app.add_typer(module.app, name=name)
    return app


def _load(entry: Entry) -> ModuleType:
    try:
        return import_module(f"logflume.cli.{entry.module}")
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        needed = f"This command needs the extra `{extra}`: pip install 'logflume[{extra}]' ({error})"
        raise Misconfigured(needed) from None


def _not_loaded() -> None:
    raise AssertionError("only the command that was called is loaded, and only that one can run")


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit code."""
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        # Outside of standalone mode typer would hand usage errors to us; in it, it prints them and exits with 2.
        build(called)(args=list(arguments), prog_name="logflume")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED
    except LogflumeError as error:
        return tell(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output left (``| head``); Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return DONE


def tell(error: LogflumeError) -> int:
    """Print an error, and return the exit code that it means."""
    from logflume.cli.listing import printable  # an error may quote a record

    what, code = "failed", FAILED
    if isinstance(error, Refused):
        what, code = "refused", REFUSED
    elif isinstance(error, Misconfigured):
        what, code = "misconfigured", WRONG_USE
    text = printable(str(error), keep="\n\t")
    typer.secho(f"{what}: {text}", err=True, fg="red" if sys.stderr.isatty() else None)
    return code


def main() -> None:
    """Entry point of the command ``logflume``."""
    raise SystemExit(run(sys.argv[1:]))
