"""What the demo prints: tables of what was done and what it cost, the verdict, the walk, what to try next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from logflume.demo.feed import Fed
from logflume.demo.judge import Files, Verdict
from logflume.demo.page import Page
from logflume.demo.walk import Step


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stage used between sending and rest."""

    stage: str
    records: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A demo that ran to its end; whether the sums are right is in ``verdict``."""

    fed: Fed
    seconds: float
    """From the first record sent until all were at rest."""
    costs: tuple[Cost, ...]
    files: tuple[Files, ...]
    verdict: Verdict


def job(console: Console, outcome: Outcome) -> None:
    """What was sent, what became of it, and what it cost."""
    fed = outcome.fed
    sizes = sorted(size for files in outcome.files for size in files.sizes) or [0]
    rows: Mapping[str, str] = {
        "records sent by the client": f"{fed.by_client:,}",
        "records sent as plain Kafka messages": f"{fed.by_plain:,}",
        "broken records sent": f"{fed.broken:,}",
        "dead-lettered": f"{outcome.verdict.dead_rows:,}",
        "stored in tables": f"{outcome.verdict.stored_rows:,}",
        "seconds until at rest": f"{outcome.seconds:.1f}",
        "records a second": f"{(fed.by_client + fed.by_plain) / outcome.seconds:,.0f}",
        "MB of records": f"{fed.bytes / 1e6:.1f}",
        "tables, files in them": f"{len(outcome.files):,}, {len(sizes):,}",
        "MB in those files": f"{sum(sizes) / 1e6:.1f}",
        "kB a file: least, median, most": " / ".join(f"{sizes[i] / 1e3:,.0f}" for i in (0, len(sizes) // 2, -1)),
    }
    _title(console, "The job")
    _print(console, ("", ""), list(rows.items()), right=(1,), header=False)
    _title(console, "CPU")
    lines = [
        (c.stage, f"{c.cpu_seconds:.1f}", f"{c.records / c.cpu_seconds:,.0f}" if c.cpu_seconds > 0.05 else "–")
        for c in outcome.costs
    ]
    _print(console, ("stage", "CPU s", "records per CPU s"), lines, right=(1, 2))


def verdict(console: Console, found: Verdict) -> None:
    """Every sum, and what follows from them."""
    _title(console, "The sums, from sources that don't know of each other")
    lines = [(c.name, f"{c.expected:,}", f"{c.counted:,}", "✓" if c.ok else "WRONG") for c in found.checks]
    _print(console, ("", "expected", "counted", ""), lines, right=(1, 2))
    if found.ok:
        console.print("[green]Everything that was sent is at rest, once, at its own tenant.[/green]")
    else:
        console.print(Text(found.explain(), "red"))
        console.print("[bold red]The sums are wrong.[/bold red] The stack is left as it is, for a look.")


def step(console: Console, number: int, asked: Step) -> None:
    """A question of the walk, in words and in SQL, with its answer."""
    _title(console, f"{number}. {asked.question}")
    console.print(Text("   " + asked.sql.replace("\n", "\n   "), "dim"), soft_wrap=True)
    names, records = asked.answer.column_names, asked.answer.to_pylist()
    if len(records) == 1:
        _print(console, ("", ""), [(name, _cell(value)) for name, value in records[0].items()], header=False)
    elif records:
        _print(console, names, [[_cell(value) for value in record.values()] for record in records])
    said = f"   {asked.finding} " if asked.finding else "   "
    console.print(Text(said, "cyan") + Text(f"({asked.seconds * 1000:.0f} ms)", "dim"))


def what_next(console: Console, tenant: str, objects: Path, page: Page | None) -> None:
    """Where to look, and commands that work now, for the stack is still up."""
    if page is not None:
        _title(console, f"The same in a browser, signed in as {tenant} for twelve hours")
        console.print(Text(f"  {page.sign_in}"), soft_wrap=True)
    _title(console, "The stack is still up. Try")
    commands = {
        f'logflume query "SELECT count(*) FROM http_requests" --tenant {tenant}': "ask with SQL",
        f"zcat {objects}/*/*/*.gz | head -1": "what its file job wrote",
        "logflume table list": "every tenant's tables",
        "logflume deadletter list": "what could not be read, and why",
        "logflume lag": "how far each group is behind",
        "logflume local status": "the processes and their addresses",
        "logflume demo --file access.log": "the same with a log of your own",
        "logflume local down": "stop everything",
    }
    width = max(map(len, commands)) + 2
    for command, what in commands.items():
        console.print(Text(f"  {command:<{width}}") + Text(what, "dim"), soft_wrap=True)


class Say:
    """Tells what is going on: in place on a terminal, elsewhere each new beginning of a text as a line."""

    def __init__(self, console: Console, shown: Status | None) -> None:
        self._console = console
        self._shown = shown
        self._last = ""

    def __call__(self, text: str) -> None:
        """Show ``text``."""
        if self._shown is not None:
            self._shown.update(text)
        elif (words := text.partition(": ")[0]) != self._last:
            self._last = words
            self._console.print(words, highlight=False)


@contextmanager
def status(console: Console, text: str) -> Iterator[Say]:
    """Say what is going on while the block runs."""
    if not console.is_terminal:
        yield Say(console, None)
        return
    with console.status(text) as shown:
        yield Say(console, shown)


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, "bold"))


def _print(
    console: Console,
    columns: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    right: tuple[int, ...] = (),
    header: bool = True,
) -> None:
    table = Table(box=box.SIMPLE_HEAD if header else None, show_edge=False, show_header=header, pad_edge=True)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in right else "left", overflow="fold")
    for line in lines:
        table.add_row(*(Text(cell, "bold red" if cell == "WRONG" else "") for cell in line))
    console.print(table)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
