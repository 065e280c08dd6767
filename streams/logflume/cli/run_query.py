"""One query of the command, from its text to what is printed of it."""

from __future__ import annotations

import sys
import time

from logflume.cli import answer
from logflume.cli.answer import Output
from logflume.cli.asking import Asking
from logflume.cli.progress import Progress
from logflume.explore.span import Recent, Span


def ask(whom: Asking, sql: str, limit: int, within: Span | Recent, output: Output, *, live: bool) -> None:
    """Run one SELECT, and print its answer, or write it to a file."""
    start = time.monotonic()
    with (
        Progress(whom.explorer.seen) as progress,
        whom.explorer.query(whom.given, sql, limit, within, live=live) as result,
    ):
        if not output.read_first:
            progress.stop()  # rows and it would be written over each other
        rows = answer.show(progress.until_read(result.batches), result.schema, output)
        if output.told_of or result.limited:
            answer.say_scanned(result.scanned, rows, time.monotonic() - start)
        if output.told_of or result.range.chosen:
            answer.say_range(result.range)
        answer.say_waiting(result.waiting)
        if result.limited:
            print(
                f"There are more rows: this is the limit of {result.limit:,}. Write a LIMIT, or give --limit.",
                file=sys.stderr,
            )
