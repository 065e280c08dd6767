"""What there is: a tenant's datasets, how fresh each is, and how much of it there is, also by day."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from logflume.page import queries, zone
from logflume.page.here import Here

_LATELY: Final = 8
_DAYS: Final = ("7", "30", "90")


async def home(here: Here) -> Response:
    """The datasets and their freshness; what was asked lately, and saved."""
    told, asked, kept = await asyncio.gather(*map(here.ask.get, ("/tables", "/queries", "/saved")))
    tables = []
    for each in told["tables"]:
        times = {name: zone.instant(each[name]) for name in ("first", "last", "received")}
        tables.append((here.known[each["dataset"]], each, times))
    tables.sort(key=lambda table: -table[1]["rows"])
    saved = [(each["name"], queries.address(here, each["query"])) for each in kept["queries"]]
    return here.page("home.html", tables=tables, recent=asked["queries"][:_LATELY], saved=saved)


async def usage(here: Here) -> Response:
    """Records and bytes by day."""
    days = here.asked("days") if here.asked("days") in _DAYS else _DAYS[0]
    told = await here.ask.get("/usage", days=days)
    datasets = [(each, _by_day(each)) for each in told["datasets"]]
    return here.page("usage.html", told=told, datasets=datasets, days=days, choices=_DAYS)


def _by_day(told: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """What is told of a dataset, a line a day, the newest first; ``rejected`` by reason."""
    lines: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"received": 0, "in": 0, "at_least": False, "rows": 0, "bytes": 0, "rejected": []}
    )
    for each in told.get("received", []):
        lines[each["day"]] |= {"received": each["records"], "in": each["bytes"], "at_least": each["at_least"]}
    for each in told.get("stored", []):
        lines[each["day"]] |= {"rows": each["rows"], "bytes": each["bytes"]}
    for each in told["rejected"]:
        lines[each["day"]]["rejected"].append((each["reason"], each["records"]))
    return sorted(lines.items(), reverse=True)
