"""What a request for logs of HTTP requests asks, and the lines that answer it (the published "Logpull").

The minute of a record is that of its arrival (``_received``). ``start`` is inclusive and ``end`` exclusive, so that
whoever asks minute after minute is told each record once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from logflume.api import forms
from logflume.api.forms import Form
from logflume.api.problem import Problem
from logflume.api.question import Question
from logflume.errors import Refused
from logflume.explore import filters
from logflume.explore.plain import distinct
from logflume.explore.span import ALWAYS
from logflume.model.dataset import Dataset

HTTP: Final = "http_requests"
"""The dataset whose records they are."""
DEFAULT: Final = (
    "ClientIP",
    "ClientRequestHost",
    "ClientRequestMethod",
    "ClientRequestURI",
    "EdgeEndTimestamp",
    "EdgeResponseBytes",
    "EdgeResponseStatus",
    "EdgeStartTimestamp",
    "RayID",
)
"""The fields that are told when none are named."""
SETTLED: Final = timedelta(minutes=1)
"""How long before now a time range ends at the latest: what arrived later may not have come to rest."""
LONGEST: Final = timedelta(hours=1)
_LEAST_SAMPLE: Final = 0.001
_MOST_SECONDS: Final = 10**12
"""A greater number is one of nanoseconds."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_PARAMETERS: Final = {"start", "end", "count", "sample", "fields", "timestamps", "CVE-2021-44228"}


def between(asked: dict[str, str], dataset: Dataset, now: datetime, most_rows: int) -> tuple[Question, Form]:
    """Return the query that ``/logs/received`` means by its parameters. ``Problem`` 400."""
    _known(asked, _PARAMETERS)
    start, end = (_moment(asked, name) for name in ("start", "end"))
    if start >= end:
        raise _not_read("end must be later than start")
    if end > now - SETTLED:
        raise _not_read(f"end must be at least {SETTLED.seconds} seconds before now")
    if end - start > LONGEST:
        raise _not_read("start and end must not be more than one hour apart")
    within = [
        {"key": "_received", "operator": operator, "value": at.isoformat()}
        for operator, at in (("geq", start), ("lt", end))
    ]
    condition = filters.condition({"where": {"and": within}}, dataset)
    if "sample" in asked:
        condition += f" AND random() < {_sample(asked['sample'])!r}"
    count = _count(asked["count"], most_rows) if "count" in asked else None
    limit = "" if count is None else f" LIMIT {count}"
    sql = f'SELECT {_fields(asked, dataset)} FROM "{dataset.name}" WHERE {condition}{limit}'
    return Question(sql, ALWAYS, most_rows if count is None else count), _form(asked)


def by_id(asked: dict[str, str], dataset: Dataset, id: str, most_rows: int) -> tuple[Question, Form]:
    """Return the query that ``/logs/rayids/{id}`` means. ``Problem`` 400."""
    _known(asked, {"fields", "timestamps"})
    found = filters.condition({"where": {"key": dataset.id_field, "operator": "eq", "value": id}}, dataset)
    sql = f'SELECT {_fields(asked, dataset)} FROM "{dataset.name}" WHERE {found}'
    return Question(sql, ALWAYS, most_rows), _form(asked)


def _known(asked: dict[str, str], names: set[str]) -> None:
    if unknown := sorted(set(asked) - names):
        raise _not_read(f"there is no parameter {unknown[0]!r:.80} here; there are {', '.join(sorted(names))}")


def _moment(asked: dict[str, str], name: str) -> datetime:
    text = asked.get(name, "")
    try:
        if _NUMBER.fullmatch(text):
            number = int(text)
            micros = number * 1_000_000 if number < _MOST_SECONDS else number // 1000
            return _EPOCH + micros * _MICROSECOND
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _not_read(f"{name} is a time: seconds or nanoseconds since 1970, or such as 2018-05-20T10:00:00Z")


def _sample(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not _LEAST_SAMPLE <= found <= 1:
        raise _not_read(f"sample is a number from {_LEAST_SAMPLE} to 1")
    return found


def _count(text: str, most: int) -> int:
    if not (_NUMBER.fullmatch(text) and 1 <= int(text) <= most):
        raise _not_read(f"count is a number from 1 to {most}")
    return int(text)


def _fields(asked: dict[str, str], dataset: Dataset) -> str:
    there = {field.name for field in dataset.fields}
    if not asked.get("fields"):
        return ", ".join(f'"{name}"' for name in DEFAULT if name in there)
    names = list(dict.fromkeys(asked["fields"].split(",")))
    if lacking := [name for name in names if name not in there]:
        raise _not_read(f"fields: {dataset.name} has no field {lacking[0]!r:.80}; /logs/received/fields lists them")
    return ", ".join(f'"{name}"' for name in names)


def _form(asked: dict[str, str]) -> Form:
    spelling = asked.get("timestamps") or "unixnano"
    if spelling not in _TIMES:
        raise _not_read(f"timestamps is one of {', '.join(_TIMES)}")
    redacted = asked.get("CVE-2021-44228", "").lower() == "true"
    # As text: a client that is told of JSON would read the lines as one value.
    return Form("text/plain; charset=utf-8", lambda: _Lines(_TIMES[spelling], redacted))


def _unixnano(column: pa.Array) -> pa.Array:
    return pc.multiply(column.cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64()), 1000)


def _unix(column: pa.Array) -> pa.Array:
    return column.cast(pa.timestamp("s", "UTC"), safe=False).cast(pa.int64())


_TIMES: Final[dict[str, Callable[[pa.Array], pa.Array]]] = {
    "unixnano": _unixnano,
    "unix": _unix,
    "rfc3339": lambda column: column,
}


class _Lines:
    """A record a line. An answer that is cut without having been asked to be breaks off."""

    def __init__(self, time: Callable[[pa.Array], pa.Array], redacted: bool) -> None:
        self._time = time
        self._redacted = redacted

    def begin(self, schema: pa.Schema) -> bytes:
        self._names: Sequence[str] = distinct(schema.names)
        return b""

    def rows(self, batch: pa.RecordBatch) -> bytes:
        columns = [self._time(each) if pa.types.is_timestamp(each.type) else each for each in batch.columns]
        batch = pa.RecordBatch.from_arrays(columns, self._names)
        lines = b"".join(forms.text(record) + b"\n" for record in forms.records(batch, self._names))
        return lines.replace(b"${", b"x{") if self._redacted else lines

    def end(self, about: dict[str, Any]) -> bytes:
        if about["limited"]:
            raise Refused(f"there are more than the {about['limit']} records that any answer has: ask for less time")
        return b""


def _not_read(detail: str) -> Problem:
    return Problem(400, "not-read", detail)
