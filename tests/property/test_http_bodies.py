"""Bodies of strangers, whatever their bytes are: a typed answer, and memory within bounds."""

from __future__ import annotations

import contextlib
import io
import json
import random
import zlib
from typing import Any

import fastavro
import hypothesis
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logflume.edge.http import body, containers
from logflume.edge.http.body import BodyLimits
from logflume.edge.http.ingest import fitted, json_lines
from logflume.edge.http.refusal import Refusal
from logflume.edge.lines import Lines
from logflume.errors import Poison
from logflume.formats import JsonParser
from tests.support.http_edge import DATASETS
from tests.support.schedules import examples

MOST = 100_000
LIMITS = BodyLimits(most_sent=MOST, most_unpacked=MOST, seconds=10, rate=1000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def free(size: int) -> None:
    """Memory there is."""


def _arrow(codec: str | None) -> bytes:
    table = pa.table(
        {
            "message": ["one", None, "three"],
            "n": [1, 2, 3],
            "d": pa.array(["a", "b", "a"]).dictionary_encode(),
            "l": [[1], [], None],
            "v": pa.array(["x" * 20, None, "y"], pa.string_view()),
            "s": [{"a": {"b": 1}}, None, {"a": None}],
            "m": pa.array([{"k": "v"}, {}, None], pa.map_(pa.string(), pa.string())),
            "e": pa.array(["p", "q" * 30, None], pa.string_view()).dictionary_encode(),
        }
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _stream(batch: pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def _avro(codec: str, schema: Any = None, records: Any = None) -> bytes:
    file = io.BytesIO()
    known = {"type": "record", "name": "r", "fields": [{"name": "message", "type": ["null", "string"]}]}
    fastavro.writer(file, schema or known, records or [{"message": "one"}, {"message": None}] * 5, codec=codec)
    return file.getvalue()


GOOD = [_arrow(None), _arrow("zstd"), _arrow("lz4"), *(_avro(codec) for codec in ("null", "deflate", "snappy"))]


def _mutated(data: bytes, seed: int, changes: int) -> bytes:
    rng = random.Random(seed)
    mutable = bytearray(data)
    for _ in range(changes):
        mutable[rng.randrange(len(mutable))] = rng.randrange(256)
    return bytes(mutable[: rng.randrange(len(mutable) // 2, len(mutable) + 1)])


def _read(data: bytes) -> None:
    """By both readers, and on to what the client takes."""
    with contextlib.suppress(Poison, Refusal):
        found = fitted(containers.arrow_table(data, most_bytes=MOST, most_rows=1000, reserve=free), DATASETS["events"])
        assert len(found) <= 1000
    with contextlib.suppress(Poison, Refusal):
        assert len(Lines(containers.avro_lines(data, most_bytes=MOST, most_rows=1000, reserve=free))) <= 1000


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
def test_columns_of_every_kind_are_read(codec: str | None) -> None:
    table = containers.arrow_table(_arrow(codec), most_bytes=MOST, most_rows=1000, reserve=free)
    lines = fitted(table, DATASETS["events"])
    assert isinstance(lines, Lines)
    assert json.loads(lines.piece(0, 1)) == {
        "message": "one",
        "n": 1,
        "d": "a",
        "l": [1],
        "v": "x" * 20,
        "s": {"a": {"b": 1}},
        "m": {"k": "v"},
        "e": "p",
    }


@given(st.sampled_from(GOOD), st.integers(0, 1 << 32), st.integers(0, 6))
def test_containers_that_were_tampered_with_end_in_a_typed_refusal(data: bytes, seed: int, changes: int) -> None:
    _read(_mutated(data, seed, changes))


@given(st.binary(max_size=300))
@example(b"Obj\x01" + b"\x01" * 20)
@example(b"Obj\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(b"\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(64))
def test_any_bytes_as_a_container_end_in_a_typed_refusal(data: bytes) -> None:
    _read(data)
    _read(b"Obj\x01" + data)


@given(st.binary(max_size=300) | st.builds(lambda value: json.dumps(value).encode(), JSON))
@example(b"[" * 5000)
@example(b'{"a":' * 5000)
@example(b"[" + b"9" * 5000 + b"]")
@example(b'["\\ud800", NaN, 1e999, -0]')
def test_any_bytes_as_json_are_lines_or_poison(data: bytes) -> None:
    try:
        lines = json_lines(data)
    except Poison:
        return
    parsed = JsonParser(DATASETS["events"]).parse(lines)
    assert parsed.batch.num_rows + len(parsed.bad) == len(Lines(lines)) == lines.count(b"\n")


@given(st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=4), max_size=5), st.sampled_from([None, 2]))
@hypothesis.settings(max_examples=examples(50))
def test_elements_of_an_array_are_the_same_values_as_lines(records: list[dict[str, Any]], indent: int | None) -> None:
    document = json.dumps(records, indent=indent).encode()
    found = [json.loads(line) for line in json_lines(document).splitlines()]
    assert json.dumps(found) == json.dumps(records)


@given(st.binary(max_size=300), st.sampled_from(["gzip", "zstd"]))
def test_any_bytes_as_packed_data_end_in_a_typed_refusal(data: bytes, codec: str) -> None:
    with contextlib.suppress(Refusal):
        assert len(body.unpack(data, codec, LIMITS, lambda size: None)) <= MOST


@pytest.mark.parametrize("codec", ["deflate", "snappy"])
def test_a_bomb_inside_an_avro_container_is_refused_before_it_goes_off(codec: str) -> None:
    with pytest.raises(Refusal) as refused:
        containers.avro_lines(
            _avro(codec, records=[{"message": "x" * (20 * MOST)}]), most_bytes=MOST, most_rows=10, reserve=free
        )
    assert refused.value.status == 413


def test_a_bomb_inside_an_arrow_stream_is_refused_before_it_goes_off() -> None:
    table = pa.table({"message": ["x" * (20 * MOST)]})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    with pytest.raises(Refusal) as refused:
        containers.arrow_table(sink.getvalue(), most_bytes=MOST, most_rows=10, reserve=free)
    assert refused.value.status == 413


def _alike(value: pa.Array, rows: int) -> pa.Array:
    """Rows that all show the same value."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int8()), value)


def _one_list(values: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


@pytest.mark.parametrize(
    "column",
    [
        _alike(pa.array(["x" * 5000]), 100),
        _alike(pa.array([b"x" * 5000], pa.binary_view()), 100),
        _one_list(pa.nulls(1_000_000)),
        _one_list(pa.array([True] * 100_000)),
        _one_list(_alike(pa.array(["x" * 5000]), 100)),
        pa.array([{"x" * 500: True}] * 900),
        pa.array(["x" * 5000] * 100, pa.string_view()),
    ],
    ids=lambda column: str(column.type)[:60],
)
def test_values_that_share_their_bytes_or_have_none_are_counted_as_they_are_spelled_out(column: pa.Array) -> None:
    data = _stream(pa.record_batch({"n": column}))
    assert len(data) < 20_000
    with pytest.raises(Refusal) as refused:
        containers.arrow_table(data, most_bytes=MOST, most_rows=1000, reserve=free)
    assert refused.value.status == 413


def test_an_arrow_column_whose_values_may_overlap_is_refused() -> None:
    column = pa.array([[1, 2]] * 3, pa.list_view(pa.int64()))
    with pytest.raises(Poison, match="list_view"):
        containers.arrow_table(_stream(pa.record_batch({"n": column})), most_bytes=MOST, most_rows=10, reserve=free)


def test_memory_for_what_a_container_holds_packed_is_reserved() -> None:
    text = "x" * 50_000
    reserved: list[int] = []
    containers.arrow_table(
        _stream(pa.record_batch({"n": [text]})), most_bytes=MOST, most_rows=10, reserve=reserved.append
    )
    assert sum(reserved) >= 2 * len(text)
    reserved.clear()
    packed = _avro("deflate", records=[{"message": text}])
    assert len(containers.avro_lines(packed, most_bytes=MOST, most_rows=10, reserve=reserved.append)) > len(text)
    assert sum(reserved) >= 4 * len(text)


def test_rows_that_take_no_bytes_are_counted() -> None:
    nothing = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "null"}]}
    endless = _avro("null", nothing, [{"a": None}])
    block = endless.index(b"\x02\x00", 60)  # one record, no bytes
    endless = endless[:block] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x00" + endless[block + 2 :]
    with pytest.raises(Refusal, match="more than 1000 records"):
        containers.avro_lines(endless, most_bytes=MOST, most_rows=1000, reserve=free)
    table = pa.table({"a": pa.nulls(5000)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(Refusal, match="more than 1000 rows"):
        containers.arrow_table(sink.getvalue(), most_bytes=MOST, most_rows=1000, reserve=free)


ARRAY = {"type": "array", "items": "null"}


@pytest.mark.parametrize(("kind", "value"), [(ARRAY, []), (["null", "r"], None)], ids=["items of nothing", "itself"])
def test_schemas_that_make_much_of_little_are_refused(kind: Any, value: Any) -> None:
    data = _avro("null", {"type": "record", "name": "r", "fields": [{"name": "a", "type": kind}]}, [{"a": value}])
    with pytest.raises(Poison):
        containers.avro_lines(data, most_bytes=MOST, most_rows=1000, reserve=free)


def test_a_torn_deflate_block_is_told() -> None:
    packed = zlib.compressobj(wbits=-15).compress(b"x" * 1000)
    with pytest.raises(Poison, match="cut short"):
        containers._block(packed, "deflate", MOST)
