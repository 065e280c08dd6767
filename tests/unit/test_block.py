"""The wire format: what goes in comes out, older and newer blocks are read, a hostile one is poison by its reason."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest

from logflume.block import (
    Header,
    Runs,
    SortedMeta,
    Source,
    decode,
    decode_sorted,
    encode,
    encode_sorted,
    ingest_schema,
    is_block,
    reasons,
    sorted_schema,
    wire,
)
from logflume.errors import Poison, Refused
from logflume.formats import JsonParser, to_records
from logflume.model import Dataset, Field, FieldType

GOLDEN = Path(__file__).parents[1] / "golden"
AT = Field("at", FieldType.TIMESTAMP)
DS = Dataset(
    name="requests",
    fields=(
        AT,
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
RECORDS = [
    {"at": "2024-05-01T10:00:00.123456789Z", "host": "é.example", "status": 200, "share": 0.25, "cached": True},
    {"host": "", "headers": {"accept": "*/*", "none": None}, "tags": ["a", None], "rules": [1, -(2**63)], "big": 2**70},
]
HEADER = Header(
    "requests", "edge-1", 1_714_557_600_000_000_000, 7, 2, 300, 1_714_557_601_000_000_000, 1_714_557_602_000_000_000
)


def columns(ds: Dataset = DS) -> dict[str, pa.Array]:
    parsed = JsonParser(ds).parse([json_line(record) for record in RECORDS]).batch
    received = pa.array([HEADER.first_time, HEADER.last_time], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    tenants = pa.array(["acme", "zen"]).dictionary_encode()
    return {"_tenant": tenants, "_received": received, **dict(zip(parsed.schema.names, parsed.columns, strict=True))}


def json_line(record: dict[str, object]) -> bytes:
    return json.dumps(record).encode()


def batch_of(**changes: pa.Array | None) -> pa.RecordBatch:
    found = {name: column for name, column in (columns() | changes).items() if column is not None}
    return pa.RecordBatch.from_arrays(list(found.values()), names=list(found))


def stream(*batches: pa.RecordBatch, codec: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batches[0].schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


HEADERS = encode(batch_of(), HEADER)[1]


def poison(value: bytes, headers: list[tuple[str, bytes]] = HEADERS, ds: Dataset = DS) -> str:
    with pytest.raises(Poison) as caught:
        decode(value, headers, ds)
    assert caught.value.reason in reasons.ALL
    return str(caught.value.reason)


def test_a_block_comes_back_as_it_was() -> None:
    value, headers = encode(batch_of(), HEADER)
    header, batch = decode(value, headers, DS)
    assert header == HEADER
    assert batch.schema.equals(ingest_schema(DS))
    assert batch.equals(batch_of().cast(ingest_schema(DS)))
    assert to_records(batch) == RECORDS


def test_the_headers_are_readable_without_decoding() -> None:
    assert HEADERS == [
        ("logflume-block", b"1"),
        ("dataset", b"requests"),
        ("edge", b"edge-1"),
        ("epoch", b"1714557600000000000"),
        ("seq", b"7"),
        ("rows", b"2"),
        ("bytes", b"300"),
        ("first-time", b"1714557601000000000"),
        ("last-time", b"1714557602000000000"),
    ]
    assert is_block(HEADERS)
    assert is_block([("logflume-block", b"99")])
    assert not is_block([("dataset", b"requests")])
    assert not is_block(None)


def test_a_block_may_say_by_which_generation_its_rows_were_taken() -> None:
    value, headers = encode(batch_of(), replace(HEADER, generation=2**62))
    assert headers == [*HEADERS, ("generation", str(2**62).encode())]
    assert decode(value, headers, DS)[0].generation == 2**62
    assert decode(value, HEADERS, DS)[0].generation == 0
    assert poison(value, [*HEADERS, ("generation", b"-1")]) == reasons.HEADER


def test_a_block_of_version_1_that_was_written_once_is_read_for_ever() -> None:
    headers = [(name, value.encode()) for name, value in orjson.loads((GOLDEN / "block-1.headers.json").read_bytes())]
    header, batch = decode((GOLDEN / "block-1.arrows").read_bytes(), headers, DS)
    assert headers == HEADERS
    assert header == HEADER
    assert batch.equals(batch_of().cast(ingest_schema(DS)))


def test_a_sorted_block_that_was_written_once_is_read_for_ever() -> None:
    meta, batch = decode_sorted(
        (GOLDEN / "sorted-block-1.arrows").read_bytes(), [("logflume-block", b"1"), ("rows", b"2")]
    )
    assert meta == META
    assert batch.equals(sorted_batch())


@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
def test_a_producer_may_compress_as_it_likes(codec: str | None) -> None:
    assert to_records(decode(stream(batch_of(), codec=codec), HEADERS, DS)[1]) == RECORDS


def test_columns_without_a_value_are_not_sent() -> None:
    value, _ = encode(batch_of(share=pa.nulls(2, pa.float64()), _extra=pa.nulls(2, pa.string())), HEADER)
    names = pa.ipc.open_stream(value).schema.names
    assert "share" not in names
    assert "_extra" not in names
    assert decode(value, HEADERS, DS)[1].column("share").null_count == 2


def test_an_older_block_gets_nulls_for_a_field_that_it_lacks() -> None:
    newer = Dataset("requests", (*DS.fields, Field("new", FieldType.MAP)), "at")
    _, batch = decode(*encode(batch_of(), HEADER), newer)
    assert batch.schema.equals(ingest_schema(newer))
    assert to_records(batch) == RECORDS


def test_a_field_that_the_dataset_does_not_name_moves_to_extra() -> None:
    older = Dataset("requests", (AT, Field("host", FieldType.STRING)), "at")
    _, batch = decode(*encode(batch_of(), HEADER), older)
    assert batch.schema.equals(ingest_schema(older))
    assert to_records(batch) == RECORDS


def test_a_batch_of_another_number_of_rows_than_its_header_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="2 rows"):
        encode(batch_of(), Header("requests", "edge", 1, 1, 3, 1, 0, 0))


@pytest.mark.parametrize("version", [b"2", b"0", b"", b"one"])
def test_an_unknown_version_is_poison(version: bytes) -> None:
    assert poison(stream(batch_of()), [("logflume-block", version), *HEADERS[1:]]) == reasons.VERSION


@pytest.mark.parametrize("name", [name for name, _ in HEADERS[2:]])
@pytest.mark.parametrize("value", [None, b"", b"\xff", b"9" * 300])
def test_a_missing_or_malformed_header_is_poison(name: str, value: bytes | None) -> None:
    headers = [pair for pair in HEADERS if pair[0] != name]
    if value is not None:
        headers.append((name, value))
    assert poison(stream(batch_of()), headers) == reasons.HEADER


def test_a_block_of_another_dataset_is_poison() -> None:
    assert poison(stream(batch_of()), [*HEADERS, ("dataset", b"other")]) == reasons.DATASET


@pytest.mark.parametrize(
    "value", [b"", b"nonsense", stream(batch_of())[:-200], stream(batch_of()).replace(b"ARROW", b"")[:64]]
)
def test_what_is_no_stream_is_poison(value: bytes) -> None:
    assert poison(value) == reasons.ARROW


def test_a_stream_of_no_batch_or_two_is_poison() -> None:
    assert poison(stream(batch_of(), batch_of())) == reasons.ARROW
    sink = pa.BufferOutputStream()
    pa.ipc.new_stream(sink, batch_of().schema).close()
    assert poison(sink.getvalue().to_pybytes()) == reasons.ARROW


def test_rows_that_the_header_does_not_know_are_poison() -> None:
    assert poison(stream(batch_of()), [*HEADERS, ("rows", b"3")]) == reasons.ROWS


@pytest.mark.parametrize(
    "changes",
    [
        {"_tenant": None},
        {"_received": None},
        {"_tenant": pa.array(["a", "b"])},
        {"_received": pa.array([1, 2])},
        {"_extra": pa.array([b"{}", None])},
        {"status": pa.array(["1", "2"])},
        {"unknown": pa.array([{"a": 1}, None])},
        {"unknown": pa.array(["a", "b"]).dictionary_encode()},
        {"unknown": pa.array([1, 2], pa.int8())},
    ],
)
def test_a_column_that_is_missing_or_of_another_type_is_poison(changes: dict[str, pa.Array | None]) -> None:
    assert poison(stream(batch_of(**changes))) == reasons.COLUMNS


def test_a_column_that_is_there_twice_is_poison() -> None:
    batch = batch_of()
    twice = pa.RecordBatch.from_arrays([*batch.columns, batch.column("host")], names=[*batch.schema.names, "host"])
    assert poison(stream(twice)) == reasons.COLUMNS


def test_a_row_without_tenant_or_arrival_is_poison() -> None:
    assert poison(stream(batch_of(_tenant=pa.array(["a", None]).dictionary_encode()))) == reasons.TENANT
    hidden = pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.int32()), pa.array(["a", None]))
    assert poison(stream(batch_of(_tenant=hidden))) == reasons.TENANT
    received = pa.array([1, None], pa.int64()).cast(pa.timestamp("ns", "UTC"))
    assert poison(stream(batch_of(_received=received))) == reasons.RECEIVED


@pytest.mark.parametrize("text", ["", "1", "[]", "{", '{"a":NaN}', "{} {}", '"a"', "null"])
def test_an_extra_that_is_no_object_is_poison(text: str) -> None:
    assert poison(stream(batch_of(_extra=pa.array([text, None])))) == reasons.EXTRA


def test_an_extra_as_others_write_it_comes_out_as_ours() -> None:
    for text, ours in ((" {} ", None), ("{ }", None), ('\n{ "a":1}\t', '{ "a":1}'), ('{"a":{}}', '{"a":{}}')):
        _, batch = decode(stream(batch_of(_extra=pa.array([text, None]))), HEADERS, DS)
        assert batch.column("_extra").to_pylist() == [ours, None]


def test_text_that_is_no_utf8_is_poison() -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"\xff\xfe")]
    )
    assert poison(stream(batch_of(host=bad))) == reasons.ARROW


@pytest.mark.parametrize("end", [2**31 - 1, -1, 3])
def test_offsets_that_point_outside_or_back_are_poison(end: int) -> None:
    value = stream(batch_of(host=pa.array(["0123456", "78"])))
    offsets = struct.pack("<iii", 0, 7, 9)
    assert value.count(offsets) == 1
    assert poison(value.replace(offsets, struct.pack("<iii", 0, 7, end))) == reasons.ARROW


@pytest.mark.parametrize("index", [2, -1, 2**31 - 1])
def test_a_dictionary_index_that_points_outside_is_poison(index: int) -> None:
    indices = pa.array([0, index], pa.int32())
    tenants = pa.DictionaryArray.from_arrays(indices, pa.array(["acme", "zen"]), safe=False)
    assert poison(stream(batch_of(_tenant=tenants))) == reasons.ARROW


def test_a_block_that_unpacks_to_more_than_its_limit_is_refused_before_it_is_unpacked() -> None:
    bomb = pa.array(["\0" * 40_000_000, "\0" * 40_000_000])
    value = stream(batch_of(host=bomb), codec="zstd")
    assert len(value) < 100_000
    before = pa.default_memory_pool().max_memory()
    assert poison(value) == reasons.OVERSIZE
    assert pa.default_memory_pool().max_memory() == before


def test_more_rows_than_any_block_has_are_refused() -> None:
    rows = wire.MOST_ROWS + 1
    received = pa.array(np.ones(rows, np.int64)).cast(pa.timestamp("ns", "UTC"))
    tenants = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["a"]))
    batch = pa.RecordBatch.from_arrays([tenants, received], names=["_tenant", "_received"])
    assert poison(stream(batch, codec="zstd"), [*HEADERS, ("rows", b"%d" % rows)]) == reasons.OVERSIZE


def test_the_document_names_every_header_limit_and_reason() -> None:
    text = (Path(__file__).parents[2] / "docs" / "block.md").read_text()
    for name in [*(name for name, _ in HEADERS), *(field.name for field in sorted_schema(DS) if field.name[0] == "_")]:
        assert f"`{name}`" in text
    assert {reason for reason in reasons.ALL if f"`{reason}`" in text} == {
        reason for reason in reasons.ALL if reason.startswith("block-")
    }
    assert f"{wire.MOST_ROWS:,} rows" in text
    assert f"{wire.MOST_BYTES // 10**6} MB" in text


META = SortedMeta(
    dataset="requests",
    session="session-1",
    sources=(
        Source("topic-id", 0, (5, 0), (9, 3999), None),
        Source("topic-id", 1, (0, 2), (4, 1), (0, 1)),
    ),
    runs=Runs(["acme", "zen"], [1, 1]),
)


def sorted_batch() -> pa.RecordBatch:
    found = columns() | {
        "_src_topic": pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int8()), pa.array(["topic-id"])),
        "_src_partition": pa.array([0, 1], pa.int32()),
        "_src_offset": pa.array([5, 4], pa.int64()),
        "_src_row": pa.array([0, 1], pa.int32()),
    }
    return pa.RecordBatch.from_arrays([found[name] for name in sorted_schema(DS).names], schema=sorted_schema(DS))


def test_a_sorted_block_comes_back_as_it_was() -> None:
    value, headers = encode_sorted(sorted_batch(), META)
    assert headers == [("logflume-block", b"1"), ("dataset", b"requests"), ("rows", b"2")]
    meta, batch = decode_sorted(value, headers)
    assert meta == META
    assert batch.equals(sorted_batch())


def test_a_sorted_block_says_by_which_configuration_its_rows_were_taken() -> None:
    value, headers = encode_sorted(sorted_batch(), replace(META, generation=7))
    assert decode_sorted(value, headers)[0].generation == 7
    assert decode_sorted(*encode_sorted(sorted_batch(), META))[0].generation == 0


def test_a_sorted_block_that_is_not_as_a_sorter_writes_it_is_refused() -> None:
    value, headers = encode_sorted(sorted_batch(), META)
    at = sorted_batch().schema.get_field_index("_src_offset")
    no_offset = (at, sorted_schema(DS).field(at), pa.array([5, None], pa.int64()))
    broken = [
        (value, [("logflume-block", b"2")]),
        (value, []),
        (b"nonsense", headers),
        (value[:-100], headers),
        (encode(batch_of(), HEADER)[0], headers),
        encode_sorted(sorted_batch().drop_columns(["_src_row"]), META),
        encode_sorted(sorted_batch().set_column(*no_offset), META),
        encode_sorted(sorted_batch(), replace(META, sources=(replace(META.sources[0], last=(2**63, 0)),))),
        (value, headers[:2]),
        (value, [*headers[:2], ("rows", b"3")]),
        (value, [*headers[:2], ("rows", b"many")]),
    ]
    for runs in (
        Runs(["acme"], [1]),
        Runs(["zen", "acme"], [1, 1]),
        Runs(["a", "a"], [1, 1]),
        Runs(["a", "b"], [2, 0]),
        Runs(["a"], [1, 1]),
    ):
        broken.append(encode_sorted(sorted_batch(), SortedMeta("requests", "s", META.sources, runs)))
    for bad in broken:
        with pytest.raises(Refused):
            decode_sorted(*bad)


@pytest.mark.parametrize("error", [NotImplementedError, MemoryError, struct.error, pa.ArrowInvalid])
def test_whatever_reading_a_sorted_block_raises_is_a_refusal(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    value, headers = encode_sorted(sorted_batch(), META)

    def read(value: bytes) -> None:
        raise error("bytes that are none of ours")

    monkeypatch.setattr("logflume.block.sorted.read_stream", read)
    with pytest.raises(Refused, match="none of ours"):
        decode_sorted(value, headers)


if __name__ == "__main__":  # writes the golden files: only ever for a new version, whose files are added to the old
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / "block-1.arrows").write_bytes(encode(batch_of(), HEADER)[0])
    (GOLDEN / "block-1.headers.json").write_bytes(orjson.dumps([[name, value.decode()] for name, value in HEADERS]))
    (GOLDEN / "sorted-block-1.arrows").write_bytes(encode_sorted(sorted_batch(), META)[0])
