"""A dataset: its records in a time range, counted over time, filtered, as a table; its fields and their values."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from starlette.responses import HTMLResponse, RedirectResponse, Response

from logflume.api.coordinates import Coordinates
from logflume.api.problem import Problem
from logflume.errors import LogflumeError, Refused
from logflume.page import chart, parts, zone
from logflume.page.asking import Watch
from logflume.page.download import download
from logflume.page.here import NO_STORE, Here
from logflume.page.parts import Part
from logflume.page.view import OPERATORS, PAGE_ROWS, View

_USUAL: Final = timedelta(hours=1)
EXPORTED_ROWS: Final = 10_000
"""Unless another number is asked for."""


async def explore(here: Here) -> Response:
    """The whole of it."""
    view = here.view()
    if not view.since and not view.until:
        return RedirectResponse(await _usual(here, view), 303, NO_STORE)
    told = _Told(here, view)
    frame = here.html("explore.html", view=view, told=told, operators=OPERATORS)
    if told.mistake:
        return HTMLResponse(frame, 400, NO_STORE)
    if told.address != view.url():
        return RedirectResponse(told.address, 303, NO_STORE)
    shown = [Part("histogram", "the histogram", told.histogram), Part("rows", "the records", told.rows)]
    if view.top:
        shown.append(Part("values", "the values", told.values))
    return parts.response(frame, shown)


async def values(here: Here) -> Response:
    """The most frequent values of one field, without a frame."""
    view = here.view()
    field = here.request.path_params["field"]
    try:
        return HTMLResponse(await _Told(here, view).values(Watch(), field), headers=NO_STORE)
    except LogflumeError as error:
        return HTMLResponse(parts.failed(error, field), headers=NO_STORE)


async def export(here: Here) -> Response:
    """The records of a view as a file."""
    view = here.view()
    asked = here.asked("rows") or str(EXPORTED_ROWS)
    if not (asked.isascii() and asked.isdigit() and int(asked[:9]) > 0):
        raise Problem(400, "not-read", f"rows: {asked!r:.40} is no number of rows")
    question = {"sql": f"{view.sql()} LIMIT {int(asked[:9])}"} | _Told(here, view).range()
    return await download(here, question, here.asked("format"), view.dataset.name)


async def _usual(here: Here, view: View) -> str:
    """The address of the last hour; of the last hour that has records, when there are none since."""
    found = await here.ask.get("/tables")
    last = next((zone.instant(each["last"]) for each in found["tables"] if each["dataset"] == view.dataset.name), None)
    if last is None or last >= here.now - _USUAL:
        return view.url(since="1h")
    end = last.replace(microsecond=0) + timedelta(seconds=1)
    return view.url(since=zone.spelt(end - _USUAL), until=zone.spelt(end))


class _Told:
    """What is asked for one view, and shown of the answers."""

    def __init__(self, here: Here, view: View) -> None:
        self._here = here
        self._view = view
        self.mistake = ""
        """Why nothing can be asked."""
        self.sql = ""
        self.since: datetime | None = None
        self.until: datetime | None = None
        try:
            self.since, self.until = view.range()
            self.sql = view.sql()
        except LogflumeError as error:
            self.mistake = str(error)

    @property
    def address(self) -> str:
        """The view's, with its times as instants: so they stay the same in whatever zone somebody looks at them."""
        ends = {"since": (self._view.since, self.since), "until": (self._view.until, self.until)}
        named = {name: zone.spelt(at) for name, (text, at) in ends.items() if at is not None and zone.absolute(text)}
        return self._view.url(**named)

    @property
    def since_text(self) -> str:
        """The beginning as it stands in its box."""
        return self._written(self._view.since, self.since)

    @property
    def until_text(self) -> str:
        """The end as it stands in its box."""
        return self._written(self._view.until, self.until)

    def _written(self, text: str, at: datetime | None) -> str:
        if at is None or not zone.absolute(text):
            return text
        return zone.shown(at, self._view.zone, fraction=bool(at.microsecond))

    def range(self) -> dict[str, Any]:
        """The time range, as the API's questions have it."""
        if self.mistake:
            raise Refused(self.mistake)
        return zone.ends(self.since, self.until)

    async def histogram(self, watch: Watch) -> str:
        view = self._view
        path = f"/datasets/{view.dataset.name}/histogram"
        told = await self._here.ask.get(path, watch, by=view.stacked, **self.range(), **view.parameters())
        drawn = chart.draw(told, view.zone)
        return self._here.html("histogram.html", view=view, chart=drawn, about=told.get("query"))

    async def rows(self, watch: Watch) -> str:
        view = self._view
        told = await self._here.ask.query({"sql": view.page_sql()} | self.range(), watch)
        rows = told["rows"]
        found = [(str(Coordinates.of(row)), row) for row in rows[:PAGE_ROWS]]
        opened = None
        if view.open and any(view.open == at for at, _ in found):
            path = f"/datasets/{view.dataset.name}/records/{view.open}"
            opened = (await self._here.ask.get(path, watch))["record"]
        return self._here.html(
            "rows.html",
            view=view,
            rows=found,
            more=len(rows) > PAGE_ROWS,
            first=(view.page - 1) * PAGE_ROWS + 1,
            about=told,
            opened=opened,
            anchor=view.at or zone.spelt(self._here.now),
        )

    async def values(self, watch: Watch, field: str = "") -> str:
        view, name = self._view, field or self._view.top
        path = f"/datasets/{view.dataset.name}/fields"
        told = await self._here.ask.get(path, watch, values=name, **self.range(), **view.parameters())
        return self._here.html("values.html", view=view, field=name, told=told)
