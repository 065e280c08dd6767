"""Splunk's HTTP Event Collector: events (concatenated JSON objects) and raw lines, and its answers by code.

Events are numbered from 1 on here, and from 0 on in Splunk's answers. Indexer acknowledgement is not offered: an answer
of 200 means already that the events are durable.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from starlette.responses import Response

from logflume.block import reasons
from logflume.edge.http.portion import Portion, Taken
from logflume.edge.http.protocols import record, splunk_events
from logflume.edge.http.protocols.gathering import Gathering, Limits
from logflume.edge.http.refusal import LacksScope, Refusal, json_response
from logflume.errors import Poison
from logflume.formats import instants

SUCCESS, TOKEN_REQUIRED, INVALID_TOKEN, NO_DATA, INVALID_DATA, SERVER_ERROR = 0, 2, 4, 5, 6, 8
INCORRECT_INDEX, BUSY, EVENT_REQUIRED, EVENT_BLANK, ACK_DISABLED, BAD_FIELDS, HEALTHY = 7, 9, 12, 13, 14, 15, 17

_TEXTS: Final = {
    SUCCESS: "Success",
    TOKEN_REQUIRED: "Token is required",
    INVALID_TOKEN: "Invalid token",
    NO_DATA: "No data",
    INVALID_DATA: "Invalid data format",
    INCORRECT_INDEX: "Incorrect index",
    SERVER_ERROR: "Internal server error",
    BUSY: "Server is busy",
    EVENT_REQUIRED: "Event field is required",
    EVENT_BLANK: "Event field cannot be blank",
    ACK_DISABLED: "ACK is disabled",
    BAD_FIELDS: "Error in handling indexed fields",
    HEALTHY: "HEC is healthy",
}
_UNDER: Final = "splunk"
_LABELS: Final = ("host", "source", "sourcetype", "index")
_KNOWN: Final = frozenset({"event", "time", "fields", *_LABELS})
_SECONDS: Final = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,20})?", re.ASCII)
_BLANK: Final = b" \t\r\n"


class Events:
    """A decoded request."""

    def __init__(self, gathering: Gathering, first_code: int) -> None:
        self.portions: tuple[Portion, ...] = gathering.portions()
        self._refused = gathering.refused
        self._code = first_code

    def answer(self, taken: Taken) -> Response:
        """Return success, or 400 with the first event that was refused: the others are stored all the same."""
        errors = sorted([*self._refused, *taken.errors], key=lambda error: error.number)
        if not errors:
            return said(200, SUCCESS)
        code = self._code if self._refused and errors[0] is self._refused[0] else INVALID_DATA
        return said(400, code, {"invalid-event-number": errors[0].number - 1, "detail": errors[0].detail[:300]})


class NoData(Refusal):
    """A body without an event."""


class _BadEvent(Poison):
    def __init__(self, code: int, detail: str) -> None:
        super().__init__(reasons.MALFORMED, detail)
        self.code = code


def decode_events(body: bytes, query: Mapping[str, str], targets: record.Targets, limits: Limits) -> Events:
    """Return the events of a body; ``query`` gives host, source, sourcetype and index to those without."""
    gathering = Gathering(limits)
    defaults = _defaults(query)
    load = record.loader(body, limits.reserve)
    code = SUCCESS
    number = 0
    for number, event in enumerate(splunk_events.objects(body, load, limits.reserve), 1):
        try:
            if isinstance(event, Poison):
                raise event
            target, found = _record(defaults | event, targets, load)
            gathering.add(target.name, record.dump(found), number)
        except Poison as poison:
            if not gathering.refusals:
                code = poison.code if isinstance(poison, _BadEvent) else INVALID_DATA
            gathering.refuse(number, poison.reason, poison.detail)
    if not number:
        raise NoData(400, _TEXTS[NO_DATA])
    return Events(gathering, code)


def decode_raw(body: bytes, query: Mapping[str, str], targets: record.Targets, limits: Limits) -> Events:
    """Return the lines of a body, blank ones left out; ``query`` gives what an event would say beside its text."""
    gathering = Gathering(limits)
    beside = _defaults(query)
    if "time" in query:
        beside["time"] = query["time"]
    load = record.loader(body, limits.reserve)
    number = 0
    for line in io.BytesIO(body):
        text = line.rstrip(b"\r\n")
        if not text.strip(_BLANK):
            continue
        number += 1
        try:
            target, found = _record(beside | {"event": text.decode()}, targets, load)
            gathering.add(target.name, record.dump(found), number)
        except UnicodeDecodeError as error:
            gathering.refuse(number, reasons.NOT_UTF8, str(error)[:200])
        except Poison as poison:
            gathering.refuse(number, poison.reason, poison.detail)
    if not number:
        raise NoData(400, _TEXTS[NO_DATA])
    return Events(gathering, INVALID_DATA)


def said(
    status: int, code: int, more: Mapping[str, Any] | None = None, headers: dict[str, str] | None = None
) -> Response:
    """Return an answer of one of HEC's codes."""
    return json_response(status, {"text": _TEXTS[code], "code": code} | dict(more or {}), headers)


