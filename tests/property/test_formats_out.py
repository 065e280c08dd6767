"""Rows of any values through each format out, and back by readers that are not ours."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
from collections.abc import Sequence
from typing import Any

import cramjam
import fastavro
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from logflume.block import extra
from logflume.formats.out import encode, select
from logflume.formats.records import to_records
from logflume.model.job import FileFormat
from tests.support.columns import DATASET, NAMES, tables
from tests.support.schedules import examples


def _expected(rows: pa.Table, fields: Sequence[str]) -> list[dict[str, Any]]:
    """What NDJSON must hold, from the exact way, an object a row."""
    records = to_records(rows.select([name for name in fields if name in rows.schema.names]))
    if "_received" in fields:
        received = extra.json_values(rows.column("_received"))
        return [{**record, "_received": time} for record, time in zip(records, received, strict=True)]
    return records


def _same(one: pa.Table, other: pa.Table) -> bool:
    """Equal, NaN included; times as nanoseconds, which Python's have not."""
    return str(_plain(one).to_pylist()) == str(_plain(other).to_pylist())


def _plain(rows: pa.Table) -> pa.Table:
    for name in ("timestamp", "_received"):
        rows = rows.set_column(NAMES.index(name), name, rows.column(name).cast(pa.int64()))
    return rows


@settings(max_examples=examples(60))
@given(tables(), st.just(list(NAMES)) | st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
def test_ndjson_holds_the_same_json_values_as_an_object_a_row(rows: pa.Table, fields: list[str]) -> None:
    data = encode(rows, FileFormat.NDJSON_GZ, DATASET, fields)
    text = gzip.decompress(data)
    lines = text.split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == _expected(rows, fields)
    assert bytes(cramjam.zstd.decompress(encode(rows, FileFormat.NDJSON_ZST, DATASET, fields))) == text


@settings(max_examples=examples(25))
@given(tables())
def test_csv_is_read_back_by_python_and_by_arrow(rows: pa.Table) -> None:
    data = encode(rows, FileFormat.CSV, DATASET)
    assert gzip.decompress(encode(rows, FileFormat.CSV_GZ, DATASET)) == data
    wanted = select(rows, DATASET).select(["string", "int", "bool", "_extra"]).to_pylist()
    texts = [dict.fromkeys(row) | {name: _text(value) for name, value in row.items()} for row in wanted]
    read = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert [{name: row[name] for name in texts[0]} for row in read] == texts if texts else read == []
    kinds = {"string": pa.string(), "int": pa.int64(), "bool": pa.bool_(), "_extra": pa.string(), "float": pa.float64()}
    by_arrow = pacsv.read_csv(
        io.BytesIO(data),
        parse_options=pacsv.ParseOptions(newlines_in_values=True),
        convert_options=pacsv.ConvertOptions(
            column_types=kinds, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
        ),
    )
    assert by_arrow.column_names == list(NAMES)
    assert by_arrow.select(list(texts[0])).to_pylist() == wanted if texts else by_arrow.num_rows == 0


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@settings(max_examples=examples(20))
@given(tables())
def test_parquet_and_arrow_hold_the_columns_as_they_are(rows: pa.Table) -> None:
    wanted = select(rows, DATASET)
    read = pq.read_table(io.BytesIO(encode(rows, FileFormat.PARQUET, DATASET)))
    assert read.column_names == list(NAMES)
    assert _same(read, wanted)
    read = pa.ipc.open_file(encode(rows, FileFormat.ARROW, DATASET)).read_all()
    assert read.schema == wanted.schema
    assert _same(read, wanted)


@settings(max_examples=examples(20))
@given(tables())
def test_avro_holds_the_columns_with_times_in_nanoseconds(rows: pa.Table) -> None:
    read = list(fastavro.reader(io.BytesIO(encode(rows, FileFormat.AVRO, DATASET))))
    wanted = _plain(select(rows, DATASET))
    for row, record in zip(wanted.to_pylist(maps_as_pydicts="strict"), read, strict=True):
        assert {n: v for n, v in record.items() if n != "float"} == {n: v for n, v in row.items() if n != "float"}
        assert record["float"] == row["float"] or math.isnan(record["float"])


@settings(max_examples=examples(12))
@given(tables())
def test_equal_rows_give_equal_bytes_however_they_are_cut(rows: pa.Table) -> None:
    apart = pa.concat_tables([rows.slice(number, 1) for number in range(rows.num_rows)] or [rows])
    taken = rows.take(list(range(rows.num_rows))) if rows.num_rows else rows
    for format in FileFormat:
        data = encode(rows, format, DATASET)
        assert encode(apart, format, DATASET) == data
        assert encode(taken, format, DATASET) == data
