"""What of a dataset somebody looks at: all of it stands in the address, and every link is one such view changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from starlette.datastructures import QueryParams

from logflume.api import question
from logflume.api.coordinates import COLUMNS
from logflume.api.dataset import fields
from logflume.errors import Refused
from logflume.explore.filters import IS_NULL
from logflume.model.dataset import Dataset
from logflume.page import zone

OPERATORS: Final[Mapping[str, tuple[str, str]]] = {
    "eq": ("=", "string int bool timestamp"),
    "!eq": ("≠", "string int bool timestamp"),
    "lt": ("<", "int float timestamp"),
    "leq": ("≤", "int float timestamp"),
    "gt": (">", "int float timestamp"),
    "geq": ("≥", "int float timestamp"),
    "contains": ("contains", "string array"),
    "!contains": ("does not contain", "string array"),
    "startsWith": ("starts with", "string"),
    "!startsWith": ("does not start with", "string"),
    "endsWith": ("ends with", "string"),
    "!endsWith": ("does not end with", "string"),
    "in": ("is one of", "string int"),
    "!in": ("is none of", "string int"),
    IS_NULL: ("has no value", "string int float bool timestamp array"),
    f"!{IS_NULL}": ("has a value", "string int float bool timestamp array"),
}
"""The operators of filters: how they are shown, and the types that have them."""
PAGE_ROWS: Final = 50
MOST_PAGES: Final = 2_000
NO_FIELD: Final = "-"
_MOST_CONDITIONS: Final = 50
_MOST_COLUMNS: Final = 40
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "http_requests": (
        "EdgeStartTimestamp",
        "ClientIP",
        "ClientCountry",
        "EdgeResponseStatus",
        "SecurityAction",
        "ClientRequestMethod",
        "ClientRequestHost",
        "ClientRequestURI",
    ),
    "firewall_events": ("Datetime", "Action", "Description", "Source", "ClientIP", "ClientRequestPath", "RayID"),
    "audit_logs": ("When", "ActionType", "ActionResult", "ActorID", "ActorIP", "ResourceType", "ResourceID"),
}
_BY: Final[Mapping[str, str]] = {
    "http_requests": "EdgeResponseStatus",
    "firewall_events": "Action",
    "dns_logs": "ResponseCode",
    "events": "level",
    "audit_logs": "ActionType",
}
_SHOWN_AT_FIRST: Final = 6
_LONGEST_VALUE: Final = 1_000
"""Characters of a value that has links to those with it, and without: an address has room for so many."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One row of the filter; ``join``, ``and`` or ``or``, is how it goes with those before. AND binds closer."""

    key: str
    operator: str
    value: str
    join: str = "and"


