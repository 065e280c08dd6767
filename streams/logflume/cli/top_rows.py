"""What `logflume top` lists: a look as rows, view by view. Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from logflume.cli.lag import duration
from logflume.kafka.status import OTHERS, Seen
from logflume.watch.causes import STAGES, Limits, causes
from logflume.watch.look import Look

Row = Mapping[str, Any]
"""A line: values by column. ``key`` names it from look to look; what is under ``more`` is shown when it is opened."""

_BARS: Final = "▁▂▃▄▅▆▇█"
_REMEMBERED: Final = 40


@dataclass(frozen=True, slots=True)
class View:
    """A list. ``order``: the column that it is sorted by at first, the largest on top."""

    name: str
    columns: tuple[str, ...]
    order: str
    rows: Callable[[Look, History], list[Row]]


class History:
    """How late stages and groups were at the last looks, for their curves."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lines: dict[tuple[str, ...], deque[float]] = {}

    def take(self, look: Look) -> None:
        """Remember a look."""
        for stage in STAGES:
            self._note((stage,), max((late.seconds for late in look.late if late.stage == stage), default=0.0))
        for pace in look.paces:
            self._note((pace.group, pace.topic), pace.seconds)

    def line(self, *of: str) -> str:
        """The curve of a stage, or of a group on a topic."""
        return spark(self._lines.get(of, ()))

    def _note(self, of: tuple[str, ...], value: float) -> None:
        self._lines.setdefault(of, deque(maxlen=_REMEMBERED)).append(value)


def spark(values: Iterable[float]) -> str:
    """A curve in one line of text, from 0 to the largest value."""
    found = list(values)
    top = max(found, default=0.0)
    return "".join(_BARS[min(7, int(8 * value / top)) if top > 0 else 0] for value in found)


def stages(look: Look, history: History) -> list[Row]:
    """Edge, sort and sink: who works, how fast, how late, how near a limit."""
    found = causes(look.late, look.workers, history.limits)
    rows: list[Row] = []
    for stage in ("edge", *STAGES):
        workers = [seen for seen in look.workers if seen.status.worker.kind == stage]
        fresh = [seen.status for seen in workers if not seen.stale]
        late = [each for each in look.late if each.stage == stage]
        groups = {each.lag.group for each in late}
        waits = [pace.catch_up_seconds for pace in look.paces if pace.group in groups]
        share = max((cause.share for cause in found if cause.stage == stage), default=0.0)
        if stage == "edge":
            share = max((max(s.condition.spool_share or 0.0, s.condition.queue_share) for s in fresh), default=0.0)
        rows.append(
            {
                "key": stage,
                "stage": stage,
                "workers": len(fresh),
                "stale": len(workers) - len(fresh),
                "rows_s": round(sum(status.rows_a_second for status in fresh)),
                "lag": sum(each.lag.lag for each in late) if stage != "edge" else None,
                "late_s": _late(stage, late, fresh),
                "caught_up_in": duration(max((wait for wait in waits if wait is not None), default=None)),
                "pressure": f"{share:.0%}",
                "parked": sum(status.condition.parked_pairs for status in fresh),
                "curve": history.line(stage),
            }
        )
    return rows


def groups(look: Look, history: History) -> list[Row]:
    """Each group on each topic."""
    return [
        {
            "key": f"{pace.group} {pace.topic}",
            "group": pace.group,
            "topic": pace.topic,
            "lag": pace.records,
            "late_s": round(pace.seconds, 1),
            "in_s": _rounded(pace.came_a_second),
            "done_s": _rounded(pace.done_a_second),
            "caught_up_in": duration(pace.catch_up_seconds),
            "lost": pace.lost,
            "curve": history.line(pace.group, pace.topic),
        }
        for pace in look.paces
    ]


def partitions(look: Look, _: History) -> list[Row]:
    """Each partition of each group that has, or had lately, something in it."""
    return [
        {"key": f"{late.lag.group} {late.partition}", "late_s": round(late.seconds, 1), **asdict(late.lag)}
        for late in look.late
        if late.used or late.lag.lost
    ]


def workers(look: Look, _: History) -> list[Row]:
    """Each worker, and its configuration."""
    return [_worker(seen) for seen in look.workers]


