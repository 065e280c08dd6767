"""A tenant's queries: those that run, with their progress and a way to end them; the last that ended; those saved."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams
from starlette.responses import RedirectResponse, Response

from logflume.api import question
from logflume.api.problem import Problem
from logflume.errors import LogflumeError
from logflume.explore import span
from logflume.page import zone
from logflume.page.asking import Failed
from logflume.page.forms import form
from logflume.page.here import Here
from logflume.page.view import Condition, View

_UNKNOWN: Final = {"scanned": None, "row_count": 0, "problem": None}
"""What is not said of a query that waits, or did not fail."""
_OVER: Final = ("done", "failed", "cancelled")


async def queries(here: Here) -> Response:
    """All of them."""
    return await _page(here)


async def cancel(here: Here) -> Response:
    """End one."""
    await here.ask.send("DELETE", f"/query/{here.request.path_params['id']}")
    return RedirectResponse("/queries", 303)


async def save(here: Here) -> Response:
    """Save what the form's page showed, under a name."""
    asked = await form(here.request)
    name = asked.get("name", "").strip()
    if not name or "/" in name:
        raise Problem(400, "not-read", "a saved query has a name, without / in it")
    path = f"/saved/{name}"
    try:
        if asked.get("replace"):
            seen, _ = await here.ask.send("GET", path)
            await here.ask.send("PUT", path, _saved(here, asked), if_match=seen["etag"])
        else:
            await here.ask.send("PUT", path, _saved(here, asked), if_none_match="*")
    except Failed as error:
        if error.status != 412:
            raise
        return await _page(here, 409, f"There is a saved query “{name}” already. It was left as it is.")
    return RedirectResponse("/queries#saved", 303)


async def delete(here: Here) -> Response:
    """Forget a saved one, if it is still the one that was seen."""
    asked = await form(here.request)
    try:
        await here.ask.send("DELETE", f"/saved/{here.request.path_params['name']}", if_match=asked.get("etag", ""))
    except Failed as error:
        if error.status != 412:
            raise
        return await _page(here, 409, "Somebody has changed this query meanwhile. It was left as it is.")
    return RedirectResponse("/queries#saved", 303)


async def _page(here: Here, status: int = 200, trouble: str = "") -> Response:
    told, kept = await asyncio.gather(here.ask.get("/queries"), here.ask.get("/saved"))
    asked = [_UNKNOWN | each for each in told["queries"]]
    return here.page(
        "queries.html",
        status,
        running=[each for each in asked if each["state"] not in _OVER],
        ended=[each for each in asked if each["state"] in _OVER],
        saved=[(each, address(here, each["query"])) for each in kept["queries"]],
        trouble=trouble,
    )


def _saved(here: Here, asked: Mapping[str, str]) -> dict[str, Any]:
    """What is saved of a page: its question as the API takes it, with the time range as it was written."""
    told: dict[str, Any]
    shown = QueryParams(asked.get("query", ""))
    if dataset := asked.get("dataset"):
        if dataset not in here.datasets:
            raise Problem(404, "not-found", f"{here.tenant} keeps no dataset {dataset!r:.80}")
        view = View.read(here.known[dataset], shown, here.now)
        ends = {"since": view.since, "until": view.until}
        where = view.where()
        told = {"dataset": dataset, "q": view.q, "fields": list(view.columns), "order": view.ordered}
        told |= {"where": where} if where else {}
        where_zone = view.zone
    else:
        told = {"sql": shown.get("sql", "")}
        ends = {name: shown.get(name, "") for name in ("since", "until")}
        where_zone = zone.zone(shown.get("tz", ""))
    for name, text in ends.items():
        if text == zone.ALL:
            told[name] = span.BEGINNING
        elif text and text != "now":
            at = zone.read(name, text, where_zone, here.now)
            told[name] = text if at is None or zone.relative(text) else zone.spelt(at)
    return {name: value for name, value in told.items() if value not in ("", [])}


def address(here: Here, query: Mapping[str, Any]) -> str:
    """Return where a saved query is shown: as a filter if it can be written so, else as its SQL."""
    ends: dict[str, Any] = {
        "since": zone.ALL if query.get("since", span.BEGINNING) == span.BEGINNING else query["since"],
        "until": query.get("until") or "",
    }
    dataset = here.known.get(query.get("dataset", ""))
    if "sql" in query or dataset is None or dataset.name not in here.datasets:
        return _sql(query.get("sql", ""), ends)
    rows = rows_of(query.get("where"))
    if rows is None:
        try:
            return _sql(question.filtered(query, dataset), ends)
        except LogflumeError:
            return f"/explore/{dataset.name}"
    shown: dict[str, Any] = {
        "q": query.get("q", ""),
        "order": query.get("order", ""),
        "show": tuple(query.get("fields", ())),
    }
    return View(dataset, here.now, conditions=rows, **ends, **shown).url()


def _sql(text: str, ends: Mapping[str, str]) -> str:
    return "/sql?" + urlencode({"sql": text} | {name: each for name, each in ends.items() if each}, quote_via=quote)


def rows_of(where: Any) -> tuple[Condition, ...] | None:
    """Return the rows that a filter is; None when it is none of alternatives of conditions, as rows are."""
    if not where:
        return ()
    alternatives = where["or"] if set(where) == {"or"} else [where]
    rows: list[Condition] = []
    for number, each in enumerate(alternatives):
        parts = each["and"] if set(each) == {"and"} else [each]
        for at, part in enumerate(parts):
            if not {"key", "operator"} <= set(part):
                return None
            join = "or" if number and not at else "and"
            rows.append(Condition(part["key"], part["operator"], _written(part.get("value", "")), join))
    return tuple(rows)


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_written(each) for each in value)
    return str(value).lower() if isinstance(value, bool) else str(value)
