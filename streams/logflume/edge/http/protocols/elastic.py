"""Elasticsearch's bulk API (``POST /_bulk``): NDJSON of actions and sources, and a result for each action.

``create`` and ``index`` append a record; nothing is looked up by ``_id``. ``update`` and ``delete`` are refused one by
one. As Elasticsearch does, a line that is no action refuses the whole request, since all after it is in doubt.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.responses import Response

from logflume.block import reasons
from logflume.edge.http.portion import Portion, Taken
from logflume.edge.http.protocols import record
from logflume.edge.http.protocols.gathering import Gathering, Limits
from logflume.edge.http.refusal import Refusal, json_response
from logflume.edge.lines import BYTE_ORDER_MARK
from logflume.errors import Poison
from logflume.formats import instants

HEADERS: Final = {"X-Elastic-Product": "Elasticsearch"}  # official clients refuse to talk to anything else

_TAKEN: Final = ("create", "index")
_OTHERS: Final = ("update", "delete")
_MOST_KNOWN: Final = 1000
"""Action lines remembered with what they mean: agents send the same one before each record."""

_MOST_INDEX: Final = 255
"""Bytes of an index's name, as in Elasticsearch: each result of a bulk repeats it, also where the path alone has it."""

_BLANK: Final = b" \t\r\n"
_TIMESTAMP: Final = b'"@timestamp"'
_TYPES: Final = {
    400: "illegal_argument_exception",
    401: "security_exception",
    403: "security_exception",
    404: "index_not_found_exception",
    413: "content_too_long_exception",
    415: "media_type_header_exception",
    429: "es_rejected_execution_exception",
    503: "es_rejected_execution_exception",
}
_BAD_RECORD: Final = "document_parsing_exception"


@dataclass(frozen=True, slots=True)
class _Action:
    kind: str
    index: str
    id: str
    target: record.Target
    lead: bytes
    """What its record begins with beside its own fields: members of a JSON object."""
    refusal: Refusal | None
    """Why nothing is taken for it, whatever its record is."""


@dataclass(frozen=True, slots=True)
class _Failure:
    status: int
    type: str
    reason: str


class Bulk:
    """A decoded request: portions, and the results of its actions once they are known."""

    def __init__(self, gathering: Gathering, actions: list[_Action], failed: dict[int, _Failure]) -> None:
        self.portions: tuple[Portion, ...] = gathering.portions()
        self._actions = actions
        self._failed = failed

    def answer(self, taken: Taken, took_ms: int) -> Response:
        """Return the results, in the order of the actions; ``errors`` says whether one failed."""
        failed = self._failed | {
            error.number: _Failure(400, _BAD_RECORD, f"{error.reason}: {error.detail}") for error in taken.errors
        }
        good: dict[int, bytes] = {}
        items: list[bytes] = []
        for number, action in enumerate(self._actions, 1):
            if number in failed:
                items.append(_failure(action, failed[number]))
                continue
            if id(action) not in good:  # the same action again and again: its result too
                good[id(action)] = _created(action)
            items.append(good[id(action)])
        start = orjson.dumps({"took": took_ms, "errors": bool(failed)})[:-1]
        body = start + b',"items":[' + b",".join(items) + b"]}"
        return Response(body, 200, HEADERS, media_type="application/json")


def decode(
    body: bytes,
    index: str | None,
    targets: record.Targets,
    limits: Limits,
    unwanted: Callable[[str], Refusal | None] = lambda dataset: None,
) -> Bulk:
    """Return the records of a body; ``index`` is the path's, for actions that name none. Raises ``Refusal``.

    ``unwanted`` says why records of a dataset would not be taken: those fail, and no others.
    """
    gathering = Gathering(limits)
    actions: list[_Action] = []
    failed: dict[int, _Failure] = {}
    known: dict[bytes, _Action] = {}
    load = record.loader(body, limits.reserve)
    lines = io.BytesIO(body.removeprefix(BYTE_ORDER_MARK))
    for line in lines:
        if not line.strip(_BLANK):
            continue
        if line not in known:
            if len(known) >= _MOST_KNOWN:
                known.clear()
            known[line] = _action(line, len(actions) + 1, index, targets, unwanted)
        action = known[line]
        actions.append(action)
        source = b"" if action.kind == "delete" else next(lines, b"")
        if action.refusal is not None:
            failure = _Failure(action.refusal.status, _type(action.refusal.status), action.refusal.detail)
        elif (text := _text(source)) is None:
            failure = _Failure(400, _BAD_RECORD, f"{reasons.NOT_OBJECT}: a source is a JSON object on one line")
        else:
            gathering.add(action.target.name, _line(text, action, load), len(actions))
            continue
        gathering.step()
        failed[len(actions)] = failure
    if not actions:
        raise Refusal(400, "request body is required: a bulk holds at least one action")
    return Bulk(gathering, actions, failed)


