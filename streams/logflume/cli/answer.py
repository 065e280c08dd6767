"""How rows are printed: a table for people, NDJSON or CSV for programs. What is in a row never steers the terminal."""

from __future__ import annotations

import csv
import datetime
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from logflume.cli import filed
from logflume.cli.listing import json_text, printable
from logflume.errors import Misconfigured
from logflume.explore.live import Waiting
from logflume.explore.plain import distinct, harmless, values
from logflume.explore.query import Scanned
from logflume.explore.recent import Range

_PIPE_WIDTH = 100_000  # characters; into a pipe nothing is cut or folded
_CELL = 300  # characters of one value that people are shown


class Form(StrEnum):
    """How an answer is told."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


@dataclass(frozen=True, slots=True)
class Output:
    """The form of an answer, and the file that it is written to, if any: else stdout."""

    form: Form = Form.TABLE
    file: Path | None = None

    @property
    def read_first(self) -> bool:
        """Whether nothing reaches the terminal before all rows are read."""
        return self.form is Form.TABLE or self.file is not None or not sys.stdout.isatty()

    @property
    def told_of(self) -> bool:
        """Whether people are told what it took: not beside rows for programs."""
        return self.form is Form.TABLE or self.file is not None


def output(as_json: bool, as_csv: bool, parquet: Path | None, arrow: Path | None) -> Output:
    """Return what the options ask for. Raises ``Misconfigured`` for more than one, and where no file can be."""
    wanted = {
        "--json": Output(Form.JSON) if as_json else None,
        "--csv": Output(Form.CSV) if as_csv else None,
        "--parquet": Output(Form.PARQUET, parquet) if parquet else None,
        "--arrow": Output(Form.ARROW, arrow) if arrow else None,
    }
    named = [name for name, each in wanted.items() if each is not None]
    if len(named) > 1:
        raise Misconfigured(f"{' and '.join(named)} exclude each other")
    found = next((each for each in wanted.values() if each is not None), Output())
    if found.file is not None:
        filed.check(found.file)
    return found


def show(batches: Iterator[pa.RecordBatch], schema: pa.Schema, output: Output) -> int:
    """Print rows to stdout as they come (a table when they all are there), or write them to the file; return how many.

    Raises ``Retryable`` when the file can't be written.
    """
    if output.file is not None:
        write = filed.write_parquet if output.form is Form.PARQUET else filed.write_arrow
        return write(output.file, schema, batches)
    names = distinct(schema.names)
    rows = _rows(batches)
    if output.form is Form.JSON:
        return _show_json(names, rows)
    if output.form is Form.CSV:
        return _show_csv(names, rows)
    numbers = [pa.types.is_integer(f.type) or pa.types.is_floating(f.type) for f in schema]
    return _show_table(names, numbers, rows)


def show_record(record: dict[str, Any]) -> None:
    """Print one record for people, a field a line."""
    table = Table("field", "value", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, value in record.items():
        table.add_row(Text(printable(name)), Text(printable(_cell(value))))
    _console().print(table)


def say_scanned(scanned: Scanned, rows: int, seconds: float) -> None:
    """Tell people, on stderr, what an answer took."""
    print(
        f"{rows:,} {'row' if rows == 1 else 'rows'} in {seconds:.2f} s; opened {scanned.files:,} of "
        f"{scanned.of_files:,} files, {megabytes(scanned.bytes)} of {megabytes(scanned.of_bytes)}",
        file=sys.stderr,
    )


def say_waiting(waiting: Waiting | None) -> None:
    """Tell people, on stderr, what a ``--live`` answer added, and what it may lack."""
    if waiting is None:
        return
    if waiting.rows:
        print(f"{waiting.rows:,} {'row' if waiting.rows == 1 else 'rows'} waited in Kafka", file=sys.stderr)
    if waiting.partial:
        print(f"More rows may wait in Kafka: {waiting.partial}", file=sys.stderr)


def say_range(range: Range) -> None:
    """Tell people, on stderr, which rows an answer is about."""
    ends = [None if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z" for at in (range.span.since, range.span.until)]
    named = " ".join(f"{word} {at}" for word, at in zip(("from", "until"), ends, strict=True) if at)
    print(f"Rows {named}: {range}." if named else f"All rows: {range}.", file=sys.stderr)


def megabytes(size: int) -> str:
    """Spell a size for people."""
    return f"{size / 1e6:,.1f} MB"


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        columns = [values(column) for column in batch.columns]
        yield from zip(*columns, strict=True) if columns else ()


def _show_json(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> int:
    count = 0
    for row in rows:
        sys.stdout.write(json_text(dict(zip(names, row, strict=True)), indent=False) + "\n")
        count += 1
    return count


def _show_csv(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> int:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    count = 0
    for row in rows:
        writer.writerow([_cell_text(value) for value in row])
        count += 1
    return count


def _cell_text(value: Any) -> str:
    text = "" if value is None else _spell(value)
    return harmless(text) if isinstance(value, str) else text


def _show_table(names: Sequence[str], numbers: Sequence[bool], rows: Iterable[tuple[Any, ...]]) -> int:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, number in zip(names, numbers, strict=True):
        table.add_column(Text(printable(name)), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(_cell(value))) for value in row))  # Text: brackets in data are no markup
    if table.row_count:
        _console().print(table)
    return table.row_count


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    text = _spell(value)
    return text if len(text) <= _CELL else f"{text[:_CELL]}… ({len(text):,} characters)"


def _spell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | datetime.timedelta):
        return str(value)
    text = json_text(value, indent=False)
    return text[1:-1] if text.startswith('"') else text


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
