"""``logflume demo``: the main job on this machine, with made-up traffic or the user's own access log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from logflume.demo.run import run
from logflume.errors import Misconfigured
from logflume.settings import GivenSettings

_PIPE_WIDTH = 140  # characters: wide enough for every table


def command(
    file: Annotated[
        Path | None, typer.Option(help="An access log (combined format, gzip or not) to send instead.")
    ] = None,
    records: Annotated[int, typer.Option(min=1_000, help="About how many records to make up and send.")] = 200_000,
    seed: Annotated[
        int | None, typer.Option(min=0, max=(1 << 23) - 1, help="Makes the same records again; else by the clock.")
    ] = None,
) -> None:
    """Start the stack, send records of 50 tenants, wait until all are at rest, count them, and ask about an attack.

    The sums come from the generator, from Kafka's offsets and from DuckDB over the tables' files; exit code 1 when they
    do not agree. The stack stays up: `logflume local down` stops it.
    """
    if file is not None and not file.is_file():
        raise Misconfigured(f"{file} is no file")
    chosen = seed if seed is not None else int(time.time()) % (1 << 23)
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    if not run(GivenSettings(), console, records=records, seed=chosen, file=file):
        raise typer.Exit(1)
