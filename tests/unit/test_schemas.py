"""Schemas that values are written by: the contract's files, a registry's; and those that no reader would survive."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryError
from hypothesis import given, settings
from hypothesis import strategies as st

from logflume.errors import Misconfigured, Poison, Retryable
from logflume.formats import avro, avro_schema, to_records
from logflume.formats.avro_body import BodyReader
from logflume.kafka import registry
from logflume.model import load
from logflume.sort.schemas import of_contract
from tests.support import pages

DATASETS = load(pages.ROOT / "topics")
EVENTS = DATASETS["events"]


def record(*fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": "R", "fields": [{"name": f"f{n}", "type": kind} for n, kind in enumerate(fields)]}


def test_a_datasets_schema_that_changes_is_kept_and_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "schemas" / "datasets"
    home.mkdir(parents=True)
    monkeypatch.setattr(pages, "SCHEMAS", home)
    path, old = home / "events.avsc", json.dumps(record("string"))
    path.write_text(old)
    pages.keep(path, avro_schema.of_dataset(EVENTS))
    assert [each.read_text() for each in home.iterdir()] == [old]
    of_contract(EVENTS, tmp_path).reader(avro_schema.fingerprint(record("string")))
    path.write_text(avro_schema.of_dataset(EVENTS))
    pages.keep(path, avro_schema.of_dataset(EVENTS))
    assert len(list(home.iterdir())) == 2


def test_a_wrong_schema_file_is_named(tmp_path: Path) -> None:
    home = tmp_path / "schemas" / "datasets"
    home.mkdir(parents=True)
    (home / "events.mine.avsc").write_text('{"type": "strung"}')
    with pytest.raises(Misconfigured, match=r"events\.mine\.avsc: .*no Avro schema"):
        of_contract(EVENTS, tmp_path)


def test_fingerprints_are_those_of_the_specification() -> None:
    """Avro specification: the fingerprint of "null" is 0x63dd24e7cc258f8a, written little endian."""
    assert avro_schema.fingerprint("null").hex() == "8a8f25cce724dd63"


EMPTY = {"type": "record", "name": "E", "fields": []}
WRAPPED: Any = "boolean"
for depth in range(5):
    WRAPPED = {"type": "record", "name": f"W{depth}", "fields": [{"name": "x", "type": WRAPPED}]}
DEEP: Any = "string"
for _ in range(100):
    DEEP = {"type": "array", "items": DEEP}
DOUBLING = [
    {"type": "record", "name": f"D{n}", "fields": [{"name": c, "type": f"D{n - 1}" if n else "null"} for c in "ab"]}
    for n in range(40)
]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]},
        {"type": "record", "name": "L", "fields": [{"name": "all", "type": {"type": "array", "items": "L"}}]},
        record({"type": "array", "items": "null"}),
        record({"type": "array", "items": EMPTY}),
        record({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}),
        record({"type": "array", "items": WRAPPED}),
        record({"type": "map", "values": WRAPPED}),
        record(DEEP),
        record(*DOUBLING),
    ],
    ids=["list", "tree", "nulls", "nothings", "no-bytes", "wrapped", "wrapped-values", "deep", "doubling"],
)
def test_a_schema_by_which_few_bytes_make_much_is_refused(schema: Any) -> None:
    with pytest.raises(Poison, match="no values are read by this schema"):
        avro_schema.parsed(json.dumps(schema))
    file = io.BytesIO()
    fastavro.writer(file, schema, [])
    with pytest.raises(Poison, match="no values are read by this schema"):
        list(avro.records(io.BytesIO(file.getvalue())))


@pytest.mark.parametrize(
    "kind",
    [
        {"type": "array", "items": record("string", "string")},
        {"type": "array", "items": {"type": "array", "items": "string"}},
        {"type": "map", "values": {"type": "map", "values": ["null", "string"]}},
        {"type": "array", "items": ["null", record(["null", "long"], ["null", "string"])]},
        ["null", {"type": "enum", "name": "E", "symbols": ["A", "B"]}],
        {"type": "array", "items": record(record("string"))},
    ],
)
def test_honest_nested_schemas_are_read(kind: Any) -> None:
    text = json.dumps({"type": "record", "name": "Top", "fields": [{"name": "f", "type": kind}]})
    text = text.replace('"name": "R"', '"name": "R1"', 1)
    avro_schema.parsed(text)


ODD = record(
    {"type": "map", "values": ["null", "double", {"type": "array", "items": "bytes"}]},
    ["null", {"type": "long", "logicalType": "timestamp-millis"}],
    {"type": "bytes", "logicalType": "decimal", "precision": 8, "scale": 2},
    {"type": "int", "logicalType": "date"},
    {"type": "string", "logicalType": "uuid"},
    {"type": "enum", "name": "E", "symbols": ["A", "B"]},
)
OWN = avro_schema.parsed(avro_schema.of_dataset(EVENTS))
READERS = [BodyReader(EVENTS, avro_schema.parsed(json.dumps(ODD))), BodyReader(EVENTS, OWN)]


@settings(max_examples=150)
@given(st.lists(st.one_of(st.binary(max_size=60), st.integers(0, 2**64).map(lambda n: n.to_bytes(9, "little") * 3))))
def test_any_bytes_are_rows_or_bad_ones(bodies: list[bytes]) -> None:
    for reader in READERS:
        parsed = reader.parse(bodies)
        assert sorted([*parsed.rows.tolist(), *(bad.row for bad in parsed.bad)]) == list(range(len(bodies)))
        assert len(to_records(parsed.batch)) == len(parsed.rows)
        parsed.batch.validate(full=True)


@settings(max_examples=60)
@given(st.data())
def test_a_body_with_a_changed_byte_is_a_row_or_a_bad_one(data: st.DataObject) -> None:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, OWN, {"message": "m" * 20, "attributes": {"k": "v"}, "time": 10**15})
    body = bytearray(file.getvalue())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    parsed = READERS[1].parse([bytes(body), file.getvalue()])
    assert 1 in parsed.rows


def test_values_that_json_lacks_make_their_record_alone_a_bad_one() -> None:
    schema = record("double", {"type": "bytes"})
    bodies = []
    for value in (0.5, float("nan"), float("-inf"), 1.5):
        file = io.BytesIO()
        fastavro.schemaless_writer(file, fastavro.parse_schema(schema), {"f0": value, "f1": b"\xff"})
        bodies.append(file.getvalue())
    parsed = BodyReader(EVENTS, avro_schema.parsed(json.dumps(schema))).parse(bodies)
    assert to_records(parsed.batch) == [{"f0": 0.5, "f1": "\xff"}, {"f0": 1.5, "f1": "\xff"}]
    assert [(bad.row, bad.reason) for bad in parsed.bad] == [(1, "not-finite"), (2, "not-finite")]


@pytest.mark.parametrize("kind", [{"type": "bytes"}, {"type": "fixed", "name": "F", "size": 4_000_000}])
def test_a_decimal_of_millions_of_digits_is_a_bad_record_and_takes_no_time(kind: Any) -> None:
    """Reading one would take an hour, in which the process does nothing else."""
    schema = record(kind | {"logicalType": "decimal", "precision": 8})
    body, file = io.BytesIO(), io.BytesIO()
    value = {"f0": b"\x7f" * 4_000_000}
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), value)
    [bad] = BodyReader(EVENTS, avro_schema.parsed(json.dumps(schema))).parse([body.getvalue()]).bad
    assert (bad.reason, "a decimal of 4000000 bytes" in bad.detail) == ("not-avro", True)
    fastavro.writer(file, schema, [value])
    with pytest.raises(Poison, match="a decimal of 4000000 bytes"):
        list(avro.records(io.BytesIO(file.getvalue())))


def test_a_registrys_schemas_come_with_what_they_refer_to() -> None:
    found = registry.connect("mock://here")
    inner = {"type": "enum", "name": "Level", "symbols": ["LOW"]}
    found._client.register_schema("level", Schema(json.dumps(inner), "AVRO"))
    outer = Schema(json.dumps(record("Level")), "AVRO", [SchemaReference("Level", "level", 1)])
    number = found._client.register_schema("outer", outer)
    assert found.by_id(number) == ("AVRO", json.dumps(record("Level")), (json.dumps(inner),))
    with pytest.raises(Poison, match="no schema of id 99"):
        found.by_id(99)
    found.close()


@pytest.mark.parametrize("status", [400, 404, 422])
def test_an_id_that_a_registry_will_never_answer_stalls_nobody(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = registry.connect("mock://here")

    def refuse(number: int) -> Any:
        raise SchemaRegistryError(status, -1, "no such thing")

    monkeypatch.setattr(found._client, "get_schema", refuse)
    with pytest.raises(Poison, match="no schema of id 1"):
        found.by_id(1)


@pytest.mark.parametrize("ask", [lambda r: r.by_id(1), lambda r: r.by_guid("00000000-0000-0000-0000-000000000007")])
def test_a_registry_where_nobody_answers_is_retryable(ask: Callable[[Any], Any]) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        found = registry.connect(f"http://127.0.0.1:{unheard.getsockname()[1]}")
        with pytest.raises(Retryable, match="can't be asked"):
            ask(found)
        found.close()


def test_what_is_no_url_is_misconfigured() -> None:
    with pytest.raises(Misconfigured, match="LOGFLUME_SORT_SCHEMA_REGISTRY"):
        registry.connect("registry:8081")