def tenants(look: Look, _: History) -> list[Row]:
    """The tables of tenants that sinks name, and the others as one."""
    return [
        {
            "key": f"{share.tenant} {share.dataset}",
            "tenant": share.tenant if share.tenant != OTHERS else "all others",
            "dataset": share.dataset or "–",
            "late_s": round(share.wait_seconds, 1),
            "waiting_rows": share.waiting_rows,
            "rows_min": share.stored_rows,
            "kb_min": share.stored_bytes // 1000,
            "fresh_s": round(share.fresh_seconds, 1),
        }
        for share in look.tenants
    ]


def troubles(look: Look, _: History) -> list[Row]:
    """What somebody should look at: of groups, and in the words of workers."""
    said: dict[str, list[str]] = {}
    for seen in look.workers:
        it, who = seen.status.condition, f"{seen.status.worker.kind} {seen.status.worker.id}"
        silent = [f"silent for {seen.age_seconds:.0f} s"] if seen.stale else []
        refused = [f"configuration refused: {it.in_force.refused}"] if it.in_force.refused else []
        own = it.troubles if seen.status.worker.kind != "watch" else ()  # a watch tells of groups, as we do
        for text in (*silent, *refused, *own):
            said.setdefault(text, []).append(who)
    rows: list[Row] = [
        {"key": finding.text, "who": finding.group or finding.topic, "what": finding.text} for finding in look.findings
    ]
    return rows + [{"key": text, "who": ", ".join(who), "what": text} for text, who in said.items()]


def _view(name: str, order: str, rows: Callable[[Look, History], list[Row]], columns: str) -> View:
    return View(name, tuple(columns.split()), order, rows)


VIEWS: Final = (
    _view("groups", "late_s", groups, "group topic lag late_s in_s done_s caught_up_in lost curve"),
    _view("partitions", "late_s", partitions, "group topic partition offset end lag late_s lost"),
    _view(
        "workers",
        "kind",
        workers,
        "kind id state age_s generation late_s rows_s memory_mb paused parked parked_left",
    ),
    _view("tenants", "late_s", tenants, "tenant dataset late_s waiting_rows rows_min kb_min fresh_s"),
    _view("troubles", "who", troubles, "who what"),
)
_STAGES: Final = "stage workers stale rows_s lag late_s caught_up_in pressure parked curve"
STAGE_COLUMNS: Final = tuple(_STAGES.split())


def ordered(rows: Sequence[Row], column: str, *, descending: bool) -> list[Row]:
    """Sort by a column; what has no value comes last either way, and texts stand beside numbers."""
    there = [row for row in rows if row.get(column) is not None]
    missing = [row for row in rows if row.get(column) is None]
    there.sort(key=lambda row: _comparable(row[column]), reverse=descending)
    return there + missing


def _comparable(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def _worker(seen: Seen) -> Row:
    worker, it = seen.status.worker, seen.status.condition
    left = it.parked_left_seconds
    return {
        "key": f"{worker.kind} {worker.id}",
        "kind": worker.kind,
        "id": worker.id,
        "state": "stale" if seen.stale else "fresh",
        "age_s": round(seen.age_seconds, 1),
        "generation": it.in_force.generation or None,
        "late_s": _rounded(it.lag_seconds),
        "rows_s": round(seen.status.rows_a_second),
        "memory_mb": it.resident_bytes // 1_000_000,
        "paused": round(it.paused_share, 2),
        "parked": it.parked_pairs,
        "parked_left": None if left is None or math.isinf(left) else duration(left),
        "more": {
            "configuration": it.in_force.config_hash,
            "made": _ago(it.in_force.config_seconds),
            "refused": it.in_force.refused,
            "budget": f"{it.held_bytes / 1e6:.0f} of {it.budget_bytes / 1e6:.0f} MB held",
            "spool": None
            if it.spool_share is None
            else f"{it.spool_share:.0%} full, the oldest {it.spool_seconds:.0f} s",
            "stopped": ", ".join(it.stopped),
            "host": f"{worker.host}, process {worker.pid}, version {worker.version}",
            "troubles": "\n".join(it.troubles),
        },
    }


def _late(stage: str, late: Sequence[Any], fresh: Sequence[Any]) -> float:
    if stage == "edge":
        return round(max((status.condition.lag_seconds or 0.0 for status in fresh), default=0.0), 1)
    return round(max((each.seconds for each in late), default=0.0), 1)


def _ago(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s ago"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
