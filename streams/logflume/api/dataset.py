"""Questions about one dataset: its fields and their values, counts over time, a record, and what stands around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from logflume.api import coordinates, forms, histogram, question
from logflume.api.caller import Caller
from logflume.api.coordinates import COLUMNS, Coordinates
from logflume.api.described import (
    COORDINATES,
    COUNTS,
    DATASET,
    FREE_TEXT,
    NUMBER,
    RECORD,
    SINCE,
    TEXT,
    UNTIL,
    WHERE,
    Parameter,
    array,
    described,
    nullable,
    ref,
    thing,
)
from logflume.api.problem import Problem
from logflume.api.question import Question
from logflume.api.running import Runner
from logflume.clock import Clock
from logflume.errors import Refused
from logflume.explore import span
from logflume.explore.engine.engine import Engine
from logflume.explore.recent import Range, Why
from logflume.explore.span import ALWAYS, BEGINNING, Recent, Span
from logflume.model.dataset import Dataset
from logflume.settings import Settings
from logflume.table.schema import DATE

TOP: Final = 20
"""Values of a field that are told."""
MOST_AROUND: Final = 500
"""Records on one side of another."""
_AROUND: Final = 20
_ROWS: Final = 10_000
"""More than any of these questions has: ``explore_rows`` may be less."""
_NEAR: Final = (timedelta(seconds=20), timedelta(hours=1), None)
"""How far from a record its neighbours are looked for: farther when there are too few. Of 280 rows/s the first answers,
in half the time that five minutes take; where an hour has too few, all there is is little."""
_MICROSECOND: Final = timedelta(microseconds=1)
_OWN: Final = {
    "_received": ("timestamp", "When it arrived"),
    "_extra": ("string", "JSON object of what fits none of the fields"),
    "_src_topic": ("string", "Coordinates: the topic's id"),
    "_src_partition": ("int", "Coordinates: the partition"),
    "_src_offset": ("int", "Coordinates: the offset"),
    "_src_row": ("int", "Coordinates: the row of the message"),
    DATE: ("date", "The date (UTC) under which it is filed"),
}


class DatasetQuestions:
    """Endpoints, each for the caller's own tables."""

    def __init__(
        self, datasets: Mapping[str, Dataset], runner: Runner, engine: Engine, settings: Settings, clock: Clock
    ) -> None:
        self._datasets = datasets
        self._runner = runner
        self._engine = engine
        self._settings = settings
        self._clock = clock

    @described(
        "A dataset's fields, or the most frequent values of one",
        parameters=(DATASET, Parameter("values", TEXT, "A field."), SINCE, UNTIL, WHERE, FREE_TEXT),
        answers={
            200: {
                "oneOf": [
                    thing({"dataset": TEXT, "fields": array(ref("Field"))}),
                    thing(
                        {
                            **dict.fromkeys(("dataset", "field", "type"), TEXT),
                            "values": array(thing({"value": {}, "count": NUMBER})),
                            **dict.fromkeys(("distinct", "row_count"), NUMBER),
                            "query": ref("Query"),
                        }
                    ),
                ]
            }
        },
        problems=(404, 422),
    )
    async def fields(self, request: Request, who: Caller) -> Response:
        """The fields and their types; or, of one of them, the most frequent values."""
        dataset = self._dataset(request)
        asked = question.parameters(request, {"values", "since", "until", "where", "q"})
        field = asked.get("values", "")
        if not field:
            if asked:
                raise Problem(400, "not-read", f"{min(asked)!r} goes with values=FIELD")
            return forms.response({"dataset": dataset.name, "fields": fields(dataset)})
        type = _plain(dataset, field, "values")
        condition = question.condition(asked, dataset)
        where = f" WHERE {condition}" if condition else ""
        sql = (
            "SELECT value, n AS count, sum(n) OVER () AS all_rows, count(*) OVER () AS all_values "
            f'FROM (SELECT "{field}" AS value, count(*) AS n FROM "{dataset.name}"{where} GROUP BY 1) AS apart '
            f"ORDER BY n DESC, value LIMIT {TOP}"
        )
        found = await self._runner.whole(request, who.tenant, Question(sql, self._span(asked), TOP))
        first = found.rows[0] if found.rows else {"all_rows": 0, "all_values": 0}
        told = {
            "dataset": dataset.name,
            "field": field,
            "type": type,
            "values": [{"value": row["value"], "count": row["count"]} for row in found.rows],
            "distinct": first["all_values"],
            "row_count": first["all_rows"],
            "query": found.about,
        }
        return forms.response(told)

    @described(
        "Counts over time",
        parameters=(
            DATASET,
            *(SINCE, UNTIL, WHERE, FREE_TEXT),
            Parameter("width", {"type": "string", "pattern": "^[0-9]{1,6}(ms|s|m|h|d|w)$"}, "Of a bucket."),
            Parameter("by", TEXT, "A field whose values are counted apart."),
        ),
        answers={
            200: thing(
                {
                    "dataset": TEXT,
                    **{name: {"type": ["string", "null"], "format": "date-time"} for name in ("since", "until")},
                    "width": nullable("string"),
                    "range": ref("Range"),
                    "starts": array({"type": "string", "format": "date-time"}),
                    "counts": COUNTS,
                },
                width_seconds={"type": "number"},
                by=TEXT,
                values=array(thing({"value": {}, "counts": COUNTS})),
                other=COUNTS,
                query=ref("Query"),
            )
        },
        problems=(404, 422),
    )
    async def histogram(self, request: Request, who: Caller) -> Response:
        """Counts over time."""
        dataset = self._dataset(request)
        asked = question.parameters(request, {"since", "until", "width", "by", "where", "q"})
        by = asked.get("by", "")
        if by:
            _plain(dataset, by, "by")
        condition = question.condition(asked, dataset)
        range = await self._range(who, dataset, asked, condition)
        within = await self._bounded(request, who, dataset, range.span, condition)
        told: dict[str, Any] = {"dataset": dataset.name, "since": within.since, "until": within.until, "width": None}
        told["range"] = range.told()
        if within.since is None or within.until is None:
            empty = {"by": by, "values": [], "other": []} if by else {}
            return forms.response(told | {"starts": [], "counts": []} | empty)
        buckets = histogram.cut(within.since, within.until, asked.get("width", ""))
        about = (dataset.name, dataset.time_field, condition, buckets)
        sql = histogram.stacked(*about, by) if by else histogram.counts(*about)
        found = await self._runner.whole(request, who.tenant, Question(sql, within, _ROWS))
        told |= {"width": buckets.width, "width_seconds": buckets.micros / 1e6}
        return forms.response(told | histogram.columns(buckets, found.rows, by) | {"query": found.about})

    @described(
        "One record",
        parameters=(DATASET, COORDINATES),
        answers={200: thing({"dataset": TEXT, "coordinates": TEXT, "record": RECORD, "query": ref("Query")})},
        problems=(404, 422),
    )
    async def record(self, request: Request, who: Caller) -> Response:
        """One record, by its coordinates."""
        dataset, at = self._dataset(request), coordinates.read(request.path_params["coordinates"])
        question.parameters(request, set())
        record, about = await self._record(request, who, dataset, at)
        told = {"dataset": dataset.name, "coordinates": str(at), "record": record, "query": about}
        return forms.response(told)

    @described(
        "A record, and those before and after it",
        parameters=(
            *(DATASET, COORDINATES),
            *(Parameter(side, {**NUMBER, "maximum": MOST_AROUND}) for side in ("before", "after")),
        ),
        answers={
            200: thing(
                {
                    **dict.fromkeys(("dataset", "coordinates"), TEXT),
                    **{name: array(RECORD) for name in ("before", "after")},
                    "record": RECORD,
                }
            )
        },
        problems=(404, 422),
    )
    async def around(self, request: Request, who: Caller) -> Response:
        """The records before and after one, the oldest first: by time, and at equal times by coordinates."""
        dataset, at = self._dataset(request), coordinates.read(request.path_params["coordinates"])
        asked = question.parameters(request, {"before", "after"})
        before, after = (question.number(asked, side, _AROUND, MOST_AROUND) for side in ("before", "after"))
        record, _ = await self._record(request, who, dataset, at)
        told = {
            "dataset": dataset.name,
            "coordinates": str(at),
            "before": (await self._beside(request, who, dataset, record, "<", before))[::-1],
            "record": record,
            "after": await self._beside(request, who, dataset, record, ">", after),
        }
        return forms.response(told)

    def _dataset(self, request: Request) -> Dataset:
        return question.named(self._datasets, request.path_params["dataset"])

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)

    def _span(self, asked: Mapping[str, Any]) -> Span | Recent:
        recent = self._settings.explore_recent_seconds
        return span.asked(asked.get("since", ""), asked.get("until", ""), self._now(), recent)

    async def _range(self, who: Caller, dataset: Dataset, asked: dict[str, Any], condition: str) -> Range:
        """What a histogram is about; what began at a time, and has no end, ends now."""
        if asked.get("since", BEGINNING) != BEGINNING:
            asked.setdefault("until", "now")
        sql = f'SELECT 1 FROM "{dataset.name}"' + (f" WHERE {condition}" if condition else "")
        range = await self._engine.range(who.tenant, sql, self._span(asked))
        if range.why is Why.RECENT:
            return replace(range, span=Span(range.span.since, self._now()))
        return range

    async def _bounded(self, request: Request, who: Caller, dataset: Dataset, within: Span, condition: str) -> Span:
        """Give a time range both its ends, those of the data where it has none; it has none when there is no record."""
        if within.since is not None and within.until is not None:
            return within
        where = f" WHERE {condition}" if condition else ""
        at = f'{histogram.when(dataset.time_field)} AS at FROM "{dataset.name}"{where}'
        sql = f"SELECT min(at) AS first, max(at) AS last FROM (SELECT {at}) AS times"
        [row] = (await self._runner.whole(request, who.tenant, Question(sql, within, 1))).rows
        if row["first"] is None:
            return ALWAYS
        return Span(histogram.moment(row["first"]), within.until or histogram.moment(row["last"] + 1))

    async def _record(
        self, request: Request, who: Caller, dataset: Dataset, at: Coordinates
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        sql = f'SELECT * FROM "{dataset.name}" WHERE {at.condition}'
        found = await self._runner.whole(request, who.tenant, Question(sql, ALWAYS, 2))
        if not found.rows:
            raise Problem(404, "not-found", f"{dataset.name} has no record of this tenant at {at}, or no longer")
        return found.rows[0], found.about

    async def _beside(
        self, request: Request, who: Caller, dataset: Dataset, record: Mapping[str, Any], sign: str, count: int
    ) -> list[dict[str, Any]]:
        """Return the records on one side of another, the nearest first."""
        at: datetime | None = record[dataset.time_field] or record["_received"]
        if at is None:
            raise Refused("this record has neither a time nor an arrival: nothing is before or after it")
        when, micros = histogram.when(dataset.time_field), histogram.micros(at)
        direction = "DESC" if sign == "<" else "ASC"
        order = ", ".join(f"{each} {direction}" for each in (when, *(f'"{name}"' for name in COLUMNS)))
        sql = (
            f'SELECT * FROM "{dataset.name}" WHERE ({when} {sign} {micros} '
            f"OR ({when} = {micros} AND {Coordinates.of(record).beyond(sign)})) ORDER BY {order} LIMIT {count}"
        )
        rows: list[dict[str, Any]] = []
        for near in _NEAR if count else ():
            if sign == "<":
                within = Span(None if near is None else at - near, at + _MICROSECOND)
            else:
                within = Span(at, None if near is None else at + near)
            rows = (await self._runner.whole(request, who.tenant, Question(sql, within, count))).rows
            if len(rows) == count:
                break
        return rows


def fields(dataset: Dataset) -> list[dict[str, Any]]:
    """Return what there is to say of a dataset's fields, and of Logflume's own columns behind them."""
    told = [{"name": f.name, "type": str(f.type), "description": f.description} for f in dataset.fields]
    return told + [{"name": name, "type": type, "description": text} for name, (type, text) in _OWN.items()]


def _plain(dataset: Dataset, name: str, parameter: str) -> str:
    """Return the type of a field whose values can be counted; ``Problem`` 400 for no field, ``Refused`` for others."""
    types = {field["name"]: field["type"] for field in fields(dataset)}
    if name not in types:
        raise Problem(400, "not-read", f"{parameter}: {dataset.name} has no field {name!r:.80}")
    type: str = types[name]
    if type == "map" or type.startswith("array"):
        raise Refused(f"{parameter}: {name} is a {type}, whose values are not counted; ask in SQL for what is in it")
    return type
