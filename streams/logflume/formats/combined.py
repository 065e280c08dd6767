"""Web servers' combined log format (Apache's and nginx's default) to columns and back, character for character.

Texts stand as the server wrote them, its escapes included. ``-`` is null. What ``http_requests`` has no field for is in
``_extra``: ``ident``, ``user``, ``zone`` (unless +0000), ``request`` and ``status`` (when they are not as HTTP has
them), ``rest`` (whatever follows the user agent) and ``cut`` (the field in which a line ends that the server cut).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from logflume.block import extra, reasons
from logflume.errors import Misconfigured
from logflume.formats import instants
from logflume.formats.conform import schema
from logflume.formats.parsed import BadLine, Parsed
from logflume.model import Dataset

_QUOTED: Final = r'"(?P<{}>(?:[^"\\]|\\.)*)"'
_LINE: Final = (
    r"^(?P<ip>[^ ]+) (?P<ident>[^ ]+) (?P<user>.+?) "
    r"\[(?P<day>[0-9]{2})/(?P<month>[A-Z][a-z]{2})/(?P<year>[0-9]{4}):(?P<clock>[0-9]{2}:[0-9]{2}:[0-9]{2}) "
    r"(?P<zone>[+-][0-9]{4})\] "
    + _QUOTED.format("request")
    + r" (?P<status>[0-9]{3}|-) (?P<bytes>0|[1-9][0-9]{0,17}|-) "
    + _QUOTED.format("referer")
    + " "
    + _QUOTED.format("agent").removesuffix('"')
    + r'(?P<close>"?)(?P<rest>.*)$'
)
_REQUEST: Final = r"^(?P<method>[^ ]+) (?P<uri>(?P<path>[^ ?]*)[^ ]*) (?P<protocol>HTTP/[^ ]+)$"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS: Final = pa.array([f"{month:02}" for month in range(1, 13)])


def parse(lines: bytes, ds: Dataset) -> Parsed:
    """Return the lines of a log as rows of ``http_requests``, or of ``events`` (its time, and the line as message).

    Blank lines are none. Raises ``Misconfigured`` when ``ds`` is neither of the two.
    """
    if ds.name not in ("http_requests", "events"):
        raise Misconfigured(f"the combined format can fill http_requests and events, not {ds.name}")
    raw = [line for line in (line.removesuffix(b"\r") for line in lines.split(b"\n")) if line.strip()]
    texts = _texts(raw)
    found = pc.extract_regex(texts, _LINE)
    times = _times(found)
    good = pc.and_(found.is_valid(), times.is_valid())
    rows = np.flatnonzero(good).astype(np.int32)
    bad = [_bad(int(row), raw[row], texts) for row in np.flatnonzero(pc.invert(good))]
    found, times = found.filter(good), times.filter(good)
    if ds.name == "events":
        columns = {ds.time_field: times, "message": texts.filter(good)}
    else:
        columns = _request_columns(found, times)
    arrays = [columns[field.name] if field.name in columns else pa.nulls(len(rows), field.type) for field in schema(ds)]
    return Parsed(pa.RecordBatch.from_arrays(arrays, schema=schema(ds)), rows, bad)


def to_combined(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the lines that ``records`` (``to_records`` of rows of ``http_requests``) were parsed from."""
    return [_line(record) for record in records]


def _texts(raw: list[bytes]) -> pa.StringArray:
    """Return the lines as text, null where one is no UTF-8."""
    try:
        return pa.array(raw, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_decoded(line) for line in raw], pa.string())


