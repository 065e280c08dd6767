"""Formats out where chance does not lead: many pieces, large rows, names that clash, columns that lack."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logflume.formats.out import encode, ndjson, select
from logflume.formats.records import to_records
from logflume.model.job import FileFormat
from tests.support.columns import DATASET, NAMES, rows_of


def _rows(**columns: list[Any]) -> pa.Table:
    return pa.table({name: rows_of(name, values) for name, values in columns.items()})


def _records(rows: pa.Table, *fields: str) -> list[Any]:
    lines = gzip.decompress(encode(rows, FileFormat.NDJSON_GZ, DATASET, fields)).splitlines()
    return [json.loads(line) for line in lines]


def _many(count: int) -> pa.Table:
    numbers = range(count)
    return _rows(
        string=[None if n % 3 == 0 else f'{n} "x"' for n in numbers],
        int=list(numbers),
        timestamp=[1_763_812_800_000_000_000 + n * 1_000_000 * (n % 5) for n in numbers],
        map=[None if n % 4 == 0 else [(f"k{i}", f"\n{n}") for i in range(n % 3)] for n in numbers],
        array_int=[list(range(n % 4)) for n in numbers],
        _extra=[None if n % 2 else json.dumps({"odd": n}) for n in numbers],
    )


def test_rows_of_several_pieces_are_all_there_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "_ROWS", 1_000)
    rows = _many(3 * ndjson._ROWS + 17)
    assert _records(rows) == to_records(rows)
    assert _records(rows.slice(ndjson._ROWS - 5, 20)) == to_records(rows.slice(ndjson._ROWS - 5, 20))


def test_a_piece_of_large_rows_is_made_in_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ndjson, "_BYTES", 10_000)
    rows = _rows(string=["x" * size for size in (1, 9_000, 90_000, 2, 3)])
    made = list(ndjson.pieces(rows))
    assert max(len(piece) for piece in made) < 91_000
    assert len(made) >= 3
    assert b"".join(made) == b"".join(b'{"string":"%s"}\n' % (b"x" * n) for n in (1, 9_000, 90_000, 2, 3))


def test_instants_have_as_many_digits_as_they_need() -> None:
    second = 1_763_812_800_000_000_000
    rows = _rows(timestamp=[second, second + 1, second + 120_000_000, None, -1, second + 10_000])
    assert [row.get("timestamp") for row in _records(rows)] == [
        "2025-11-22T12:00:00Z",
        "2025-11-22T12:00:00.000000001Z",
        "2025-11-22T12:00:00.12Z",
        None,
        "1969-12-31T23:59:59.999999999Z",
        "2025-11-22T12:00:00.00001Z",
    ]


def test_a_row_without_any_value_is_an_empty_object() -> None:
    rows = _rows(string=["a", None, "b"], int=[None, None, 1])
    assert _records(rows) == [{"string": "a"}, {}, {"string": "b", "int": 1}]
    assert _records(rows, "string") == [{"string": "a"}, {}, {"string": "b"}]
    assert _records(rows, "map") == [{}, {}, {}]


def test_fields_are_picked_by_name_and_stand_in_their_order() -> None:
    rows = _rows(string=["a"], int=[1], _extra=['{"b":2}'], _received=[10**18])
    assert list(_records(rows, "_received", "int")[0].items()) == [("_received", "2001-09-09T01:46:40Z"), ("int", 1)]
    assert list(_records(rows)[0]) == ["string", "int", "b", "_received"]
    assert select(rows, DATASET).column_names == list(NAMES)
    with pytest.raises(KeyError, match="nothing"):
        encode(rows, FileFormat.CSV, DATASET, ("nothing",))


@pytest.mark.parametrize("format", FileFormat)
def test_columns_that_the_rows_lack_are_null_in_every_format(format: FileFormat) -> None:
    data = encode(_rows(int=[1, 2]), format, DATASET, ("string", "int", "timestamp", "map"))
    plain = data if format is not FileFormat.CSV_GZ else gzip.decompress(data)
    if format in (FileFormat.CSV, FileFormat.CSV_GZ):
        assert plain == b'"string","int","timestamp","map"\n,1,,\n,2,,\n'
    elif format is FileFormat.PARQUET:
        assert pq.read_schema(io.BytesIO(data)).names == ["string", "int", "timestamp", "map"]
    elif format is FileFormat.AVRO:
        record = {"string": None, "int": 1, "timestamp": None, "map": None}
        assert next(fastavro.reader(io.BytesIO(data))) == record
    elif format is FileFormat.ARROW:
        assert pa.ipc.open_file(data).read_all().column("map").null_count == 2
    elif format is FileFormat.NDJSON_GZ:
        assert gzip.decompress(data) == b'{"int":1}\n{"int":2}\n'


@pytest.mark.parametrize("format", FileFormat)
def test_no_rows_make_an_object_that_can_be_read(format: FileFormat) -> None:
    data = encode(_rows(int=[1]).slice(1), format, DATASET)
    if format is FileFormat.NDJSON_GZ:
        assert gzip.decompress(data) == b""
    elif format is FileFormat.CSV:
        assert next(csv.reader([data.decode()])) == list(NAMES)
    elif format is FileFormat.PARQUET:
        assert pq.read_table(io.BytesIO(data)).num_rows == 0
    elif format is FileFormat.AVRO:
        assert list(fastavro.reader(io.BytesIO(data))) == []
    elif format is FileFormat.ARROW:
        assert pa.ipc.open_file(data).read_all().num_rows == 0


def test_a_record_that_brought_a_name_of_ours_keeps_its_own_value() -> None:
    rows = _rows(
        int=[1, 2, 3],
        _extra=['{"_received":"mine"}', '{"a":"\\"_received\\""}', None],
        _received=[10**18, 10**18, 10**18],
    )
    ours = "2001-09-09T01:46:40Z"
    assert [row["_received"] for row in _records(rows)] == ["mine", ours, ours]
    assert gzip.decompress(encode(rows, FileFormat.NDJSON_GZ, DATASET)).count(b"_received") == 4


def test_white_space_in_extra_never_ends_a_line() -> None:
    rows = _rows(int=[1, 2, 3], _extra=['\r\n {\n"a"\r:\t"\\n"}\n', "{\n}", None])
    assert _records(rows) == [{"int": 1, "a": "\n"}, {"int": 2}, {"int": 3}]


def test_what_stands_beneath_a_null_is_in_no_object() -> None:
    hidden = pa.StringArray.from_buffers(
        2,
        pa.py_buffer(np.array([0, 6, 7], np.int32)),
        pa.py_buffer(b"secretx"),
        pa.py_buffer(b"\x02"),
        1,
    )
    assert hidden.to_pylist() == [None, "x"]
    clean = pa.table({"string": pa.array([None, "x"])})
    for format in FileFormat:
        data = encode(pa.table({"string": hidden}), format, DATASET)
        assert data == encode(clean, format, DATASET)


def test_an_object_says_nothing_of_when_it_was_made() -> None:
    data = encode(_many(10), FileFormat.NDJSON_GZ, DATASET)
    assert data[4:8] == b"\0\0\0\0"
    assert data[3] == 0  # no name, no comment


def test_a_topic_is_written_as_the_text_it_stands_for() -> None:
    topics = pa.array(["A" * 22, "B" * 22]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
    rows = _rows(int=[1, 2]).append_column("_src_topic", topics)
    assert [row["_src_topic"] for row in _records(rows, "_src_topic")] == ["A" * 22, "B" * 22]
    read = pq.read_table(io.BytesIO(encode(rows, FileFormat.PARQUET, DATASET, ("_src_topic",))))
    assert read.column(0).type == pa.string()