@dataclass(frozen=True)
class View:
    """A dataset, a time range, a filter, and what is shown of what matches; texts as they stand in the address."""

    dataset: Dataset
    now: datetime
    since: str = ""
    until: str = ""
    tz: str = ""
    q: str = ""
    conditions: tuple[Condition, ...] = ()
    by: str = ""
    show: tuple[str, ...] = ()
    order: str = ""
    page: int = 1
    at: str = ""
    """What ``now`` is, for pages after the first."""
    open: str = ""
    """Coordinates of a record that is shown whole."""
    top: str = ""
    """A field whose most frequent values are shown."""
    types: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, dataset: Dataset, asked: QueryParams, now: datetime) -> View:
        """Read a view from an address. What makes no sense in it is told when it is used."""
        columns = [asked.getlist(name) for name in ("key", "op", "value")]
        joins = asked.getlist("join") or ["and"] * len(columns[0])
        rows = zip(*columns, joins, strict=False)
        page = asked.get("page", "1")
        return cls(
            dataset,
            now,
            **{name: asked.get(name, "") for name in ("since", "until", "tz", "q", "by", "order", "at", "open", "top")},
            conditions=tuple(Condition(*row) for row in rows if row[0])[:_MOST_CONDITIONS],
            show=tuple(name for name in asked.get("show", "").split(",") if name)[:_MOST_COLUMNS],
            page=min(max(int(page), 1), MOST_PAGES) if page.isascii() and page.isdigit() and len(page) < 9 else 1,
            types={each["name"]: each["type"] for each in fields(dataset)},
        )

    # --- addresses ----------------------------------------------------------------------------------------------------

    def query(self, **changes: Any) -> str:
        """Return the part of an address behind ``?``, with some things changed."""
        view = replace(self, **changes) if changes else self
        asked: list[tuple[str, str]] = []
        for name in ("since", "until", "tz", "q", "by", "order", "at", "open", "top"):
            if text := getattr(view, name):
                asked.append((name, text))
        for each in view.conditions:
            asked += [("join", each.join), ("key", each.key), ("op", each.operator), ("value", each.value)]
        if view.show:
            asked.append(("show", ",".join(view.show)))
        if view.page > 1:
            asked.append(("page", str(view.page)))
        return urlencode(asked, quote_via=quote, safe=",:!")

    def url(self, path: str = "", **changes: Any) -> str:
        """Return the address of this view with some things changed; ``path``: below the dataset's."""
        query = self.query(**changes)
        return f"/explore/{self.dataset.name}{path}" + (f"?{query}" if query else "")

    def afresh(self, path: str = "", **changes: Any) -> str:
        """Return the address of another view: from its first page on, with nothing opened."""
        first: dict[str, Any] = {"page": 1, "at": "", "open": ""}
        return self.url(path, **(first | changes))

    def with_condition(self, key: str, operator: str, value: object) -> str:
        """Return the address of what also meets one condition more."""
        text = _text(value)
        new = Condition(key, operator, text)
        if new in self.conditions:
            return self.afresh()
        # a new AND goes to each alternative
        groups = self._groups() or [()]
        rows = tuple(
            replace(each, join="or" if at == 0 and number else "and")
            for number, group in enumerate(groups)
            for at, each in enumerate((*group, new))
        )
        return self.afresh(conditions=rows)

    def narrows(self, value: object) -> bool:
        """Whether an address has room for a condition on a value."""
        return len(_text(value)) <= _LONGEST_VALUE

    def without_condition(self, index: int, path: str = "") -> str:
        """Return the address of the view without one row of the filter."""
        rows = list(self.conditions)
        gone = rows.pop(index)
        if index < len(rows) and gone.join == "or":
            rows[index] = replace(rows[index], join="or")
        return self.afresh(path, conditions=tuple(rows))

    def with_column(self, name: str) -> str:
        """Return the address of the view with one column more, or less when it has it."""
        shown = self.columns
        left = tuple(each for each in shown if each != name) if name in shown else (*shown, name)
        return self.url(show=left)

    def sorted_by(self, name: str) -> str:
        """Return the address of the view sorted by a column: the greatest first, or the other way round if it is."""
        return self.afresh(order=name if self.ordered == f"-{name}" else f"-{name}")

    # --- what it means ------------------------------------------------------------------------------------------------

    @property
    def zone(self) -> tzinfo:
        """Its time zone; UTC when the address names none that there is."""
        try:
            return zone.zone(self.tz)
        except Refused:
            return UTC

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are shown."""
        known = tuple(name for name in self.show if name in self.types)
        if known:
            return known
        wanted = tuple(name for name in _COLUMNS.get(self.dataset.name, ()) if name in self.types)
        if wanted:
            return wanted
        others = [f.name for f in self.dataset.fields if f.name != self.dataset.time_field]
        return (self.dataset.time_field, *others[:_SHOWN_AT_FIRST])

    @property
    def stacked(self) -> str:
        """The field by which the histogram is stacked; empty: by none."""
        name = self.by or _BY.get(self.dataset.name, NO_FIELD)
        return "" if name == NO_FIELD or name not in self.types else name

    @property
    def ordered(self) -> str:
        """The column that rows are sorted by, with ``-`` before it for the greatest first."""
        return self.order or f"-{self.dataset.time_field}"

    @property
    def filtered(self) -> bool:
        """Whether it leaves anything out but by time."""
        return bool(self.conditions or self.q)

    def range(self) -> tuple[datetime | None, datetime | None]:
        """Return since when and until when; None: from the first record, to the last. ``Refused``."""
        where, now = zone.zone(self.tz), self.now
        if self.at:
            now = zone.read("at", self.at, where, now) or now
        since, until = zone.read("from", self.since, where, now), zone.read("to", self.until, where, now)
        if until is None and since is not None:
            until = now
        if since is not None and until is not None and since >= until:
            raise Refused(f"the time range ends ({self.until or 'now'}) before it begins ({self.since})")
        return since, until

    def where(self) -> dict[str, Any] | None:
        """Return the filter as the API has it. ``Refused`` for a value that is none of its field's type."""
        parts = [{"and": [self._condition(each) for each in group]} for group in self._groups()]
        plain = [part["and"][0] if len(part["and"]) == 1 else part for part in parts]
        if not plain:
            return None
        return plain[0] if len(plain) == 1 else {"or": plain}

    def sql(self) -> str:
        """Return the SQL that the filter means. ``Refused``, ``Problem``."""
        return question.filtered(self._asked(list(self.columns)), self.dataset) + " NULLS LAST"

    def page_sql(self) -> str:
        """Return the SQL of this page's rows, and of one more, which tells whether there are others behind it.

        Rows have their coordinates with them, by which those of the same rank are sorted.
        """
        wanted = list(dict.fromkeys((*self.columns, *COLUMNS)))
        ties = ", ".join(f'"{name}"' for name in COLUMNS)
        text = question.filtered(self._asked(wanted), self.dataset)
        return f"{text} NULLS LAST, {ties} LIMIT {PAGE_ROWS + 1} OFFSET {(self.page - 1) * PAGE_ROWS}"

    def parameters(self) -> dict[str, Any]:
        """Return ``where`` and ``q`` as parameters of the API's questions about a dataset."""
        where = self.where()
        return {"q": self.q, "where": orjson.dumps(where).decode() if where else ""}

    def _asked(self, columns: list[str]) -> dict[str, Any]:
        return {"where": self.where(), "q": self.q, "fields": columns, "order": self.ordered}

    def _groups(self) -> list[tuple[Condition, ...]]:
        """The conditions that go together by AND; any of the groups is enough."""
        groups: list[list[Condition]] = []
        for each in self.conditions:
            if not groups or each.join == "or":
                groups.append([])
            groups[-1].append(each)
        return [tuple(group) for group in groups]

    def _condition(self, row: Condition) -> dict[str, Any]:
        if row.operator.removeprefix("!") == IS_NULL:
            return {"key": row.key, "operator": row.operator}
        type = self.types.get(row.key, "string")
        read = _READ.get(type.removeprefix("array[").removesuffix("]"), str)
        if type == "timestamp":
            at = zone.read(row.key, row.value, zone.zone(self.tz), self.now)
            value: Any = zone.spelt(at) if at is not None else row.value
        elif row.operator in ("in", "!in"):
            value = [_value(row.key, each.strip(), read) for each in row.value.split(",")]
        else:
            value = _value(row.key, row.value, read)
        return {"key": row.key, "operator": row.operator, "value": value}


def _value(key: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError:
        raise Refused(f"{key}: {text!r:.80} is no {_KINDS[read]}") from None


def _bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else _no_bool()


def _no_bool() -> bool:
    raise ValueError


_READ: Final[Mapping[str, Callable[[str], Any]]] = {"int": int, "float": float, "bool": _bool}
_KINDS: Final = {int: "whole number", float: "number", _bool: "true or false", str: "text"}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
