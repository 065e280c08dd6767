"""How every listing is printed: a table for people, or with ``--json`` one array for programs.

What comes from outside reaches a terminal through ``printable`` alone, and JSON through ``json_text``.
"""

from __future__ import annotations

import json
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
        print(json_text(picked))
        return
    if not listed:
        print(empty)
        return
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table(listed, columns))


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """Return the table for people. Numbers stand at the right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        numbers = all(isinstance(row.get(column), int | float | None) for row in rows)
        made.add_column(column.replace("_", " "), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(printable(_cell(row.get(column)))) for column in columns))  # brackets in data are no markup
    return made


def printable(text: str, keep: str = "") -> str:
    """Spell out what a terminal would obey or hide: control characters, escapes, changes of direction; not ``keep``."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def json_text(value: Any, *, indent: bool = True) -> str:
    """Spell a JSON value whole: integers past 64 bits and lone surrogates too, which orjson refuses."""
    option = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | (orjson.OPT_INDENT_2 if indent else 0)
    try:
        return orjson.dumps(value, default=str, option=option).decode()
    except TypeError:
        shape: dict[str, Any] = {"indent": 2} if indent else {"separators": (",", ":")}
        return json.dumps(value, default=str, **shape)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
