"""``/usage``: what came in of a tenant, what was rejected and why, and what is stored, by day and dataset.

Stored: exact, from the tables' logs at one version; no file is opened. Received: the rows at rest, by the day of their
arrival, from the logs where a file's bounds lie within one day, and counted by a query where they do not. Rows on
their way, and rows that retention has taken, are not there: the number is a lower bound for days that retention has
begun to take. Their bytes are those of their values (``table/weight.py``), as the log says of each file; a file whose
rows came on two days counts on the later. Rejected: the tenant's dead letters, each once, as long as they are kept;
what could not be read as anybody's is nobody's, and a letter of a whole message counts one, whatever was in it: a lower
bound as well.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pyarrow.compute as pc
import structlog
from starlette.requests import Request
from starlette.responses import Response

from logflume.api import forms, question
from logflume.api.caller import Caller
from logflume.api.described import DAY, FLAG, NUMBER, TEXT, Parameter, array, described, nullable, thing
from logflume.api.problem import Problem
from logflume.api.question import Question
from logflume.api.rejected import DAYS, Key, Rejected
from logflume.api.running import Runner
from logflume.clock import Clock
from logflume.config import Source
from logflume.errors import LogflumeError, Refused
from logflume.explore.snapshots import NoTable, Snapshot, Snapshots
from logflume.explore.span import ALWAYS
from logflume.table import actions
from logflume.table.schema import DATE
from logflume.table.store import Store

MOST_DAYS: Final = 90
_DAYS: Final = 7
_PATIENCE_SECONDS: Final = 10.0
"""For dead letters: a first look reads two weeks of them, and goes on when nobody waits."""

_log = structlog.get_logger(__name__)


class Usage:
    """The endpoint, for the caller's own."""

    def __init__(
        self,
        source: Source,
        store: Store,
        snapshots: Snapshots,
        runner: Runner,
        rejected: Rejected | None,
        clock: Clock,
    ) -> None:
        """Without ``rejected`` nobody knows of dead letters."""
        self._source = source
        self._store = store
        self._snapshots = snapshots
        self._runner = runner
        self._rejected = rejected
        self._clock = clock

    @described(
        "What came in, what was rejected and what is stored, by day",
        parameters=(Parameter("days", {"type": "integer", "minimum": 1, "maximum": MOST_DAYS}),),
        answers={
            200: thing(
                {
                    "tenant": TEXT,
                    "since": DAY,
                    "datasets": array(
                        thing(
                            {
                                "dataset": TEXT,
                                "rejected": array(
                                    thing({"day": DAY, "reason": TEXT, "records": NUMBER, "bytes": NUMBER})
                                ),
                            },
                            trouble=TEXT,
                            **dict.fromkeys(("retention_days", "rows", "bytes", "files"), NUMBER),
                            stored=array(thing({"day": DAY, "rows": NUMBER, "bytes": NUMBER, "files": NUMBER})),
                            received=array(
                                thing({"day": DAY, "records": NUMBER, "bytes": nullable("integer"), "at_least": FLAG})
                            ),
                        )
                    ),
                    "rejections": thing({"since": DAY, "known": FLAG, "because": nullable("string")}),
                }
            )
        },
        problems=(422,),
    )
    async def usage(self, request: Request, who: Caller) -> Response:
        """By day and dataset."""
        days = question.number(question.parameters(request, {"days"}), "days", _DAYS, MOST_DAYS)
        if not days:
            raise Problem(400, "not-read", f"days is a number from 1 to {MOST_DAYS}")
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        first = now.date() - timedelta(days=days - 1)
        letters, why = await self._letters(who)
        told: list[dict[str, Any]] = []
        for name, wanted in sorted(self._source.current().tenants[who.tenant].datasets.items()):
            kept_from = (now - timedelta(days=wanted.retention_days)).date() + timedelta(days=1)
            try:
                stored, received, sizes = await self._table(request, who, name, first)
            except Refused as error:  # such as one that was deleted in part: the others are told all the same
                told.append({"dataset": name, "rejected": _rejected(letters, name, first), "trouble": str(error)})
                continue
            told.append(
                {
                    "dataset": name,
                    "retention_days": wanted.retention_days,
                    **_stored(stored),
                    "received": [
                        {"day": day, "records": n, "bytes": sizes.get(day, 0), "at_least": day < kept_from}
                        for day, n in sorted(received.items())
                    ],
                    "rejected": _rejected(letters, name, first),
                }
            )
        others = {key.dataset for key in letters} - {each["dataset"] for each in told}
        told += [{"dataset": name, "rejected": _rejected(letters, name, first)} for name in sorted(others)]
        about = {"since": max(first, now.date() - timedelta(days=DAYS)), "known": why is None, "because": why}
        return forms.response({"tenant": who.tenant, "since": first, "datasets": told, "rejections": about})

    async def _table(
        self, request: Request, who: Caller, name: str, first: date
    ) -> tuple[Snapshot | None, Mapping[date, int], Mapping[date, int | None]]:
        """A dataset's table, if there is one; by the day of arrival its rows, and their bytes (None: not known)."""
        try:
            snapshot = await asyncio.to_thread(self._snapshots.read, who.tenant, name)
            received = by_arrival(snapshot, first)
            if received is None:
                sql = (
                    f'SELECT CAST("_received" AS DATE) AS day, count(*) AS n FROM "{name}" '
                    f"WHERE \"_received\" >= '{first.isoformat()}T00:00:00Z' GROUP BY 1"
                )
                rows = (await self._runner.whole(request, who.tenant, Question(sql, ALWAYS, 10_000))).rows
                received = {row["day"]: row["n"] for row in rows}
            weights = await asyncio.to_thread(actions.value_bytes, self._store, snapshot.path)
            return snapshot, received, bytes_by_arrival(snapshot, weights)
        except NoTable:
            return None, {}, {}

    async def _letters(self, who: Caller) -> tuple[Mapping[Key, tuple[int, int]], str | None]:
        """The tenant's rejected records, or why they are not known."""
        if self._rejected is None:
            return {}, "this server knows no Kafka"
        looking = asyncio.create_task(asyncio.to_thread(self._rejected.of, who.tenant))
        looking.add_done_callback(_heard)
        try:
            return await asyncio.wait_for(asyncio.shield(looking), _PATIENCE_SECONDS), None
        except TimeoutError:
            return {}, "they are still being read; ask again in a minute"
        except LogflumeError as error:
            _log.warning("usage.no-letters", error=str(error))
            return {}, "Kafka did not tell them; ask again"


