"""JSON to columns: which way a record takes, and that the odd one costs only itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logflume.block import reasons
from logflume.errors import Poison
from logflume.formats import JsonParser, exact, to_records
from logflume.formats.fast import Shape
from logflume.formats.lines import of_records, of_text
from logflume.model import Dataset, Field, FieldType

DS = Dataset(
    name="requests",
    fields=(
        Field("at", FieldType.TIMESTAMP),
        Field("host", FieldType.STRING),
        Field("status", FieldType.INT),
        Field("share", FieldType.FLOAT),
        Field("cached", FieldType.BOOL),
        Field("headers", FieldType.MAP),
        Field("tags", FieldType.STRINGS),
        Field("rules", FieldType.INTS),
    ),
    time_field="at",
)
USUAL = {
    "at": "2024-05-01T10:00:00.123456789Z",
    "host": "é.example",
    "status": 200,
    "share": 0.25,
    "cached": True,
    "headers": {"accept": "*/*", "x": ""},
    "tags": ["a", None],
    "rules": [1, None],
}


def line(**changes: object) -> bytes:
    return orjson.dumps(USUAL | changes)


@pytest.fixture
def shape() -> Shape:
    shape = Shape(DS)
    shape.learn([dict(USUAL)])
    return shape


def exact_rows(parser: JsonParser, data: bytes | list[bytes], monkeypatch: pytest.MonkeyPatch) -> int:
    from logflume.formats import ndjson

    counted = []
    conform = ndjson.conform
    monkeypatch.setattr(ndjson, "conform", lambda records, ds: counted.append(len(records)) or conform(records, ds))
    parser.parse(data)
    monkeypatch.undo()
    return sum(counted)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"at": None},
        {"headers": {}},
        {"headers": None},
        {"tags": []},
        {"host": None},
        {"share": -0.5},
        {"cached": None},
    ],
)
def test_usual_records_go_the_fast_way(shape: Shape, changes: dict[str, object]) -> None:
    batch = shape.read(line(**changes) + b"\n" + line(), 2)
    assert batch is not None
    expected = {name: value for name, value in (USUAL | changes).items() if value is not None}
    assert to_records(batch) == [expected, USUAL]


def test_a_record_without_any_field_goes_the_fast_way(shape: Shape) -> None:
    batch = shape.read(b"{}\n{ }\n{}", 3)
    assert batch is not None
    assert to_records(batch) == [{}, {}, {}]


@pytest.mark.parametrize(
    "doubtful",
    [
        b'{"host":"a","host":"b"}',
        b'{"headers":{"x":"1","x":"2"}}',
        b'{"share":9007199254740993}',
        b'{"share":123456789012345678901234567890}',
        b'{"share":1e400}',
        b'{"share":NaN}',
        b'{"share":Infinity}',
        b'{"share":-Infinity}',
        b'{"host":"\\ud800"}',
        b'{"host":"\xff"}',
        b'{"host":"\xc3\x28"}',
        b'{"host":"a",}',
        b'{"host":"a"} {}',
        b'{"host":"a"}{}',
        b'{"host":"a"}\0{}',
        b"{}\0",
        b'{"host":"a"/**/}',
        b'{"host":"a\tb"}',
        b'{"status":1.0}',
        b'{"status":1e3}',
        b'{"status":9223372036854775808}',
        b'{"status":-9999999999999999999}',
        b'{"status":"1"}',
        b'{"status":true}',
        b'{"cached":1}',
        b'{"host":1}',
        b'{"other":null}',
        b'{"headers":{"unseen":"1"}}',
        b'{"headers":{"x":null}}',
        b'{"headers": {"accept" :"\\"}", "x":\r null}}',
        b'{"headers":{"\\u0078":null}}',
        b'{"he\\u0061ders":{"x":null}}',
        b'{"headers":{"x":1}}',
        b'{"tags":[1]}',
        b'{"tags":["a",["b"]]}',
        b'{"rules":[1.0]}',
        b'{"rules":[9223372036854775808]}',
        b'{"at":"2024-05-01T10:00:00"}',
        b'{"at":"2024-05-01"}',
        b'{"at":"2024-05-01T10:00:00z"}',
        b'{"at":"2024-05-01T10:00:60Z"}',
        b'{"at":"2024-05-01T10:00:00.1234567891Z"}',
        b'{"at":"2300-01-01T00:00:00Z"}',
        b'{"at":"1600-01-01T00:00:00Z"}',
        b'{"at":1714557600}',
        b'{"at":""}',
    ],
)
def test_what_pyarrow_would_change_or_guess_is_left_to_the_exact_way(shape: Shape, doubtful: bytes) -> None:
    assert shape.read(line() + b"\n" + doubtful, 2) is None


@pytest.mark.parametrize("number", [10**10, -(10**10), 2**63 - 1, -(2**63) + 1, 9_223_372_036_855, 1_714_557_600_123])
def test_numbers_as_times_are_the_same_instant_by_both_ways(number: int) -> None:
    shape = Shape(DS)
    shape.learn([{"at": 1}])
    fast = shape.read(b'{"at":%d}' % number, 1)
    exactly = JsonParser(DS).parse([b'{"at":%d}' % number]).batch
    if fast is not None:
        assert fast.equals(exactly)
    else:
        assert to_records(exactly) == [{"at": number}]


def test_rows_are_numbered_by_record_and_blank_lines_are_none() -> None:
    data = (
        b"\xef\xbb\xbf\n"
        + line(status=0)
        + b"\r\n\r\n \t\nnonsense\n"
        + line(status=2)
        + b"\n\n  "
        + line(status=3)
        + b" "
    )
    parsed = JsonParser(DS).parse(pa.py_buffer(data))
    assert parsed.rows.tolist() == [0, 2, 3]
    assert parsed.batch["status"].to_pylist() == [0, 2, 3]
    assert [(bad.row, bad.raw, bad.reason) for bad in parsed.bad] == [(1, b"nonsense", reasons.NOT_JSON)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", reasons.NOT_JSON),
        (b"{", reasons.NOT_JSON),
        (b"\xef\xbb\xbf{}", reasons.NOT_JSON),
        (b"{} {}", reasons.NOT_JSON),
        (b"[]", reasons.NOT_OBJECT),
        (b"null", reasons.NOT_OBJECT),
        (b'"text"', reasons.NOT_OBJECT),
        (b"1", reasons.NOT_OBJECT),
        (b'{"a":"\xff"}', reasons.NOT_UTF8),
        (b'{"a":' * 65 + b"1" + b"}" * 65, reasons.TOO_DEEP),
        (b'{"a":' * 100_000, reasons.TOO_DEEP),
        (b'{"a":NaN}', reasons.NOT_FINITE),
        (b'{"a":-1e999}', reasons.NOT_FINITE),
        (b'{"a":1' + b"0" * 4300 + b"}", reasons.NOT_FINITE),
    ],
)
def test_a_record_that_is_none_is_told_with_its_reason(text: bytes, reason: str) -> None:
    parsed = JsonParser(DS).parse([line(), text, line()])
    assert parsed.rows.tolist() == [0, 2]
    assert [(bad.row, bad.raw, bad.reason) for bad in parsed.bad] == [(1, text, reason)]


def test_brackets_inside_texts_do_not_count_as_depth() -> None:
    assert JsonParser(DS).parse([line(host="[" * 500 + '"')]).bad == []
    assert JsonParser(DS).parse([b'{"a":' * 64 + b"1" + b"}" * 64]).bad == []


def test_a_message_may_hold_a_record_over_several_lines() -> None:
    parsed = JsonParser(DS).parse([line(), b'{\n "status":\n 7\n}\n', line()])
    assert parsed.batch["status"].to_pylist() == [200, 7, 200]


def test_two_lines_in_one_message_do_not_shift_the_rows_behind_them() -> None:
    parsed = JsonParser(DS).parse([line(status=0), b"{}\n{}", line(status=2)])
    assert parsed.rows.tolist() == [0, 2]
    assert [bad.row for bad in parsed.bad] == [1]


def test_one_bad_line_among_thousands_keeps_the_others_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = JsonParser(DS)
    rows = [line(status=i) for i in range(4000)]
    parser.parse(rows)
    assert exact_rows(parser, rows, monkeypatch) == 0
    rows[2345] = b'{"status":'
    assert exact_rows(parser, rows, monkeypatch) < 64
    parsed = parser.parse(b"\n".join(rows))
    assert [bad.row for bad in parsed.bad] == [2345]
    assert parsed.batch["status"].to_pylist() == [i for i in range(4000) if i != 2345]


def test_the_parser_learns_a_new_field_new_keys_and_another_kind_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = JsonParser(DS)
    parser.parse([b'{"status":1}'] * 10)
    changed = [line(at=1_714_557_600_123, headers={"new": "1"})] * 1000
    assert exact_rows(parser, changed, monkeypatch) < 100
    assert exact_rows(parser, changed, monkeypatch) == 0


def test_records_that_never_fit_are_seldom_tried_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: set[int] = set()
    call, read = 0, Shape.read
    monkeypatch.setattr(Shape, "read", lambda shape, data, rows: tried.add(call) or read(shape, data, rows))
    parser = JsonParser(DS)
    unknown = [line(other=i) for i in range(200)]
    while call < 20:
        assert to_records(parser.parse(unknown).batch)[199] == USUAL | {"other": 199}
        call += 1
    assert len(tried) <= 5
    usual = [line()] * 200
    for _ in range(17):
        parser.parse(usual)
    tried.clear()
    parser.parse(usual)
    assert len(tried) == 1


def test_more_keys_than_a_map_learns_still_come_back() -> None:
    parser = JsonParser(DS)
    rows = [line(headers={f"key{i}": str(i)}) for i in range(300)]
    for _ in range(2):
        assert [record["headers"] for record in to_records(parser.parse(rows).batch)] == [
            {f"key{i}": str(i)} for i in range(300)
        ]


def test_no_records_make_an_empty_batch() -> None:
    for nothing in (b"", b"\n \n", [], b"\xef\xbb\xbf"):
        parsed = JsonParser(DS).parse(nothing)  # type: ignore[arg-type]
        assert (parsed.batch.num_rows, parsed.rows.tolist(), parsed.bad) == (0, [], [])
        assert parsed.batch.schema.names == [*DS.schema.names, "_extra"]


def test_values_that_do_not_fit_their_column_keep_their_kind_in_extra() -> None:
    misfits = {
        "at": "2016-12-31T23:59:60Z",
        "host": 1,
        "status": "200",
        "share": 2**53 + 1,
        "cached": "yes",
        "headers": {"a": 1},
        "tags": "a",
        "rules": [True],
        "_tenant": "mine",
    }
    parsed = JsonParser(DS).parse([orjson.dumps(misfits)])
    assert to_records(parsed.batch) == [misfits]
    assert parsed.batch.select(DS.schema.names).to_pylist() == [dict.fromkeys(DS.schema.names)]
    assert orjson.loads(parsed.batch["_extra"][0].as_py()) == misfits


@pytest.mark.parametrize(("text", "column"), [(b"-0.0", None), (b"0.0", 0), (b"7.0", 7), (b"7e2", 700), (b"7.5", None)])
def test_a_whole_float_stands_in_an_int_column_and_minus_zero_keeps_its_sign(text: bytes, column: int | None) -> None:
    parsed = JsonParser(DS).parse([b'{"status":%s}' % text])
    assert parsed.batch["status"].to_pylist() == [column]
    assert str(float(to_records(parsed.batch)[0]["status"])) == str(float(text))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00Z"),
        ("2024-05-01t10:00:00.5z", "2024-05-01T10:00:00.5Z"),
        ("2024-05-01T10:00:00.123456789+02:00", "2024-05-01T08:00:00.123456789Z"),
        (1_714_557_600, "2024-05-01T10:00:00Z"),
        (1_714_557_600_123, "2024-05-01T10:00:00.123Z"),
        (1_714_557_600_123_456, "2024-05-01T10:00:00.123456Z"),
        (1_714_557_600_123_456_789, "2024-05-01T10:00:00.123456789Z"),
        (1_714_557_600.25, "2024-05-01T10:00:00.25Z"),
        (-1, "1969-12-31T23:59:59Z"),
        (0, "1970-01-01T00:00:00Z"),
    ],
)
def test_times_of_every_spelling_are_their_instant(value: object, expected: str) -> None:
    assert to_records(JsonParser(DS).parse([orjson.dumps({"at": value})]).batch) == [{"at": expected}]


def test_lines_know_which_of_them_are_odd() -> None:
    assert of_text(b'{"a":1}\n{"b":2}').odd.tolist() == []
    assert of_records([b"{}", b"", b"{}\n{}", b" {} ", b"null"]).odd.tolist() == [1, 2, 4]


PIECES = [
    b" ",
    *b'{ } [ ] : , "a" 1 - . 1e999 -1e400 NaN -Infinity null oops "\\ud800" "\\u0041" \xc3\xa9 \xff \x01 "'.split(b" "),
]


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join))
def test_a_bad_lines_reason_is_the_same_by_both_parsers(rest: bytes) -> None:
    def read(load: Callable[[bytes], dict[str, Any]]) -> object:
        try:
            return load(b'{"a":' + rest)
        except Poison as poison:
            return poison.reason

    assert read(exact.quickly) == read(exact.load)
