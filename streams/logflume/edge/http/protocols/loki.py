"""Loki's push API (``POST /loki/api/v1/push``), in JSON and in protobuf packed by snappy: mapping and answers.

A stream's labels become attributes of each of its entries, structured metadata with them. The label ``dataset`` picks
the dataset, if there is one of that name. Entries are numbered from 1 on in the order of the request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.responses import Response

from logflume.edge.http.portion import Portion, Taken
from logflume.edge.http.protocols import loki_json, loki_proto, record
from logflume.edge.http.protocols.gathering import Gathering, Limits
from logflume.edge.http.protocols.loki_entry import Entry
from logflume.edge.http.refusal import Refusal
from logflume.errors import Poison

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_UNDER: Final = "loki"
_DATASET: Final = "dataset"


class Push:
    """A decoded request."""

    def __init__(self, gathering: Gathering) -> None:
        self.portions: tuple[Portion, ...] = gathering.portions()
        self._refused = gathering.refused
        self._refusals = gathering.refusals

    def answer(self, taken: Taken) -> Response:
        """Return 204, or as Loki does 400 when some entries were refused: the others are stored all the same."""
        refusals = self._refusals + len(taken.errors)
        if not refusals:
            return Response(status_code=204)
        errors = sorted([*self._refused, *taken.errors], key=lambda error: error.number)[:10]
        told = [f"{refusals} entries were refused, {taken.rows} were stored"]
        told += [f"entry {error.number}: {error.reason}: {error.detail[:200]}" for error in errors]
        return Response("\n".join(told) + "\n", 400, media_type=_TEXT)


def decode(body: bytes, content_type: str, targets: record.Targets, limits: Limits) -> Push:
    """Return the entries of a body. Raises ``Refusal``."""
    kind = encoding(content_type)
    if kind == PROTOBUF:
        body = loki_proto.unpack(body, limits)
    gathering = Gathering(limits)
    load = record.loader(body, limits.reserve)
    number = 0
    for stream in (loki_proto.streams if kind == PROTOBUF else loki_json.streams)(body, gathering):
        mapping: _Mapping | None = None
        for entry in stream.entries:
            number += 1
            if isinstance(entry, Poison):
                gathering.refuse(number, entry.reason, entry.detail)
                continue
            mapping = mapping or _Mapping(stream.labels, targets, load)
            try:
                gathering.add(mapping.target.name, mapping.line(entry), number)
            except Poison as poison:
                gathering.refuse(number, poison.reason, poison.detail)
    return Push(gathering)


def encoding(content_type: str) -> str:
    """Return which encoding a Content-Type means: as Loki has it, JSON when it says so, else protobuf."""
    return JSON if content_type.partition(";")[0].strip().lower() == JSON else PROTOBUF


def refused(refusal: Refusal) -> Response:
    """Return an error as Loki words it: as text."""
    return Response(refusal.detail + "\n", refusal.status, refusal.headers, media_type=_TEXT)


class _Mapping:
    """How the entries of one stream become records."""

    def __init__(self, labels: Mapping[str, str], targets: record.Targets, load: record.Load) -> None:
        named = targets.named(labels.get(_DATASET))
        self.target = named or targets.default
        self._labels = {name: value for name, value in labels.items() if not (named and name == _DATASET)}
        self._load = load
        shared: dict[str, Any] = {"message": ""}
        self.target.fill(shared, at=None, labels=self._labels, typed={}, under=_UNDER)
        del shared["message"]
        # A line of plain text, without metadata: all but time and text is the same for the whole stream.
        self._head = b'{"' + self.target.time_field.encode() + b'":'
        self._tail = b"," + record.dump(shared)[1:] if shared else b"}\n"

    def line(self, entry: Entry) -> bytes:
        """Return an entry as a line of JSON."""
        at = record.instant(entry.ns)
        if not entry.metadata and not entry.line.startswith("{"):
            return self._head + orjson.dumps(at) + b',"message":' + orjson.dumps(entry.line) + self._tail
        found = record.from_text(entry.line, self._load)
        self.target.fill(found, at=at, labels=self._joined(entry.metadata), typed={}, under=_UNDER)
        return record.dump(found)

    def _joined(self, metadata: Mapping[str, str]) -> dict[str, str]:
        """Return labels and metadata; metadata whose name a label has is renamed as Loki's queries do."""
        if not metadata:
            return self._labels
        joined = dict(self._labels)
        for name, value in metadata.items():
            joined[name if joined.get(name, value) == value else f"{name}_extracted"] = value
        return joined
