"""Plain messages of any Kafka client: what each is taken for, and that a bad record costs only itself."""

from __future__ import annotations

import io
import json
import struct
import uuid
from dataclasses import dataclass, field
from typing import Any

import fastavro
import pytest

from logflume import contract
from logflume.errors import Poison, Retryable
from logflume.formats import avro_schema, to_records
from logflume.kafka.registry import Registered
from logflume.model import load
from logflume.sort import plain, schemas
from logflume.sort.gather import Gathered, Gatherer
from logflume.sort.schemas import Schemas
from tests.support.ingest import chunk, message

DATASETS = load(contract.find())
EVENTS = DATASETS["events"]
OWN = avro_schema.parsed(avro_schema.of_dataset(EVENTS))
OWN_ID = avro_schema.fingerprint(OWN)
FOREIGN = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "message", "type": "string"},
        {"name": "level", "type": ["null", "int"]},
        {"name": "order", "type": {"type": "record", "name": "Inner", "fields": [{"name": "id", "type": "long"}]}},
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "note", "type": ["null", "string"]},
    ],
}

ORDER = Registered("AVRO", json.dumps(FOREIGN), ())


@dataclass
class FakeRegistry:
    """A registry with one schema; ``asked`` says for what."""

    found: Registered = ORDER
    away: bool = False
    asked: list[Any] = field(default_factory=list)
    known: int = 7

    def by_id(self, number: int) -> Registered:
        self.asked.append(number)
        if self.away:
            raise Retryable("nobody answers")
        if number != self.known:
            raise Poison("unknown-schema", f"no schema {number}")
        return self.found

    def by_guid(self, guid: str) -> Registered:
        assert guid == str(uuid.UUID(int=7))
        return self.by_id(7)


def body(schema: Any, record: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, fastavro.parse_schema(schema), record)
    return file.getvalue()


def event(text: str) -> bytes:
    return body(OWN, {"message": text})


def order(text: str = "m") -> bytes:
    return body(FOREIGN, {"message": text, "level": 3, "order": {"id": 9}, "time": 1_767_323_045_678, "note": None})


def gathered(*values: bytes | tuple[bytes, dict[str, bytes]], registry: FakeRegistry | None = None) -> Gathered:
    """What becomes of messages at the offsets 0, 1, 2 …"""
    records = []
    for offset, value in enumerate(values):
        text, headers = value if isinstance(value, tuple) else (value, {})
        records.append(message(offset, text, headers=list(headers.items())))
    return Gatherer(EVENTS, Schemas(EVENTS, (), registry)).gather([chunk(records)])


def places(found: Gathered) -> list[tuple[int, int]]:
    return list(zip(found.offsets.tolist(), found.rows.tolist(), strict=True))


def letters(found: Gathered) -> list[tuple[int | None, int | None, str]]:
    return sorted(((each.offset, each.row, each.reason) for each in found.letters), key=str)


def test_the_lines_of_a_message_are_its_rows_and_their_numbers_their_coordinates() -> None:
    found = gathered(b'{"message":"a"}', b'{"message":"b"}\n{"message":"c"}\n', b'\r\n{"message":"d"}\r\n\r\n {"x":1}')
    assert places(found) == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert [record.get("message") for record in to_records(found.batch)] == ["a", "b", "c", "d", None]
    assert not found.letters


def test_a_bad_line_costs_only_itself_and_its_letter_names_its_row() -> None:
    found = gathered(b'{"message":"a"}\n{broken\n{"message":"c"}', b'{"message":"d"}')
    assert places(found) == [(0, 0), (0, 2), (1, 0)]
    [letter] = found.letters
    assert (letter.offset, letter.row, letter.raw, letter.tenant) == (0, 1, b"{broken", "acme")


@pytest.mark.parametrize("value", [b"", b" \n\r\n", b'[{"message":"a"}]', b'[{"a":1},\n{"a":2}]', b'{"a":1} {"a":2}'])
def test_a_message_without_a_record_is_one_letter_with_all_its_bytes(value: bytes) -> None:
    found = gathered(b'{"message":"a"}', value, b'{"message":"b"}')
    assert places(found) == [(0, 0), (2, 0)]
    [letter] = found.letters
    assert (letter.offset, letter.row, letter.raw) == (1, None, value)


def test_a_blank_message_takes_no_line_of_its_neighbour() -> None:
    found = gathered(b'{"message":"a"}\n{"message":"b"}', b"")
    assert places(found) == [(0, 0), (0, 1)]
    assert letters(found) == [(1, None, "not-json")]