def refused(refusal: Refusal, *, with_token: bool) -> Response:
    """Return an error of the whole request as HEC words it; ``with_token``: the request had one."""
    status, more = refusal.status, {"detail": refusal.detail}
    if isinstance(refusal, NoData):
        return said(400, NO_DATA)
    if status == 401:
        return said(403, INVALID_TOKEN, more) if with_token else said(401, TOKEN_REQUIRED, more, refusal.headers)
    if isinstance(refusal, LacksScope):
        return said(403, INVALID_TOKEN, more)
    if status in (403, 404):  # the dataset, which an index names
        return said(400, INCORRECT_INDEX, more)
    if status in (429, 503):
        return said(status, BUSY, more, refusal.headers)
    return said(status, SERVER_ERROR if status >= 500 else INVALID_DATA, more, refusal.headers)


def _defaults(query: Mapping[str, str]) -> dict[str, Any]:
    return {name: query[name] for name in _LABELS if name in query}


def _record(event: dict[str, Any], targets: record.Targets, load: record.Load) -> tuple[record.Target, dict[str, Any]]:
    if "event" not in event:
        raise _BadEvent(EVENT_REQUIRED, "an event is an object with a member event")
    content = event["event"]
    if content is None or content == "":
        raise _BadEvent(EVENT_BLANK, "the member event is blank")
    found: dict[str, Any]
    if type(content) is str:
        found = record.from_text(content, load)
    else:
        found = content if type(content) is dict else {"event": content}
    fields = event.get("fields") or {}
    if type(fields) is not dict:
        raise _BadEvent(BAD_FIELDS, "fields must be an object")
    beside = {name: event[name] for name in event if name in _LABELS or name not in _KNOWN}
    named = targets.named(beside["index"]) if type(beside.get("index")) is str else None
    if named:
        del beside["index"]
    at = _instant(event.get("time"))
    if at is None and event.get("time") is not None:
        beside["time"] = event["time"]
    labels = {name: value for name, value in (fields | beside).items() if type(value) is str}
    typed = {name: value for name, value in (fields | beside).items() if value is not None and type(value) is not str}
    target = named or targets.default
    target.fill(found, at=at, labels=labels, typed=typed, under=_UNDER)
    return target, found


def _instant(value: Any) -> int | str | None:
    """Return HEC's time, seconds since 1970 as a number or as text, as a record states it; None when it is none."""
    if type(value) is str:
        if not _SECONDS.fullmatch(value):
            return None
        ns: int | None = int(Decimal(value) * 10**9) if "." in value else instants.from_value(int(value))
    else:
        ns = instants.from_value(value)
    return None if ns is None or abs(ns) >= 2**63 else record.instant(ns)
