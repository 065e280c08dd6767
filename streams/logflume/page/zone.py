"""Times as people read and write them: in the time zone that the page's address names."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from logflume.errors import Refused
from logflume.explore import span

ALL: Final = "all"
"""Since the first record."""
PRESETS: Final = ("5m", "15m", "1h", "6h", "24h", "7d", "30d", ALL)
ZONES: Final = (
    "UTC",
    "America/Los_Angeles",
    "America/New_York",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Berlin",
    "Europe/Istanbul",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Sydney",
)
"""Those that are offered beside the browser's own; any other may stand in the address."""
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@cache
def _names() -> frozenset[str]:
    """A look through the system's folders, which takes milliseconds: a page asks for each cell."""
    return frozenset(available_timezones())


def zone(name: str) -> tzinfo:
    """Return the time zone of that name (IANA); ``Refused`` for what is none."""
    if not name or name == "UTC":
        return UTC
    if name not in _names():
        raise Refused(f"tz: {name!r:.80} is no time zone, such as Europe/Berlin")
    return ZoneInfo(name)


def shown(at: datetime | None, where: tzinfo, *, fraction: bool = True) -> str:
    """Return a time as people read it; empty for none."""
    if at is None:
        return ""
    try:
        local = at.astimezone(where)
    except OverflowError:  # there it is before the year 1, or after 9999
        local = at
    text = local.strftime("%Y-%m-%d %H:%M:%S")
    if not fraction:
        return text
    micros = f"{local.microsecond:06d}"
    return f"{text}.{micros[:3]}" + (micros[3:] if micros[3:] != "000" else "")


def read(name: str, text: str, where: tzinfo, now: datetime) -> datetime | None:
    """Return the time that somebody wrote: ``2h`` ago, ``now``, or a date with or without a time, there. None for none.

    Raises ``Refused``.
    """
    text = text.strip()
    if not text or text == ALL:
        return None
    if text == "now":
        return now
    try:
        if (ago := span.length(text)) is not None:
            return now - ago
        at = datetime.fromisoformat(text)
        return (at.replace(tzinfo=where) if at.tzinfo is None else at).astimezone(UTC)
    except (ValueError, OverflowError):
        example = "2h (ago), now, or 2026-11-29 10:00"
        raise Refused(f"{name}: {text!r:.80} is no time, such as {example}") from None


def ends(since: datetime | None, until: datetime | None) -> dict[str, str]:
    """Return a time range as the API's questions have it; None: from the first record, to the last."""
    told = {"since": span.BEGINNING if since is None else spelt(since)}
    return told if until is None else told | {"until": spelt(until)}


def relative(text: str) -> bool:
    """Whether a time is so long ago, and moves with the time."""
    return span.length(text) is not None


def absolute(text: str) -> bool:
    """Whether a time stays where it is."""
    return text not in ("", "now", ALL) and not relative(text)


def instant(value: object) -> datetime | None:
    """Return the time that a value of an answer is; None when it is none."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None


def spelt(at: datetime) -> str:
    """Return a time as it stands in addresses, and as the API reads it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z").replace(".000000Z", "Z")


def ago(at: datetime | None, now: datetime) -> str:
    """Return how long ago something was, in one word or two."""
    if at is None:
        return "never"
    past = now - at
    if past < timedelta(seconds=2):
        return "now"
    for unit, name in ((timedelta(days=2), "d"), (timedelta(hours=2), "h"), (timedelta(minutes=2), "min")):
        if past >= unit:
            one = {"d": timedelta(days=1), "h": timedelta(hours=1), "min": timedelta(minutes=1)}[name]
            return f"{past // one} {name} ago"
    return f"{past // timedelta(seconds=1)} s ago"
