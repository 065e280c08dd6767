"""A stretch of time that a question is about: absolute, relative to now, or the last minutes when none was named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from logflume.errors import Refused

_RELATIVE: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h|d|w)")
_UNITS: Final = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
BEGINNING: Final = "beginning"
"""As ``since``: from the first row on."""
_LEAST: Final = timedelta(microseconds=1)
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC) + _LEAST
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """From ``since`` on, and before ``until``; None: from or for ever. Both are in UTC.

    A row is within by its time, or, when it has none, by its arrival.
    """

    since: datetime | None = None
    until: datetime | None = None

    @property
    def last(self) -> datetime | None:
        """The last microsecond within."""
        return None if self.until is None else max(self.until, _EARLIEST) - _LEAST

    def where(self, time: str) -> str:
        """Return the condition that a row of a table with this time field is within; empty when all are."""
        return " AND ".join(
            f'("{time}" {sign} {_literal(at)} OR ("{time}" IS NULL AND "_received" {sign} {_literal(at)}))'
            for sign, at in ((">=", self.since), ("<", self.until))
            if at is not None
        )


ALWAYS: Final = Span()


@dataclass(frozen=True, slots=True)
class Recent:
    """No time range was given: the last ``length`` before ``now``, or before the data's own end (see ``recent``)."""

    length: timedelta
    now: datetime


def asked(since: str, until: str, now: datetime, recent_seconds: float) -> Span | Recent:
    """Return what two texts mean, as ``read`` does; the last seconds when there is neither, if those are not 0."""
    if since or until or not recent_seconds:
        return read(since, until, now)
    return Recent(timedelta(seconds=recent_seconds), now)


def read(since: str, until: str, now: datetime) -> Span:
    """Return the span that two texts mean: a time such as ``2026-11-29T10:00Z``, ``15m`` (ago), ``now``, or empty.

    ``since`` may be ``beginning`` as well. Raises ``Refused`` for what is no time, and for a span that ends before it
    begins.
    """
    span = Span(None if since == BEGINNING else _moment("since", since, now), _moment("until", until, now))
    if span.since is not None and span.until is not None and span.since >= span.until:
        raise Refused(f"the time range ends ({until}) before it begins ({since})")
    return span


def length(text: str) -> timedelta | None:
    """Return the length that ``5m`` and the like mean; None for what is none."""
    match = _RELATIVE.fullmatch(text)
    try:
        return int(match[1]) * _UNITS[match[2]] if match else None
    except OverflowError:
        return None


def _moment(name: str, text: str, now: datetime) -> datetime | None:
    if not text:
        return None
    if text == "now":
        return now
    try:
        if (ago := length(text.removeprefix("-"))) is not None:
            return now - ago
        at = datetime.fromisoformat(text)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(f"{name}: {text!r} is no time, such as 2026-11-29T10:00:00Z, 15m (ago), or now") from None


def _literal(at: datetime) -> str:
    """As microseconds: a literal is one of nanoseconds to the engine, and ends in the year 2262."""
    return f"to_timestamp_micros({(at - _EPOCH) // _LEAST})"
