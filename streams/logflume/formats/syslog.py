"""One syslog message to one record of ``events``: RFC 5424, RFC 3164 as loosely as it is spoken, or plain text.

Every message is a record; what can't be told apart stays in ``message``, so nothing is lost for its shape. ``time`` is
the message's own, else that of its arrival; a time that stands there and is none is kept in attribute ``timestamp``.
Structured data become attributes ``<id>.<param>``; a name that repeats gets ``.2``, ``.3`` …
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final

from logflume.formats import instants

SEVERITIES: Final = ("EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG")
FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)

_NO_PRIORITY: Final = 13  # user.notice, as RFC 3164 §4.3.3 has a relay say of a message without one
_MOST_PRIORITY: Final = 191
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_TRAILERS: Final = b"\r\n\0"
_BOM: Final = "\ufeff"
_NIL: Final = "-"
_DAY_NS: Final = 86_400 * 10**9

# Possessive (``++``) throughout: a hostile message must not make the pattern try twice.
_PRIORITY: Final = re.compile(r"<([0-9]{1,3})>")
_HEADER: Final = re.compile(r"1 (\S++) (\S++) (\S++) (\S++) (\S++) (?=-|\[)")
_NAME: Final = r'[^\s="\]]{1,64}+'
_VALUE: Final = r'"((?:[^"\\]++|\\.)*+)"'
_PARAM: Final = re.compile(rf" ++({_NAME})={_VALUE}", re.DOTALL)
_ELEMENT: Final = re.compile(rf"\[({_NAME})((?: ++{_NAME}={_VALUE})*+) *+\]", re.DOTALL)
_ESCAPED: Final = re.compile(r'\\(["\\\]])')
_BSD_TIME: Final = re.compile(
    # Cisco's: a * or . before (its clock is not set), a year, a fraction, a colon behind.
    r"[*.]?(?P<month>[A-Z][a-z]{2}) {1,2}(?P<day>[0-9]{1,2})(?: (?P<year>[0-9]{4}))? "
    r"(?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?:?(?: |$)"
)
_ISO_TIME: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,18}(?:Z|[+-][0-9]{2}:?[0-9]{2})) ")
_HOST: Final = re.compile(r"(?!\S*+(?<=:)(?: |$))([^\s\[\]]++) ")  # what ends in a colon is a tag
_TAG: Final = re.compile(r"([^\s:\[\]<>]{1,128}+)(?:\[([^\]\s]{0,128}+)\]:?|:)(?: |$)")


def read(message: bytes, received_ns: int, sender: str, zone: tzinfo = UTC) -> dict[str, Any]:
    """Return ``message`` as a record; never raises, in time that grows with its length only.

    ``received_ns`` is when it came and ``sender`` from where: they stand for a missing time, year and host. Times of
    RFC 3164 have no zone: they are read as ``zone``'s.
    """
    text, attributes = _text(message.rstrip(_TRAILERS))
    priority, at = _NO_PRIORITY, 0
    found = _PRIORITY.match(text)
    if found is not None and int(found[1]) <= _MOST_PRIORITY:
        priority, at = int(found[1]), found.end()
    record: dict[str, Any] = {
        "level": SEVERITIES[priority % 8],
        "logger": FACILITIES[priority // 8],
        "host": sender,
        "attributes": attributes,
    }
    header = _HEADER.match(text, at) if at else None
    if header is not None:
        _modern(text, header, record)
    else:
        _bsd(text, at, record, received_ns, zone)
    if "time" not in record:
        record["time"] = _iso(received_ns)
    return record


def _text(message: bytes) -> tuple[str, dict[str, str]]:
    """The message as text, a character a byte if it is no UTF-8, and the attribute that tells so."""
    try:
        return message.decode(), {}
    except UnicodeDecodeError:
        return message.decode("latin-1"), {"charset": "latin-1"}


# --- RFC 5424 --------------------------------------------------------------------------------------------------------


def _modern(text: str, header: re.Match[str], record: dict[str, Any]) -> None:
    timestamp, host, service, procid, msgid = header.groups()
    attributes = record["attributes"]
    if timestamp != _NIL:
        if instants.from_value(timestamp) is None:
            attributes["timestamp"] = timestamp
        else:
            record["time"] = timestamp
    if host != _NIL:
        record["host"] = host
    if service != _NIL:
        record["service"] = service
    if procid != _NIL:
        attributes["procid"] = procid
    if msgid != _NIL:
        attributes["msgid"] = msgid
    at = header.end()
    if text[at] == _NIL:
        at += 1
    else:
        at = _structured(text, at, attributes)
    record["message"] = text[at:].removeprefix(" ").removeprefix(_BOM)


def _structured(text: str, at: int, attributes: dict[str, str]) -> int:
    """Add the elements from ``at`` on to ``attributes``; return where they end: malformed ones stay in the message."""
    repeats: dict[str, int] = {}
    while (element := _ELEMENT.match(text, at)) is not None:
        at = element.end()
        if not element[2]:
            _add(attributes, element[1], "", repeats)
        for param in _PARAM.finditer(element[2]):
            value = _ESCAPED.sub(r"\1", param[2]) if "\\" in param[2] else param[2]
            _add(attributes, f"{element[1]}.{param[1]}", value, repeats)
    return at


def _add(attributes: dict[str, str], name: str, value: str, repeats: dict[str, int]) -> None:
    free = name
    while free in attributes:  # goes on from where it was: thousands of one name must not cost their square
        repeats[name] = repeats.get(name, 1) + 1
        free = f"{name}.{repeats[name]}"
    attributes[free] = value


# --- RFC 3164 --------------------------------------------------------------------------------------------------------


def _bsd(text: str, at: int, record: dict[str, Any], received_ns: int, zone: tzinfo) -> None:
    time, behind = _bsd_stamp(text, at, received_ns, zone)
    if time is not None:
        record["time"] = time
        host = _HOST.match(text, behind)
        if host is not None:
            record["host"] = host[1]
        at = behind if host is None else host.end()
    # Without PRI and time a text is no syslog but a line of anything: "Error: no such file" names no application.
    tag = _TAG.match(text, at) if at else None
    if tag is not None:
        record["service"] = tag[1]
        if tag[2]:
            record["attributes"]["procid"] = tag[2]
        at = tag.end()
    record["message"] = text[at:].removeprefix(_BOM)


def _bsd_stamp(text: str, at: int, received_ns: int, zone: tzinfo) -> tuple[str | None, int]:
    """The time that stands at ``at``, as RFC 3339, and where it ends; None: none stands there."""
    iso = _ISO_TIME.match(text, at)
    if iso is not None:
        return iso[1] if instants.from_value(iso[1]) is not None else None, iso.end()
    bsd = _BSD_TIME.match(text, at)
    if bsd is None:
        return None, at
    time = _bsd_time(bsd["month"], bsd["day"], bsd["year"], bsd["clock"], received_ns // _DAY_NS, zone)
    fraction = f".{bsd['fraction']}Z" if bsd["fraction"] else "Z"
    return time + fraction if time is not None else None, bsd.end()


@lru_cache(maxsize=4096)  # most messages of a second come together
def _bsd_time(month: str, day: str, year: str | None, clock: str, received_day: int, zone: tzinfo) -> str | None:
    """The time in UTC as RFC 3339, without its ``Z``; None when there is no such day or hour.

    A missing year is the one that brings it nearest to ``received_day``, days since 1970.
    """
    if month not in _MONTHS:
        return None
    hour, minute, second = map(int, clock.split(":"))
    received = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=received_day)
    times = []
    for number in [int(year)] if year else [received.year - 1, received.year, received.year + 1]:
        try:
            time = datetime(number, _MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=zone)
            times.append(time.astimezone(UTC))
        except (ValueError, OverflowError):  # the 29th of February, or nonsense
            continue
    if not times:
        return None
    text = min(times, key=lambda time: abs(time - received)).isoformat().removesuffix("+00:00")
    return text if instants.from_value(text + "Z") is not None else None


def _iso(ns: int) -> str:
    seconds, rest = divmod(ns, 10**9)
    return f"{datetime(1970, 1, 1) + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
