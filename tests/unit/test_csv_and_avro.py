"""CSV and Avro to JSON records: nothing is lost for its shape, and a broken file gives what came before the damage."""

from __future__ import annotations

import csv as stdlib
import io
import json
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.errors import Misconfigured, Poison
from logflume.formats import JsonParser, avro, csv, to_records
from logflume.formats.pieces import pieces
from logflume.model import Dataset, Field, FieldType

DATASET = Dataset(
    "things",
    (
        Field("time", FieldType.TIMESTAMP),
        Field("count", FieldType.INT),
        Field("share", FieldType.FLOAT),
        Field("ok", FieldType.BOOL),
        Field("text", FieldType.STRING),
        Field("labels", FieldType.MAP),
        Field("codes", FieldType.INTS),
    ),
    time_field="time",
)


def from_csv(text: str | bytes, delimiter: str = ",") -> list[Any]:
    data = text.encode() if isinstance(text, str) else text
    return [json.loads(line) for line in csv.records(io.BytesIO(data), DATASET, delimiter)]


def test_a_text_that_spells_its_fields_type_becomes_one_and_any_other_stays_text() -> None:
    text = (
        "time,count,share,ok,text,labels,codes,other\r\n"
        '2026-05-01T12:00:00Z,7,0.5,TRUE,12,"{""a"":""b""}","[1,2]",3\r\n'
        '1777636800,007,1e999,maybe,"two\nlines",{no,[NaN],\r\n'
    )
    assert from_csv(text) == [
        {
            "time": "2026-05-01T12:00:00Z",
            "count": 7,
            "share": 0.5,
            "ok": True,
            "text": "12",
            "labels": {"a": "b"},
            "codes": [1, 2],
            "other": "3",
        },
        {
            "time": 1777636800,
            "count": "007",
            "share": "1e999",
            "ok": "maybe",
            "text": "two\nlines",
            "labels": "{no",
            "codes": "[NaN]",
        },
    ]


def test_tabs_a_byte_order_mark_and_blank_lines_are_understood() -> None:
    assert from_csv(b"\xef\xbb\xbftext\tcount\n\na\t1\n\n", "\t") == [{"text": "a", "count": 1}]


def test_a_row_of_another_length_is_no_record_and_keeps_its_values() -> None:
    assert from_csv("text,count\na\nb,2\nc,3,4\n") == [["a"], {"text": "b", "count": 2}, ["c", "3", "4"]]


def test_bytes_that_are_no_utf8_survive_in_extra() -> None:
    lines = b"".join(csv.records(io.BytesIO(b"text\n\xe9\n"), DATASET))
    parsed = JsonParser(DATASET).parse(lines)
    assert not parsed.bad
    assert to_records(parsed.batch) == [{"text": "\udce9"}]


@pytest.mark.parametrize(("header", "said"), [("a,,b", "column 2"), ("a,b,a", "two columns .* 'a'")])
def test_a_header_that_cannot_name_fields_is_refused(header: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        from_csv(f"{header}\n1,2,3\n")


def test_a_text_that_ends_inside_quotes_gives_what_came_before() -> None:
    lines = csv.records(io.BytesIO(b'text\ngood\n"torn'), DATASET)
    assert next(lines) == b'{"text":"good"}\n'
    with pytest.raises(Poison, match="past line 3"):
        next(lines)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), min_size=1, max_size=20))
def test_any_text_comes_back(texts: list[str]) -> None:
    file = io.StringIO(newline="")
    stdlib.writer(file).writerows([["text"], *([text] for text in texts)])
    assert [record["text"] for record in from_csv(file.getvalue())] == texts


SCHEMA = {
    "type": "record",
    "name": "Thing",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "raw", "type": "bytes"},
        {"name": "share", "type": ["null", "double"]},
        {"name": "labels", "type": {"type": "map", "values": "string"}},
    ],
}


def thing(share: float | None = 0.5) -> dict[str, Any]:
    return {
        "at": datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC),
        "day": date(2026, 5, 1),
        "price": Decimal("12.50"),
        "id": UUID(int=7),
        "raw": b"a\xff",
        "share": share,
        "labels": {"k": "v"},
    }


def container(things: Iterable[dict[str, Any]], codec: str = "deflate") -> bytes:
    file = io.BytesIO()
    fastavro.writer(file, SCHEMA, things, codec=codec, sync_interval=1)
    return file.getvalue()


def test_avro_values_become_what_a_log_record_holds() -> None:
    [line] = avro.records(io.BytesIO(container([thing()])))
    assert json.loads(line) == {
        "at": "2026-05-01T12:00:00.250000Z",
        "day": "2026-05-01",
        "price": "12.50",
        "id": str(UUID(int=7)),
        "raw": "a\xff",
        "share": 0.5,
        "labels": {"k": "v"},
    }


def test_a_nan_is_spelled_so_that_its_record_alone_is_refused() -> None:
    lines = b"".join(avro.records(io.BytesIO(container([thing(), thing(float("nan")), thing(None)]))))
    parsed = JsonParser(DATASET).parse(lines)
    assert parsed.rows.tolist() == [0, 2]
    assert [bad.row for bad in parsed.bad] == [1]


@pytest.mark.parametrize("damage", ["cut", "zeros", "no-avro"])
def test_a_broken_container_is_told_and_gives_what_came_before(damage: str) -> None:
    good = container([thing()] * 50)
    broken = {"cut": good[:-60], "zeros": good[:-100] + bytes(100), "no-avro": b"{}"}[damage]
    found: list[bytes] = []
    with pytest.raises(Poison, match=f"past record {0 if damage == 'no-avro' else 4}"):
        found.extend(line for _, data in pieces(avro.records(io.BytesIO(broken))) for line in data.splitlines())
    assert len(found) == 0 if damage == "no-avro" else 40 <= len(found) < 50


def test_pieces_number_their_first_record() -> None:
    assert list(pieces([b"a\n", b"bb\n", b"c\n"], 4)) == [(1, b"a\nbb\n"), (3, b"c\n")]