def by_arrival(snapshot: Snapshot, first: date) -> dict[date, int] | None:
    """Return a table's rows by the day of their arrival, from ``first`` on; None when its log alone can't tell."""
    names = ("min._received", "max._received")
    if not set(names) <= set(snapshot.files.schema.names):
        return None if snapshot.rows else {}
    found: Counter[date] = Counter()
    lows, highs = (snapshot.files.column(name).to_pylist() for name in names)
    for low, high, rows in zip(lows, highs, snapshot.files.column("num_records").to_pylist(), strict=True):
        if low is None or high is None or rows is None:
            return None
        # Bounds may be cut to milliseconds: the last row may be a little later.
        day, last = low.date(), (high + timedelta(milliseconds=1)).date()
        if last < first:
            continue
        if day != last:
            return None
        found[day] += rows
    return dict(found)


def bytes_by_arrival(snapshot: Snapshot, weights: Mapping[str, int]) -> dict[date, int | None]:
    """Return the bytes of a table's records by the day of their arrival; None where a file's are not among ``weights``.

    A file that was written before files said so has none, nor has one that was merged since the snapshot was read.
    """
    found: dict[date, int | None] = {}
    if "max._received" not in snapshot.files.schema.names:
        return found
    for path, high in zip(
        *(snapshot.files.column(name).to_pylist() for name in ("path", "max._received")), strict=True
    ):
        if high is not None:
            had, weight = found.get(high.date(), 0), weights.get(path)
            found[high.date()] = None if had is None or weight is None else had + weight
    return found


def _stored(snapshot: Snapshot | None) -> dict[str, Any]:
    if snapshot is None:
        return {"rows": 0, "bytes": 0, "files": 0, "stored": []}
    of_day = snapshot.files.group_by(f"partition.{DATE}").aggregate(
        [("num_records", "sum"), ("size_bytes", "sum"), ("path", "count")]
    )
    of_day = of_day.take(pc.sort_indices(of_day.column(f"partition.{DATE}")))
    names = (f"partition.{DATE}", "num_records_sum", "size_bytes_sum", "path_count")
    rows = zip(*(of_day.column(name).to_pylist() for name in names), strict=True)
    return {
        "rows": snapshot.rows,
        "bytes": snapshot.size,
        "files": snapshot.files.num_rows,
        "stored": [{"day": day, "rows": n, "bytes": size, "files": files} for day, n, size, files in rows],
    }


def _rejected(letters: Mapping[Key, tuple[int, int]], dataset: str, first: date) -> list[dict[str, Any]]:
    return [
        {"day": key.day, "reason": key.reason, "records": n, "bytes": size}
        for key, (n, size) in sorted(letters.items())
        if key.dataset == dataset and key.day >= first
    ]


def _heard(looking: asyncio.Task[Any]) -> None:
    """Nobody may wait any more: what failed then is told to the next who asks."""
    if not looking.cancelled():
        looking.exception()