def refused(refusal: Refusal) -> Response:
    """Return an error of the whole request, as Elasticsearch words it."""
    cause = {"type": _type(refusal.status), "reason": refusal.detail}
    content = {"error": {"root_cause": [cause], **cause}, "status": refusal.status}
    return json_response(refusal.status, content, HEADERS | refusal.headers)


def _type(status: int) -> str:
    return _TYPES.get(status, "exception")


def _action(
    line: bytes,
    number: int,
    index: str | None,
    targets: record.Targets,
    unwanted: Callable[[str], Refusal | None],
) -> _Action:
    try:
        ((kind, given),) = orjson.loads(line).items()
        name, id = given.get("_index", index), given.get("_id")
    except (ValueError, AttributeError):  # no JSON, not one member, no objects
        raise Refusal(400, f"malformed line of action {number}: an object with one action was expected") from None
    if kind not in _TAKEN + _OTHERS:
        raise Refusal(400, f"malformed line of action {number}: {str(kind)[:40]!r} is none of the bulk's actions")
    if not isinstance(name, str) or not name:
        raise Refusal(400, f"action {number}: index is missing")
    if len(name.encode()) > _MOST_INDEX:
        raise Refusal(400, f"action {number}: an index's name may have {_MOST_INDEX} bytes, not {len(name.encode())}")
    target = targets.named(name) or targets.default
    lead = {} if target.name == name else {"_index": name}
    if isinstance(id, str | int):
        lead["_id"] = str(id)
    if kind in _OTHERS:
        refusal: Refusal | None = Refusal(400, f"{kind} is not supported: records are only appended")
    else:
        refusal = unwanted(target.name)
    return _Action(kind, name, lead.get("_id", ""), target, orjson.dumps(lead)[1:-1], refusal)


def _text(source: bytes) -> bytes | None:
    """Return a source as a line that a parser counts as one, good or bad; None when there is nothing to parse."""
    text = source.strip(_BLANK)
    return None if not text or text.startswith(BYTE_ORDER_MARK) else text


def _line(text: bytes, action: _Action, load: record.Load) -> bytes:
    """Return a source as a record: its ``@timestamp`` as the dataset's time, index and id as fields.

    What is no JSON object is handed on as it came: the dataset's parser says why, and keeps it as a dead letter.
    """
    if not text.startswith(b"{"):
        return text + b"\n"
    time_field = action.target.time_field.encode()
    if text.startswith(b"{" + _TIMESTAMP) and b'"' + time_field + b'"' not in text:
        text = b'{"' + time_field + text[len(_TIMESTAMP) :]
    elif _TIMESTAMP in text:
        try:
            text = _timed(load(text), action.target.time_field)
        except Poison:
            return text + b"\n"
    if not action.lead:
        return text + b"\n"
    empty = text[1:].lstrip(_BLANK).startswith(b"}")
    return b"{" + action.lead + (b"" if empty else b",") + text[1:] + b"\n"


def _timed(source: dict[str, Any], time_field: str) -> bytes:
    own = source.get(time_field)
    if own is None or instants.from_value(own) is None:
        if own is not None:
            source["own_" + time_field] = own
        source[time_field] = source.pop("@timestamp", None)
    return record.dump(source)[:-1]


def _created(action: _Action) -> bytes:
    result: dict[str, Any] = {"_index": action.index}
    if action.id:
        result["_id"] = action.id
    shards = {"total": 1, "successful": 1, "failed": 0}
    return orjson.dumps({action.kind: result | {"result": "created", "_shards": shards, "status": 201}})


def _failure(action: _Action, failure: _Failure) -> bytes:
    result: dict[str, Any] = {"_index": action.index}
    if action.id:
        result["_id"] = action.id
    error = {"type": failure.type, "reason": failure.reason}
    return orjson.dumps({action.kind: result | {"status": failure.status, "error": error}})