def _decoded(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _times(found: pa.StructArray) -> pa.Array:
    part = {name: pc.struct_field(found, name) for name in ("day", "month", "year", "clock", "zone")}
    month = _MONTH_NUMBERS.take(pc.index_in(part["month"], pa.array(_MONTHS)))
    date = pc.binary_join_element_wise(part["year"], month, part["day"], "-")
    text = pc.binary_join_element_wise(date, "T", part["clock"], part["zone"], "")
    return instants.from_values(text.to_pylist())[0]


def _bad(row: int, line: bytes, texts: pa.StringArray) -> BadLine:
    if not texts[row].is_valid:
        return BadLine(row, line, reasons.NOT_UTF8, "the line is not UTF-8")
    return BadLine(row, line, reasons.NOT_COMBINED, "the line is not in the combined log format, or its time is none")


def _request_columns(found: pa.StructArray, times: pa.Array) -> dict[str, pa.Array]:
    part = {found.type.field(i).name: found.field(i) for i in range(found.type.num_fields)}
    request = pc.extract_regex(part["request"], _REQUEST)
    known = request.is_valid()
    status = _or_null(part["status"], pc.match_substring_regex(part["status"], "^[1-9]"))
    columns = {
        "ClientIP": part["ip"],
        "EdgeStartTimestamp": times,
        "ClientRequestMethod": pc.struct_field(request, "method"),
        "ClientRequestURI": pc.struct_field(request, "uri"),
        "ClientRequestPath": pc.struct_field(request, "path"),
        "ClientRequestProtocol": pc.struct_field(request, "protocol"),
        "EdgeResponseStatus": status.cast(pa.int64()),
        "EdgeResponseBytes": _or_null(part["bytes"], pc.not_equal(part["bytes"], "-")).cast(pa.int64()),
        "ClientRequestReferer": _or_null(part["referer"], pc.not_equal(part["referer"], "-")),
        "ClientRequestUserAgent": _or_null(part["agent"], pc.not_equal(part["agent"], "-")),
    }
    left = {
        "ident": _or_null(part["ident"], pc.not_equal(part["ident"], "-")),
        "user": _or_null(part["user"], pc.not_equal(part["user"], "-")),
        "zone": _or_null(part["zone"], pc.not_equal(part["zone"], "+0000")),
        "request": _or_null(part["request"], pc.invert(known)),
        "status": _or_null(part["status"], status.is_null()),
        "rest": _or_null(part["rest"], pc.not_equal(part["rest"], "")),
        "cut": pc.if_else(pc.equal(part["close"], ""), "ClientRequestUserAgent", pa.scalar(None, pa.string())),
    }
    return columns | {"_extra": _extras(left)}


def _or_null(column: pa.Array, keep: pa.Array) -> pa.Array:
    return pc.if_else(keep, column, pa.scalar(None, pa.string()))


def _extras(left: dict[str, pa.Array]) -> pa.Array:
    """Return ``_extra``; only the few rows that have something left become objects."""
    rows = len(left["rest"])
    wanted = np.zeros(rows, bool)
    for column in left.values():
        wanted |= column.is_valid().to_numpy(zero_copy_only=False)
    at = np.flatnonzero(wanted)
    values = [column.take(pa.array(at)).to_pylist() for column in left.values()]
    texts = np.full(rows, None, object)
    texts[at] = [
        extra.dumps({name: value for name, value in zip(left, row, strict=True) if value is not None})
        for row in zip(*values, strict=True)
    ]
    return pa.array(texts, pa.string())


def _line(record: Mapping[str, Any]) -> str:
    zone = record.get("zone", "+0000")
    request = record.get("request")
    if request is None:
        request = " ".join((record["ClientRequestMethod"], record["ClientRequestURI"], record["ClientRequestProtocol"]))
    status = record.get("status", record.get("EdgeResponseStatus"))
    close = "" if "cut" in record else '"'
    return (
        f"{record['ClientIP']} {record.get('ident', '-')} {record.get('user', '-')} "
        f'[{_clock(record["EdgeStartTimestamp"], zone)}] "{request}" {status} {record.get("EdgeResponseBytes", "-")} '
        f'"{record.get("ClientRequestReferer", "-")}" "{record.get("ClientRequestUserAgent", "-")}'
        f"{close}{record.get('rest', '')}"
    )


def _clock(time: str, zone: str) -> str:
    minutes = int(zone[1:3]) * 60 + int(zone[3:])
    offset = timedelta(minutes=-minutes if zone[0] == "-" else minutes)
    local = datetime.fromisoformat(time).astimezone(timezone(offset))
    return f"{local:%d}/{_MONTHS[local.month - 1]}/{local.year:04}:{local:%H:%M:%S} {zone}"