@pytest.mark.parametrize("text", ["plain", "lone \ud800 surrogate"])
def test_one_object_printed_over_several_lines_is_one_record(text: str) -> None:
    printed = json.dumps({"message": text, "deep": {"a": [1, 2]}}, indent=1).encode()
    found = gathered(printed, b"\xef\xbb\xbf" + printed + b"\n")
    assert places(found) == [(0, 0), (1, 0)]
    assert [record["deep"] for record in to_records(found.batch)] == [{"a": [1, 2]}] * 2


def test_of_a_message_that_says_that_it_is_lines_each_line_is_a_record() -> None:
    printed = b'{"a":\n1}'
    headers = {"content-type": b"application/x-ndjson; charset=utf-8"}
    assert letters(gathered((printed, headers))) == [(0, 0, "not-json"), (0, 1, "not-json")]
    assert places(gathered((printed, {"content-type": b"application/json"}))) == [(0, 0)]


def test_a_message_of_more_lines_than_any_honest_one_is_one_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    many = b"{}\n" * 100_000
    assert len(gathered(many).codes) == 100_000
    found = gathered(many + b"{}", b"{}")
    assert letters(found) == [(0, None, "too-many-rows")]
    assert places(found) == [(1, 0)]
    monkeypatch.setattr(plain, "MOST_VALUE_BYTES", 10)
    assert letters(gathered(b'{"a":"0123456789"}')) == [(0, None, "too-large")]


def test_avro_by_the_datasets_own_schema_is_known_by_marker_or_by_header() -> None:
    found = gathered(
        b'{"message":"a"}',
        avro_schema.MARKER + OWN_ID + event("b"),
        b'{"message":"c"}\n{"message":"d"}',
        (event("e"), {"schema-id": OWN_ID.hex().encode()}),
    )
    assert places(found) == [(0, 0), (1, 0), (2, 0), (2, 1), (3, 0)]
    assert found.batch.column("message").to_pylist() == ["a", "b", "c", "d", "e"]
    assert not found.letters


CONFLUENT = [
    b"\x00" + struct.pack(">I", 7) + order(),
    b"\x01" + uuid.UUID(int=7).bytes + order(),
    (order(), {"__value_schema_id": b"\x01" + uuid.UUID(int=7).bytes}),
]


@pytest.mark.parametrize("value", CONFLUENT)
def test_any_writers_schema_of_a_registry_is_resolved_by_its_fields_names(value: Any) -> None:
    registry = FakeRegistry()
    found = gathered(value, value, registry=registry)
    assert (
        to_records(found.batch)
        == [{"message": "m", "level": 3, "order": {"id": 9}, "time": "2026-01-02T03:04:05.678Z"}] * 2
    )
    assert registry.asked == [7]


def test_json_in_the_frame_of_a_registry_is_json() -> None:
    value = b"\x00" + struct.pack(">I", 7) + b'{"message":"a"}'
    found = gathered(value, registry=FakeRegistry(Registered("JSON", "{}", ())))
    assert found.batch.column("message").to_pylist() == ["a"]


BAD = [
    (avro_schema.MARKER + b"12345678" + event("a"), "unknown-schema"),
    (avro_schema.MARKER + OWN_ID[:4], "not-avro"),
    (avro_schema.MARKER + OWN_ID + event("a")[:-3], "not-avro"),
    (avro_schema.MARKER + OWN_ID + event("a") + b"\0", "not-avro"),
    (avro_schema.MARKER + OWN_ID + event("\u00e9").replace("\u00e9".encode(), b"\xff\xff"), "not-utf8"),
    ((event("a"), {"schema-id": b"12"}), "unknown-schema"),
    ((event("a"), {"__value_schema_id": b"12"}), "unknown-schema"),
    (b"\x00" + struct.pack(">I", 8) + order(), "unknown-schema"),
    (b"\x00\x00", "not-avro"),
    ((b"{}", {"dataset": b"dns_logs"}), "other-dataset"),
    ((b"{}", {"dataset": b"\xff"}), "other-dataset"),
    ((b"{}", {"tenant": b""}), "no-tenant"),
    ((b"{}", {"tenant": b"../acme"}), "bad-tenant"),
]


@pytest.mark.parametrize(("value", "reason"), BAD)
def test_what_can_never_be_read_is_a_letter_and_its_neighbours_go_on(value: Any, reason: str) -> None:
    found = gathered(b'{"message":"a"}', value, avro_schema.MARKER + OWN_ID + event("b"), registry=FakeRegistry())
    assert found.batch.column("message").to_pylist() == ["a", "b"]
    assert places(found) == [(0, 0), (2, 0)]
    assert letters(found) == [(1, None, reason)]
    assert found.letters[0].raw == (value[0] if isinstance(value, tuple) else value)


