"""Templates, and how values of records are shown. Records are hostile: what was not made here is escaped."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any, Final

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from logflume.page import zone

_LONGEST: Final = 400
"""Characters of a value in a table's cell; the record itself has all of it."""
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("logflume.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "size": size, "cell": cell, "whole": whole, "time": time, "seconds": seconds}
    made.filters["pretty"] = pretty
    made.globals |= {"presets": zone.PRESETS, "zones": zone.ZONES, "ago": zone.ago, "utc": UTC}
    return made


def render(template: str, **values: Any) -> str:
    """Return what a template makes of the values."""
    return _ENVIRONMENT.get_template(template).render(**values)


def number(value: float) -> str:
    """Return a number with its thousands apart."""
    return f"{value:,}"


def size(count: float) -> str:
    """Return a number of bytes in the unit that fits."""
    at = 0
    while count >= 1000 and at < len(_UNITS) - 1:
        count, at = count / 1000, at + 1
    return f"{count:.0f} {_UNITS[at]}" if at == 0 or count >= 100 else f"{count:.1f} {_UNITS[at]}"


def seconds(value: float) -> str:
    """Return a length of time."""
    return f"{value * 1000:,.0f} ms" if value < 1 else f"{value:,.1f} s"


def time(value: object, where: tzinfo) -> str:
    """Return a time of an answer as people read it, to the second."""
    at = zone.instant(value)
    return zone.shown(at, where, fraction=False) if at is not None else str(value or "")


def cell(value: object, where: tzinfo, type: str) -> Markup:
    """Return a value of a type as it stands in a table."""
    text = plain(value, where, type)
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    return _marked(value, text)


def whole(value: object, where: tzinfo, type: str) -> Markup:
    """Return a value with nothing left out."""
    return _marked(value, plain(value, where, type))


def plain(value: object, where: tzinfo, type: str) -> str:
    """Return a value as text: one of a time's type as people read times, a text that looks like one as it is."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    at = zone.instant(value) if type.startswith("timestamp") else None
    return zone.shown(at, where) if at is not None else str(value)


def pretty(value: object) -> str:
    """Return JSON to read and to copy."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _marked(value: object, text: str) -> Markup:
    kind = "null" if value is None else "num" if isinstance(value, int | float) and not isinstance(value, bool) else ""
    if value == "":
        kind, text = "null", "(empty)"
    return Markup('<span class="{}">{}</span>').format(kind, text) if kind else Markup.escape(text)


_ENVIRONMENT: Final = _environment()
