"""``logflume lag``: how far each group is behind, in records and in seconds; once, or again and again."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from logflume.cli.listing import AsJson, json_text, printable, show, table
from logflume.clock import SystemClock
from logflume.kafka import client, rights
from logflume.settings import Settings
from logflume.watch import looking
from logflume.watch.look import Late, Look, Pace

_COLUMNS = ("group", "topic", "partition", "offset", "end", "lag", "seconds")
_PACES = ("group", "topic", "lag", "seconds", "in_s", "done_s", "caught_up_in")
_WORST = 10


def command(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look again and again, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks, with --watch.")] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Show group, topic, partition, committed offset, end, lag, and the age of the first record not committed.

    With --watch: each group by topic, how fast it is and when it will have caught up; the latest partitions; and what
    is wrong with groups. People are shown only partitions with records. --watch --json prints a line a look.
    """
    settings, clock = Settings(), SystemClock()
    client.reach(settings)
    rights.require(settings, "lag" if not watch else "top")
    if watch:
        with closing(looking.Renewed(settings, clock)) as look:
            _follow(look.look, every, as_json=as_json)
        return
    rows = [row(late) for late in looking.late_now(settings, clock)]
    if not as_json:
        rows = [each for each in rows if each["end"]]
    columns = [*_COLUMNS]
    if as_json or any(each["lost"] for each in rows):
        columns.append("lost")
    show(rows, columns, as_json=as_json, empty="no topic has records yet")


def row(late: Late) -> dict[str, Any]:
    """A partition as it is listed."""
    return asdict(late.lag) | {"seconds": round(late.seconds, 1)}


def pace_row(pace: Pace) -> dict[str, Any]:
    """A group on a topic as it is listed."""
    return {
        "group": pace.group,
        "topic": pace.topic,
        "lag": pace.records,
        "seconds": round(pace.seconds, 1),
        "in_s": _rounded(pace.came_a_second),
        "done_s": _rounded(pace.done_a_second),
        "caught_up_in": duration(pace.catch_up_seconds),
    }


def duration(seconds: float | None) -> str | None:
    """A time to wait for, for people."""
    if seconds is None:
        return None
    if math.isinf(seconds):
        return "never"
    hours, minutes = divmod(round(seconds) // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min" if seconds >= 120 else f"{seconds:.0f} s"


def _follow(look: Callable[[], Look], every: float, *, as_json: bool) -> None:
    with (
        nullcontext() if as_json else Live(console=Console(), auto_refresh=False, screen=sys.stdout.isatty()) as screen
    ):
        while True:
            began, seen = time.monotonic(), look()
            if screen is None:
                print(json_text(_told(seen), indent=False), flush=True)
            else:
                screen.update(picture(seen), refresh=True)
            time.sleep(max(0.0, began + every - time.monotonic()))


def _told(look: Look) -> dict[str, Any]:
    """A look, for programs."""
    troubles = [finding.text for finding in look.findings]
    return {"at_ms": look.at_ms, "groups": [pace_row(pace) for pace in look.paces], "troubles": troubles}


def picture(look: Look) -> Group:
    """A look, for a terminal."""
    at = time.strftime("%H:%M:%S", time.localtime(look.at_ms / 1000))
    latest = sorted((late for late in look.late if late.lag.lag), key=lambda late: -late.seconds)[:_WORST]
    return Group(
        Text(f"Lag at {at}; Ctrl-C ends"),
        table([pace_row(pace) for pace in look.paces if pace.end], _PACES),
        Text("The latest partitions" if latest else "Nobody is behind"),
        *([table([row(late) for late in latest], _COLUMNS)] if latest else []),
        *(Text(printable(finding.text), style="red") for finding in look.findings),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
