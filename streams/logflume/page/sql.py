"""SQL by hand: an editor that completes names, the answer as a table, or as a file."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from logflume.api.dataset import fields
from logflume.errors import LogflumeError, Refused
from logflume.page import parts, zone
from logflume.page.asking import Watch
from logflume.page.download import download
from logflume.page.here import NO_STORE, Here
from logflume.page.parts import Part

SHOWN_ROWS: Final = 1_000
"""Of an answer; a file has them all."""
_FUNCTIONS: Final = (
    ("time_bucket", "time_bucket('5 minutes', time)"),
    ("contains_text", "contains_text('word')"),
    ("ip_in", "ip_in(ClientIP, '192.0.2.0/24')"),
    ("json_text", "json_text(_extra, 'a.b[0]')"),
    ("json_number", "json_number(_extra, 'a.b')"),
    ("count", "count(*)"),
    ("sum", "sum(x)"),
    ("avg", "avg(x)"),
    ("min", "min(x)"),
    ("max", "max(x)"),
    ("median", "median(x)"),
    ("approx_percentile_cont", "approx_percentile_cont(0.95) WITHIN GROUP (ORDER BY x)"),
    ("approx_distinct", "approx_distinct(x)"),
    ("coalesce", "coalesce(x, y)"),
    ("date_trunc", "date_trunc('hour', time)"),
    ("split_part", "split_part(text, '/', 2)"),
    ("strpos", "strpos(text, 'part')"),
    ("starts_with", "starts_with(text, 'part')"),
    ("lower", "lower(text)"),
    ("regexp_like", "regexp_like(text, 'pattern')"),
    ("row_number", "row_number() OVER (PARTITION BY x ORDER BY y)"),
)
_KEYWORDS: Final = (
    *("SELECT", "DISTINCT", "FROM", "WHERE", "AND", "OR", "NOT", "IN", "LIKE", "IS", "NULL", "BETWEEN", "GROUP BY"),
    *("HAVING", "ORDER BY", "DESC", "ASC", "LIMIT", "OFFSET", "WITH", "AS", "JOIN", "LEFT JOIN", "ON", "UNION ALL"),
    *("CASE", "WHEN", "THEN", "ELSE", "END", "FILTER", "OVER", "PARTITION BY", "INTERVAL", "CAST", "TIMESTAMP"),
)


async def sql(here: Here) -> Response:
    """The editor, and the answer when there is a question."""
    text = here.asked("sql").strip()
    if text and not here.asked("since"):
        query = str(here.request.url.include_query_params(since="1h").query)
        return RedirectResponse(f"/sql?{query}", 303, NO_STORE)
    since = here.asked("since") or "1h"
    mistake = ""
    try:
        question = _question(here, text)
    except LogflumeError as error:
        mistake, question = str(error), {}
    frame = here.html(
        "sql.html",
        text=text,
        since=since,
        until=here.asked("until"),
        tz=here.asked("tz"),
        mistake=mistake,
        asked=bool(text),
        example=_example(here),
    )
    if mistake or not text:
        return HTMLResponse(frame, 400 if mistake else 200, NO_STORE)

    async def made(watch: Watch) -> str:
        told = await here.ask.query(question | {"limit": SHOWN_ROWS}, watch)
        return here.html("answer.html", told=told, zone=_zone(here))

    return parts.response(frame, [Part("rows", "the answer", made)])


async def export(here: Here) -> Response:
    """The answer as a file."""
    return await download(here, _question(here, here.asked("sql")), here.asked("format"), "query")


async def words(here: Here) -> Response:
    """What the editor completes: datasets, their fields, functions, and SQL's own words."""
    told: dict[str, list[str]] = {}
    for name in here.datasets:
        told.setdefault(name, []).append("dataset")
        for each in fields(here.known[name]):
            told.setdefault(each["name"], []).append(f"{each['type']} · {name}")
    found = [{"word": word, "says": "; ".join(says[:3]), "insert": word} for word, says in told.items()]
    found += [{"word": word, "says": "function", "insert": insert} for word, insert in _FUNCTIONS]
    found += [{"word": word, "says": "", "insert": word} for word in _KEYWORDS]
    return JSONResponse({"words": found}, headers=NO_STORE)


def _question(here: Here, text: str) -> dict[str, Any]:
    where = _zone(here)
    since = zone.read("from", here.asked("since"), where, here.now)
    until = zone.read("to", here.asked("until"), where, here.now)
    if since is not None and until is not None and since >= until:
        raise Refused(f"the time range ends ({here.asked('until')}) before it begins ({here.asked('since')})")
    return {"sql": text} | zone.ends(since, until)


def _zone(here: Here) -> Any:
    return zone.zone(here.asked("tz"))


def _example(here: Here) -> str:
    if not here.datasets:
        return ""
    name = "http_requests" if "http_requests" in here.datasets else here.datasets[0]
    time = here.known[name].time_field
    return f"SELECT time_bucket('5 minutes', \"{time}\") AS at, count(*) AS n\nFROM {name}\nGROUP BY 1 ORDER BY 1"
