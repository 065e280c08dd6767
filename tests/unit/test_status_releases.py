"""Workers of two releases read each other's status and pressure, as they must while one after the other is updated."""

from __future__ import annotations

import copy
import io
import json
import zlib
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import fastavro
import pytest

from logflume import contract
from logflume.clock import ManualClock
from logflume.errors import Refused
from logflume.formats import avro_schema
from logflume.kafka.status import (
    PRESSURE_KEY,
    Codec,
    Condition,
    Entry,
    Identity,
    Level,
    Outbox,
    Pressure,
    Reader,
    Status,
    View,
)
from logflume.kafka.status.record import SCHEMA_HEADER
from logflume.settings import Settings
from tests.support.producer import FakeProducer

SETTINGS = Settings(kafka_bootstrap="nowhere:1", status_seconds=2.0)
CODEC = Codec(SETTINGS)
WORKER = Identity("sink", "a:1", "a", 7, "0.1", 5)
STATUS = Status(WORKER, Condition(lag_seconds=2.5, rows=12, troubles=("a table is broken",)), 9, 2.0, 12.0)
SLOW = Pressure(Level.SLOW, 0.5, 0.9, ("sink: late",), 1, 2, 2.0, "w")
OURS = {name: contract.avro_schema(name, contract.find("")) for name in ("status", "pressure")}
ALWAYS = {
    "status": {"kind", "id", "host", "pid", "version", "started_ms", "time_ms", "period_seconds"},
    "pressure": {"level", "time_ms", "period_seconds"},
}
"""Fields that every release writes."""


def plain(name: str) -> dict[str, Any]:
    """This release's schema, to be changed."""
    path = contract.find("") / "schemas" / f"{name}.avsc"
    found: dict[str, Any] = json.loads(path.read_text())
    return copy.deepcopy(found)


def written(schema: dict[str, Any], record: dict[str, Any]) -> tuple[bytes, bytes]:
    """The value and the header of another release's message."""
    parsed, body = fastavro.parse_schema(schema), io.BytesIO()
    fastavro.schemaless_writer(body, parsed, record)
    value = b"\xc3\x01" + avro_schema.fingerprint(parsed) + body.getvalue()
    return value, zlib.compress(fastavro.schema.to_parsing_canonical_form(parsed).encode())


def record_of(value: bytes, name: str) -> dict[str, Any]:
    """What stands in a value of this release."""
    found: Any = fastavro.schemaless_reader(io.BytesIO(value[10:]), OURS[name], None)
    return dict(found)


def changed(name: str, value: bytes, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Any:
    """A value and its header as a release writes them that has other fields."""
    schema = plain(name)
    schema["fields"] = change(schema["fields"])
    return written(schema, record_of(value, name) | {"new": "unheard of"})


def newer(listed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": "new", "type": "string"}, *listed]


@pytest.mark.parametrize("name", OURS)
def test_a_field_that_is_added_has_a_default(name: str) -> None:
    without = {field["name"] for field in OURS[name]["fields"] if "default" not in field}
    assert without == ALWAYS[name], "an older release's word has no such field"


def test_a_newer_releases_word_is_read_without_what_only_it_knows() -> None:
    value, schema = changed("status", CODEC.status(STATUS), newer)
    assert CODEC.read_status(WORKER.key, value, schema) == STATUS
    value, schema = changed("pressure", CODEC.pressure(SLOW), newer)
    assert CODEC.read_pressure(value, schema) == SLOW


@pytest.mark.parametrize("missing", [each.name for each in fields(Condition) if each.name != "in_force"])
def test_an_older_releases_word_has_the_defaults_of_what_it_did_not_know(missing: str) -> None:
    value, schema = changed("status", CODEC.status(STATUS), lambda all_: [f for f in all_ if f["name"] != missing])
    nothing = getattr(Condition(), missing)
    expected = replace(STATUS, condition=replace(STATUS.condition, **{missing: nothing}))
    assert CODEC.read_status(WORKER.key, value, schema) == expected


def test_a_view_takes_in_both_releases_and_passes_over_what_fits_neither() -> None:
    view = View(SETTINGS, ManualClock())
    value, schema = changed("status", CODEC.status(STATUS), newer)
    view.take(Entry(WORKER.key, value, 0, live=True))
    assert not view.workers(), "nobody knows what it was written by"
    view.take(Entry(WORKER.key, value, 0, live=True, schema=schema))
    assert [seen.status for seen in view.workers()] == [STATUS]
    value, schema = changed("pressure", CODEC.pressure(SLOW), newer)
    view.take(Entry(PRESSURE_KEY, value, 0, live=True, schema=schema))
    assert view.pressure() == SLOW


class Consumer:
    """Gives one message, of a newer release."""

    def __init__(self, _: dict[str, Any]) -> None:
        self.left = [1]
        self._value, self._schema = changed("pressure", CODEC.pressure(SLOW), newer)

    def assign(self, _: Any) -> None:
        pass

    def poll(self, _: float) -> Consumer | None:
        return self if self.left and self.left.pop() else None

    def error(self) -> None:
        return None

    def key(self) -> bytes:
        return PRESSURE_KEY

    def value(self) -> bytes:
        return self._value

    def timestamp(self) -> tuple[int, int]:
        return 2, 0

    def headers(self) -> list[tuple[str, bytes | None]]:
        return [("other", None), (SCHEMA_HEADER, self._schema)]


def test_a_reader_of_the_topic_hands_on_the_schema_that_a_message_comes_with() -> None:
    [found] = Reader(SETTINGS, from_start=False, make_consumer=Consumer).poll(0)
    assert CODEC.read_pressure(found.value or b"", found.schema) == SLOW


def test_a_schema_of_a_stranger_is_refused_unless_it_is_the_writers_and_safe_to_read_by() -> None:
    value, schema = changed("status", CODEC.status(STATUS), newer)
    longer, _ = changed("status", CODEC.status(STATUS), lambda listed: [*listed, *newer([])])  # reads well by ours, too
    endless = {
        "type": "record",
        "name": "Status",
        "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}],
    }
    packed_endless = zlib.compress(json.dumps(endless).encode())
    head_of_endless = b"\xc3\x01" + avro_schema.fingerprint(fastavro.parse_schema(endless))
    other = written(plain("pressure"), record_of(CODEC.pressure(SLOW), "pressure"))
    for wrong_value, wrong_schema in (
        (value, b""),
        (value, schema[:-9]),
        (value, b"no zlib"),
        (value, zlib.compress(b"[" * 60_000)),
        (value, zlib.compress(b'"string"')),
        (longer, CODEC.status_schema),
        (head_of_endless + b"\xfe\xff\xff\xff\x0f\x00", packed_endless),
        other,
        (value[:-3], schema),
        (value[:4], schema),
    ):
        with pytest.raises(Refused):
            Codec(SETTINGS).read_status(WORKER.key, wrong_value, wrong_schema)


def test_every_word_goes_out_with_its_schema() -> None:
    kafka = FakeProducer()
    outbox = Outbox(SETTINGS, 1.0, kafka)
    outbox.put(WORKER.key, CODEC.status(STATUS), CODEC.status_schema)
    outbox.put(b"worker/sink/gone", None)
    kafka.poll(0)
    assert [stored.headers for stored in kafka.log] == [[(SCHEMA_HEADER, CODEC.status_schema)], []]
    assert len(CODEC.status_schema) < 500, "it goes out every two seconds"