def test_a_registrys_number_is_unknown_where_no_registry_is_set() -> None:
    assert letters(gathered(b"\x00" + struct.pack(">I", 7) + order())) == [(0, None, "unknown-schema")]


def test_a_registry_that_cannot_be_asked_is_no_poison_and_a_later_call_reads_everything() -> None:
    registry = FakeRegistry(away=True)
    gatherer = Gatherer(EVENTS, Schemas(EVENTS, (), registry))
    unit = [chunk([message(0, b"{broken"), message(1, b"\x00" + struct.pack(">I", 7) + order())])]
    with pytest.raises(Retryable):
        gatherer.gather(unit)
    registry.away = False
    found = gatherer.gather(unit)
    assert (places(found), letters(found)) == ([(1, 0)], [(0, None, "not-json")])


def framed(number: int) -> bytes:
    return b"\x00" + struct.pack(">I", number) + order()


def test_a_number_that_no_registry_gives_out_is_not_asked_for() -> None:
    """Some answer it like any other mistake of theirs, for ever: it would look like a registry that is away."""
    gatherer = Gatherer(EVENTS, Schemas(EVENTS, (), FakeRegistry(away=True)))
    assert letters(gatherer.gather([chunk([message(0, framed(2**31))])])) == [(0, None, "unknown-schema")]


def test_s3_an_unknown_id_is_asked_for_once_a_unit_and_known_to_the_next_when_it_was_registered_between() -> None:
    """A number that somebody used by mistake, and that the registry gave out a second later."""
    registry = FakeRegistry()
    gatherer = Gatherer(EVENTS, Schemas(EVENTS, (), registry))
    assert len(gatherer.gather([chunk([message(at, framed(8)) for at in range(3)])]).letters) == 3
    assert registry.asked == [8]
    registry.known = 8
    found = gatherer.gather([chunk([message(3, framed(8))])])
    assert (places(found), letters(found)) == ([(3, 0)], [])


def test_more_known_schemas_than_are_kept_are_asked_for_once_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for again while its rows are made, the registry could fail, or say no, where nobody expects it."""

    class Knowing(FakeRegistry):
        def by_id(self, number: int) -> Registered:
            self.asked.append(number)
            return ORDER

    monkeypatch.setattr(schemas, "_KEPT", 2)
    registry = Knowing()
    found = Gatherer(EVENTS, Schemas(EVENTS, (), registry)).gather([chunk([message(n, framed(n)) for n in range(5)])])
    assert (len(places(found)), registry.asked) == (5, [0, 1, 2, 3, 4])


def test_s3_a_flood_of_unknown_ids_is_no_flood_of_questions_and_holds_up_no_known_one() -> None:
    registry = FakeRegistry()
    gatherer = Gatherer(EVENTS, Schemas(EVENTS, (), registry))
    gatherer.gather([chunk([message(0, framed(7))])])
    found = gatherer.gather(
        [chunk([message(at, framed(1000 + at)) for at in range(1, 1000)] + [message(1000, framed(7))])]
    )
    assert len(registry.asked) == 1 + 256
    assert places(found) == [(1000, 0)]
    assert {each.reason for each in found.letters} == {"unknown-schema"}


def test_the_header_names_the_tenant_before_the_key_does() -> None:
    records = [
        message(0, b"{}", b"by-key"),
        message(1, b"{}", b"by-key", headers=[("tenant", b"first"), ("tenant", b"by-header")]),
        message(2, b"{}", None, headers=[("tenant", b"by-header"), ("dataset", b"events")]),
        message(3, b"{bad", b"by-key", headers=[("tenant", b"by-header")]),
    ]
    found = Gatherer(EVENTS).gather([chunk(records)])
    assert [found.tenants[code] for code in found.codes] == ["by-key", "by-header", "by-header"]
    assert [letter.tenant for letter in found.letters] == ["by-header"]


def test_instants_keep_their_digits_and_one_out_of_reach_stays_as_text() -> None:
    times = [1_767_323_045_678_901, 253_402_300_799_000_000, 2**62, None]
    values = [avro_schema.MARKER + OWN_ID + body(OWN, {"time": at}) for at in times]
    assert [record.get("time") for record in to_records(gathered(*values).batch)] == [
        "2026-01-02T03:04:05.678901Z",
        "9999-12-31T23:59:59Z",
        f"{2**62} times 1000 ns since 1970",
        None,
    ]
