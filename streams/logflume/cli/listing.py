"""How every listing is printed: a table for people, or with ``--json`` one array for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON array instead of a table.")]
_PIPE_WIDTH = 100_000  # characters; the table takes what it needs


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print ``rows`` to stdout with these columns; ``empty`` is what people are told when there are none.

    Numbers stand at the right. Into a pipe a table is as wide as its cells, so that nothing is cut or folded.
    """
    listed = list(rows)
    if as_json:
        picked = [{column: row.get(column) for column in columns} for row in listed]
        print(orjson.dumps(picked, option=orjson.OPT_INDENT_2, default=str).decode())
        return
    if not listed:
        print(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        numbers = all(isinstance(row.get(column), int | float | None) for row in listed)
        table.add_column(column.replace("_", " "), justify="right" if numbers else "left", overflow="fold")
    for row in listed:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))  # Text: brackets in data are no markup
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
