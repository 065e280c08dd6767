"""``/saved``: a tenant's named queries. What changes one says which state of it is meant, so that no work is lost.

HTTP's preconditions (RFC 9110, 13.1; RFC 6585 for 428): a change has ``If-Match`` with the ETag that was seen, or
``If-None-Match: *`` to make a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from logflume.api import forms, question
from logflume.api.caller import Caller
from logflume.api.described import IF_MATCH, IF_NONE_MATCH, NAME, NUMBER, array, described, ref, thing
from logflume.api.problem import Problem
from logflume.clock import Clock
from logflume.model.dataset import Dataset
from logflume.settings import Settings
from logflume.table.saved import MOST, MOST_BYTES, Entry, SavedQueries, tag

MOST_NAME: Final = 100
_MOST_NOTE: Final = 1_000
_ETAG: Final = {"ETag": "What tells this state from others."}


class Saving:
    """Endpoints, each for the caller's own saved queries."""

    def __init__(self, saved: SavedQueries, datasets: Mapping[str, Dataset], clock: Clock, settings: Settings) -> None:
        self._saved = saved
        self._datasets = datasets
        self._clock = clock
        self._settings = settings

    @described(
        "The tenant's saved queries",
        parameters=(IF_NONE_MATCH,),
        answers={200: thing({"queries": array(ref("SavedQuery")), "most": NUMBER}), 304: None},
        headers=_ETAG,
    )
    async def list(self, request: Request, who: Caller) -> Response:
        """All of them, by name."""
        question.parameters(request, set())
        found = await asyncio.to_thread(self._saved.read, who.tenant)
        told = [_told(name, found.entries[name]) for name in sorted(found.entries)]
        return _tagged(request, {"queries": told, "most": MOST}, found.tag)

    @described(
        "A saved query",
        parameters=(NAME, IF_NONE_MATCH),
        answers={200: ref("SavedQuery"), 304: None},
        problems=(404,),
        headers=_ETAG,
    )
    async def get(self, request: Request, who: Caller) -> Response:
        """One."""
        question.parameters(request, set())
        name = _name(request)
        found = await asyncio.to_thread(self._saved.read, who.tenant)
        if name not in found.entries:
            raise _none(name)
        return _tagged(request, _told(name, found.entries[name]), tag(found.entries[name]))

    @described(
        "Save a query, or change a saved one",
        parameters=(NAME, IF_MATCH, IF_NONE_MATCH),
        body={"application/json": ref("ToSave")},
        answers={200: ref("SavedQuery"), 201: ref("SavedQuery")},
        problems=(404, 408, 412, 413, 422, 428),
        headers=_ETAG,
    )
    async def put(self, request: Request, who: Caller) -> Response:
        """Make one, or replace it."""
        question.parameters(request, set())
        name = _name(request)
        request.state.act.resource = ("saved query", name)
        entry = self._entry(await question.body_of(request), who)
        made: list[bool] = []

        def change(entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
            old = entries.get(name)
            _require(request, old, may_be_new=True)
            made[:] = [old is None]
            request.state.act.old = _kept(old)
            return {**entries, name: entry}

        await asyncio.to_thread(self._saved.change, who.tenant, change)
        request.state.act.new = _kept(entry)
        answer = forms.response(_told(name, entry))
        answer.status_code = 201 if made[0] else 200
        answer.headers["ETag"] = tag(entry)
        return answer

    @described("Forget a saved query", parameters=(NAME, IF_MATCH), answers={204: None}, problems=(404, 412, 428))
    async def delete(self, request: Request, who: Caller) -> Response:
        """Forget one."""
        question.parameters(request, set())
        name = _name(request)
        request.state.act.resource = ("saved query", name)

        def change(entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
            _require(request, entries.get(name), may_be_new=False)
            if name not in entries:
                raise _none(name)
            request.state.act.old = _kept(entries[name])
            return {other: entry for other, entry in entries.items() if other != name}

        await asyncio.to_thread(self._saved.change, who.tenant, change)
        return Response(status_code=204)

    def _entry(self, asked: dict[str, Any], who: Caller) -> Entry:
        """What is saved of a body: a query as ``POST /query`` takes it, which is read here to see that it is one."""
        note = asked.pop("note", "")
        if not isinstance(note, str) or len(note) > _MOST_NOTE:
            raise Problem(400, "not-read", f"note is a text of at most {_MOST_NOTE} characters")
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        question.of(asked, self._datasets, now, self._settings)
        at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = {"query": asked, "note": note, "changed": at, "by": who.token}
        try:
            size = len(orjson.dumps(entry))
        except TypeError as error:  # a lone surrogate, an integer past 64 bits
            raise Problem(400, "not-read", f"this can't be kept as JSON: {error}") from None
        if size > MOST_BYTES:
            raise Problem(413, "not-read", f"a saved query has at most {MOST_BYTES} bytes")
        return entry


def _name(request: Request) -> str:
    name: str = request.path_params["name"]
    if not 0 < len(name) <= MOST_NAME or not name.isprintable() or name != name.strip():
        raise Problem(
            400, "not-read", f"a name has 1 to {MOST_NAME} characters that can be printed, no space around it"
        )
    return name


def _require(request: Request, old: Entry | None, *, may_be_new: bool) -> None:
    """Hold what is there against what the request takes it for. ``Problem`` 428 and 412."""
    match, none = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is None and (none is None or not may_be_new):
        new = ", or If-None-Match: * to make a new one" if may_be_new else ""
        raise Problem(428, "precondition", f"say which state is meant: If-Match with its ETag{new}")
    if match is not None and (old is None or not _names(match, tag(old))):
        if old is None and not may_be_new:
            return  # 404 says it better
        raise Problem(412, "changed", "it is not, or no longer, what If-Match says: read it again")
    if none is not None and old is not None and _names(none, tag(old)):
        raise Problem(412, "changed", "there is one of this name: read it, and send If-Match with its ETag")


def _names(header: str, etag: str) -> bool:
    return any(each.strip() in ("*", etag) for each in header.split(","))


def _tagged(request: Request, content: Any, etag: str) -> Response:
    """An answer with its ETag; 304 for who has it."""
    seen = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    answer = Response(status_code=304) if etag in seen or "*" in seen else forms.response(content)
    answer.headers["ETag"] = etag
    answer.headers["Cache-Control"] = "no-cache"
    return answer


def _told(name: str, entry: Entry) -> dict[str, Any]:
    return {"name": name, **entry, "etag": tag(entry)}


def _kept(entry: Entry | None) -> dict[str, str]:
    """As the record of a change has it."""
    return {} if entry is None else {"query": orjson.dumps(entry["query"]).decode(), "note": entry["note"]}


def _none(name: str) -> Problem:
    return Problem(404, "not-found", f"this tenant has no saved query {name!r:.120}")
