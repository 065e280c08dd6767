"""Single records: one by its coordinates, those around it, and those that have an id."""

from __future__ import annotations

from typing import Any, Final

from starlette.datastructures import QueryParams
from starlette.responses import HTMLResponse, Response

from logflume.api.coordinates import Coordinates
from logflume.errors import LogflumeError
from logflume.page import parts, zone
from logflume.page.asking import Failed, Watch
from logflume.page.here import NO_STORE, Here
from logflume.page.parts import Part
from logflume.page.view import View

_AROUND: Final = (10, 50, 200)


async def record(here: Here) -> Response:
    """One record, under an address that stays the same for ever."""
    told = await _record(here)
    return here.page("record.html", view=here.view(), at=told["coordinates"], record=told["record"])


async def whole(here: Here) -> Response:
    """The same without a frame, to stand in a table."""
    view = here.view()
    try:
        told = await _record(here)
    except LogflumeError as error:
        return HTMLResponse(parts.failed(error, "the record"), headers=NO_STORE)
    html = here.html("detail.html", view=view, at=told["coordinates"], record=told["record"])
    return HTMLResponse(html, headers=NO_STORE)


async def around(here: Here) -> Response:
    """A record and those before and after it."""
    view, at = here.view(), here.request.path_params["coordinates"]
    text = here.asked("count")
    count = int(text) if text.isascii() and text.isdigit() and int(text[:4]) in _AROUND else _AROUND[0]

    async def made(watch: Watch) -> str:
        path = f"/datasets/{view.dataset.name}/around/{at}"
        told = await here.ask.get(path, watch, before=count, after=count)
        rows = [*told["before"], told["record"], *told["after"]]
        found = [(str(Coordinates.of(row)), row) for row in rows]
        return here.html("around-rows.html", view=view, at=told["coordinates"], rows=found)

    frame = here.html("around.html", view=view, at=at, count=count, counts=_AROUND)
    return parts.response(frame, [Part("rows", "the records around it", made)])


async def find(here: Here) -> Response:
    """The records that have an id, in all datasets that have one."""
    id = here.asked("id").strip()
    if not id:
        return here.page("find.html", id="")

    async def made(watch: Watch) -> str:
        try:
            told: dict[str, Any] = await here.ask.get(f"/find/{id}", watch)
        except Failed as error:
            if error.kind != "not-found":
                raise
            told = {"records": []}
        found = []
        for each in told["records"]:
            view = View.read(here.known[each["dataset"]], QueryParams(since=zone.ALL, tz=here.asked("tz")), here.now)
            found.append((view, str(Coordinates.of(each["record"])), each["record"]))
        return here.html("found.html", id=id, found=found)

    return parts.response(here.html("find.html", id=id), [Part("rows", "the records with this id", made)])


async def _record(here: Here) -> Any:
    return await here.ask.get(f"/datasets/{here.dataset().name}/records/{here.request.path_params['coordinates']}")
