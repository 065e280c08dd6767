"""Records of any dataset out of what a protocol carries: a text or an object, its time, and labels beside it.

What a record says itself stands; what the protocol says beside it fills the gaps, and is kept apart when there is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from logflume.block import reasons
from logflume.edge.http.body import json_weight
from logflume.edge.http.protocols.gathering import SMALL, Reserve
from logflume.errors import Misconfigured, Poison
from logflume.formats import exact, instants
from logflume.formats.fast import as_one
from logflume.model import Dataset, Datasets, FieldType

TYPED = "typed_attributes"
"""Attributes whose JSON is no text: the column ``attributes`` holds texts only. It goes to ``_extra``."""

_ALIASES = {"service_name": "service", "service.name": "service", "host.name": "host", "severity": "level"}
"""Labels that mean a field of another name."""

_LEAST_NS = 10**17
"""From here on a whole number is read as nanoseconds (``formats.instants``); smaller ones are written as text."""

_LONG = re.compile(rb"[0-9]{20}|-[0-9]{19}")
"""A number that orjson may round: it may not fit 64 bits. Ids in hexadecimal hold such a run now and then, too."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Load = Callable[[bytes], dict[str, Any]]


class Target:
    """How the records of one dataset are filled."""

    def __init__(self, dataset: Dataset) -> None:
        self.name = dataset.name
        self.time_field = dataset.time_field
        kinds = {field.name: field.type for field in dataset.fields}
        self.generic = kinds.get("message") is FieldType.STRING and kinds.get("attributes") is FieldType.MAP
        """It takes any application's logs: labels fill its fields of that name, the rest becomes ``attributes``."""
        self._fields = {name for name, kind in kinds.items() if kind is FieldType.STRING} - {"message"}

    def fill(
        self,
        record: dict[str, Any],
        *,
        at: int | str | None,
        labels: Mapping[str, str],
        typed: Mapping[str, Any],
        under: str,
    ) -> None:
        """Add to ``record`` the time ``at`` (as ``instant`` writes it), the labels, and those that are no text.

        What finds its place taken goes into an object named ``under``.
        """
        apart: dict[str, Any] = {}
        if at is not None:
            own = record.get(self.time_field)
            if own is not None and instants.from_value(own) is None:  # no instant: kept, but a row should have a time
                record["own_" + self.time_field] = own
                own = None
            if own is None:
                record[self.time_field] = at
            else:
                apart["time"] = at
        if self.generic:
            left, facts = self._split(labels, record)
            record.update(facts)
        else:
            left = dict(labels)
        for name, values in (("attributes", left), (TYPED, dict(typed))):
            if values and self.generic and name not in record:
                record[name] = values
            elif values:
                apart[name] = values
        if apart:
            while under in record:
                under += "_"
            record[under] = apart

    def _split(self, labels: Mapping[str, str], record: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the labels that stay attributes, and the fields that the others fill."""
        left: dict[str, str] = {}
        facts: dict[str, str] = {}
        for name, value in labels.items():
            field = _ALIASES.get(name, name)
            if field in self._fields and field not in record and field not in facts:
                facts[field] = value
            else:
                left[name] = value
        return left, facts


class Targets:
    """The datasets that requests may name, and the one for all else; it must be made for any application's logs."""

    def __init__(self, datasets: Datasets, default: str) -> None:
        """Raises ``Misconfigured`` when ``default`` is no dataset, or lacks ``message`` and ``attributes``."""
        self._targets = {name: Target(dataset) for name, dataset in datasets.items()}
        datasets.named(default)
        self.default = self._targets[default]
        if not self.default.generic:
            raise Misconfigured(
                f"edge_http_dataset: {default} can't take any application's logs: it lacks a field message (string) "
                f"or attributes (map); take another dataset, such as events"
            )

    def named(self, name: str | None) -> Target | None:
        """Return the dataset of that name, if there is one."""
        return self._targets.get(name) if name else None


def loader(body: bytes, reserve: Reserve) -> Load:
    """Return what reads an object out of ``body``, exactly; ``Poison`` when it is none. Quick if no number is long.

    Memory is reserved for the values of a large one.
    """
    careful = bool(pc.match_substring_regex(as_one(body, pa.binary()), _LONG.pattern)[0].as_py())

    def load(line: bytes) -> dict[str, Any]:
        if len(line) > SMALL:
            reserve(json_weight(line))
        if (careful and _LONG.search(line)) or line.count(b"{") + line.count(b"[") > exact.MOST_DEPTH:
            return exact.load(line)
        return exact.quickly(line)

    return load


def from_text(text: str, load: Load) -> dict[str, Any]:
    """Return the record that a line of text is: the object that it holds as JSON, else its ``message``."""
    if text.startswith("{"):
        try:
            return load(text.encode())
        except (Poison, UnicodeEncodeError):
            pass
    return {"message": text}


def dump(record: dict[str, Any]) -> bytes:
    """Return the record as a line of JSON, its newline included. Raises ``Poison`` when it is nested too deep."""
    try:
        # A copy: orjson writes into kilobytes and shrinks them in place, which leaves a hole behind each line.
        return orjson.dumps(record) + b"\n"
    except TypeError:  # an integer past 64 bits, a lone surrogate, or nested deeper than orjson goes
        pass
    try:
        return json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    except RecursionError:
        raise Poison(reasons.TOO_DEEP, "nested too deep to be written") from None


def instant(ns: int) -> int | str:
    """Return nanoseconds since 1970 as a record may state them: a number where it is read as nanoseconds, else text."""
    if ns >= _LEAST_NS or ns < -(2**63):
        return ns
    seconds, rest = divmod(ns, 10**9)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
