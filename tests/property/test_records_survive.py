"""Whatever JSON comes in comes out equal (DESIGN §5); whatever bytes come in, nothing is worse than Poison."""

from __future__ import annotations

import json
import re
from datetime import datetime
from fractions import Fraction
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from logflume.block import Header, decode, encode, ingest_schema
from logflume.errors import Poison
from logflume.formats import BadLine, JsonParser, to_records
from logflume.formats.conform import conform
from logflume.formats.fast import Shape
from logflume.model import Dataset, Field, FieldType
from tests.support.schedules import examples

EVERY = Dataset(
    name="every",
    fields=(
        Field("time", FieldType.TIMESTAMP),
        Field("s", FieldType.STRING),
        Field("i", FieldType.INT),
        Field("f", FieldType.FLOAT),
        Field("b", FieldType.BOOL),
        Field("m", FieldType.MAP),
        Field("ss", FieldType.STRINGS),
        Field("ii", FieldType.INTS),
    ),
    time_field="time",
)

texts = st.text(st.characters(exclude_categories=()), max_size=12)  # lone surrogates and NUL too
clean = st.text('ab\u00e9\U0001f600\0\n"\\/ ', max_size=6)
floats = st.floats(allow_nan=False, allow_infinity=False)
integers = st.one_of(
    st.integers(), st.integers(-(2**70), 2**70), st.sampled_from([2**53 + 1, 2**63, -(2**63), -(2**63) - 1, 2**64])
)
scalars = st.one_of(st.none(), st.booleans(), integers, floats, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
zones = st.sampled_from(["Z", "z", "+00:00", "-00:30", "+14:00", "+0530", ""])
fractions = st.one_of(st.just(""), st.from_regex(r"\A\.[0-9]{1,11}\Z"))
moments = st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31))
times = st.builds(
    lambda at, t, fraction, zone: f"{at:%Y-%m-%d}{t}{at:%H:%M:%S}{fraction}{zone}".rjust(20, "0"),
    st.one_of(st.datetimes(datetime(1990, 1, 1), datetime(2050, 1, 1)), moments),
    st.sampled_from("Tt "),
    fractions,
    zones,
)
instants = st.one_of(times, st.integers(-(2**63), 2**63 - 1), st.integers(0, 2 * 10**9), st.floats(-(10**12), 10**12))

FITTING: dict[str, st.SearchStrategy[Any]] = {
    "time": instants,
    "s": clean,
    "i": st.integers(-(2**63), 2**63 - 1),
    "f": floats,
    "b": st.booleans(),
    "m": st.dictionaries(st.sampled_from(["k", "l", "", "n"]), st.one_of(clean, clean, st.none()), max_size=4),
    "ss": st.lists(st.one_of(clean, st.none()), max_size=3),
    "ii": st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.none()), max_size=3),
}
fitting = st.fixed_dictionaries({}, optional=FITTING)
anything = st.dictionaries(st.one_of(st.sampled_from([*FITTING, "_extra", "_tenant"]), texts), values, max_size=6)
records = st.lists(st.one_of(fitting, fitting, fitting, anything), max_size=36)

# How long an example takes says something about the machine's other work only.
patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=examples(60))


def line_of(record: dict[str, Any], ascii_only: bool) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return json.dumps(record).encode()


def through_a_block(batch: pa.RecordBatch, ds: Dataset) -> pa.RecordBatch:
    rows = batch.num_rows
    tenants = pa.array(["t"] * rows, pa.string()).dictionary_encode()
    received = pa.array([1_700_000_000_000_000_001] * rows, pa.int64()).cast(pa.timestamp("ns", "UTC"))
    whole = pa.RecordBatch.from_arrays([tenants, received, *batch.columns], schema=ingest_schema(ds))
    header = Header(ds.name, "edge", 1, 1, rows, 1, 0, 0)
    found, decoded = decode(*encode(whole, header), ds)
    assert found == header
    assert decoded.equals(whole)
    return decoded


def nanoseconds(value: Any) -> Fraction | None:
    """An independent reading of what a timestamp means: exact, and for any year."""
    if isinstance(value, str):
        match = re.fullmatch(r"(.{19})(?:\.(\d+))?(.*)", value.upper())
        assert match is not None
        at = datetime.fromisoformat(match[1] + (match[3] if match[3] != "Z" else "+00:00"))
        since = at - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        return Fraction((since.days * 86_400 + since.seconds) * 10**9) + Fraction(f"0.{match[2] or 0}") * 10**9
    if isinstance(value, int):
        size = abs(value)
        return Fraction(value * (10**9 if size < 10**11 else 10**6 if size < 10**14 else 10**3 if size < 10**17 else 1))
    return Fraction(repr(value)) * 10**9


def same(a: Any, b: Any) -> bool:
    """Equal as JSON values: true is not 1, but 1 is 1.0."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and type(a) in _like(b) and bool(a == b)


def _like(b: Any) -> tuple[type, ...]:
    return (int, float) if type(b) in (int, float) else (type(b),)


def assert_equal(sent: dict[str, Any], got: dict[str, Any]) -> None:
    """DESIGN §5: a null and an absent field of the dataset are the same; of a time the instant counts."""
    sent = {name: value for name, value in sent.items() if value is not None or name not in FITTING}
    if "time" in sent and not same(sent["time"], got.get("time")):
        assert nanoseconds(sent.pop("time")) == nanoseconds(got.pop("time"))
    assert same(sent, got), (sent, got)


@patiently
@given(chunks=st.lists(records, min_size=1, max_size=2), ascii_only=st.booleans(), as_list=st.booleans())
def test_any_record_comes_back_equal(chunks: list[list[dict[str, Any]]], ascii_only: bool, as_list: bool) -> None:
    parser = JsonParser(EVERY)
    for chunk in chunks:
        sent = [line_of(record, ascii_only) for record in chunk]
        parsed = parser.parse(sent if as_list else b"\n".join(sent))
        assert parsed.bad == []
        assert parsed.rows.tolist() == list(range(len(chunk)))
        for record, got in zip(chunk, to_records(through_a_block(parsed.batch, EVERY)), strict=True):
            assert_equal(record, got)


@patiently
@given(sample=st.lists(fitting, min_size=1, max_size=8), chunk=st.lists(fitting, min_size=1, max_size=20))
def test_the_fast_way_gives_what_the_exact_way_gives_or_nothing(sample: list[Any], chunk: list[Any]) -> None:
    shape = Shape(EVERY)
    shape.learn(sample)
    text = b"\n".join(line_of(record, True) for record in chunk)
    batch = shape.read(text, len(chunk))
    if batch is not None:
        exactly = conform([json.loads(line) for line in text.split(b"\n")], EVERY)
        assert to_records(batch) == to_records(exactly)


TOKENS = (
    rb"""null { } " , : [ \ \ud800 \u0000 1e999 NaN 9007199254740993 {} /* 123456789012345678901234567890 "i":1 -"""
)
damage = st.sampled_from([*TOKENS.split(), b"\n", b"\r", b" ", b"\0", b"\xff", b"\xef\xbb\xbf", b"[" * 70])


@patiently
@given(
    chunk=st.lists(fitting, min_size=1, max_size=40),
    cuts=st.lists(st.tuples(st.integers(0, 10_000), damage, st.booleans()), min_size=1, max_size=4),
)
def test_damaged_lines_cost_only_themselves_and_never_more_than_strict_json_would(
    chunk: list[Any], cuts: list[tuple[int, bytes, bool]]
) -> None:
    text = bytearray(b"\n".join(line_of(record, True) for record in chunk))
    for at, piece, over in cuts:
        at %= len(text) + 1
        text[at : at + (len(piece) if over else 0)] = piece
    parser = JsonParser(EVERY)
    parser.parse(b"\n".join(line_of(record, True) for record in chunk))
    assert_parsed_strictly(bytes(text), parser)


@patiently
@given(data=st.one_of(st.binary(max_size=300), st.lists(damage, max_size=12).map(b"".join)))
def test_no_bytes_make_the_parser_raise(data: bytes) -> None:
    assert_parsed_strictly(data, JsonParser(EVERY))


def assert_parsed_strictly(data: bytes, parser: JsonParser) -> None:
    """Line by line against Python's own JSON: the same lines are good, and each comes back equal."""
    lines = [line.removesuffix(b"\r") for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    lines = [line for line in lines if line.strip(b" \t\r\n")]
    parsed = parser.parse(data)
    bad = {line.row: line for line in parsed.bad}
    assert sorted([*parsed.rows.tolist(), *bad]) == list(range(len(lines)))
    got = dict(zip(parsed.rows.tolist(), to_records(parsed.batch), strict=True))
    for row, line in enumerate(lines):
        expected = strictly(line)
        if expected is None:
            assert bad[row].raw == line
        else:
            assert_equal(expected, got[row])


def strictly(line: bytes) -> dict[str, Any] | None:
    def refuse(text: str) -> None:
        raise ValueError(text)

    try:
        value = json.loads(line.decode(), parse_constant=refuse)
        json.dumps(value, allow_nan=False)
    except ValueError:
        return None
    return value if isinstance(value, dict) and depth(value) <= 64 else None


def depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@st.composite
def damaged_blocks(draw: st.DrawFn) -> bytes:
    value = bytearray(draw(st.sampled_from(BLOCKS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(value) - 1))
        if draw(st.booleans()):
            value[at] = draw(st.integers(0, 255))
        else:
            word = draw(st.sampled_from([0, -1, 1, 2**31 - 1, 2**40, 2**62, 2**63 - 1]))
            value[at // 8 * 8 : at // 8 * 8 + 8] = word.to_bytes(8, "little", signed=True)
    return bytes(value[: draw(st.integers(1, len(value)))]) if draw(st.integers(0, 9)) == 0 else bytes(value)


def _blocks() -> list[bytes]:
    sample = [
        {"time": 1, "s": "a\u00e9", "m": {"k": "v"}, "ss": ["x"], "f": 1.5},
        {"i": 2, "b": True, "ii": [1], "z": 0},
    ]
    batch = JsonParser(EVERY).parse([orjson.dumps(record) for record in sample]).batch
    whole = through_a_block(batch, EVERY)
    found = [encode(whole, Header("every", "edge", 1, 1, 2, 1, 0, 0))[0]]
    for codec in (None, "lz4"):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, whole.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
            writer.write_batch(whole)
        found.append(sink.getvalue().to_pybytes())
    return found


BLOCKS = _blocks()
HEADERS = encode(
    through_a_block(JsonParser(EVERY).parse([b"{}", b"{}"]).batch, EVERY), Header("every", "edge", 1, 1, 2, 1, 0, 0)
)[1]


@patiently
@given(value=st.one_of(damaged_blocks(), st.binary(max_size=200)))
def test_any_bytes_are_a_block_that_is_safe_to_use_or_poison(value: bytes) -> None:
    try:
        _, batch = decode(value, HEADERS, EVERY)
    except Poison:
        return
    batch.validate(full=True)
    to_records(batch)
    batch.take(pa.array([1, 0]))
    encode(batch, Header("every", "edge", 1, 1, 2, 1, 0, 0))


@patiently
@given(
    st.lists(
        st.tuples(
            st.sampled_from([name for name, _ in HEADERS]),
            st.one_of(st.binary(max_size=25), st.integers().map(lambda i: b"%d" % i)),
        ),
        max_size=12,
    )
)
def test_any_headers_are_read_or_poison(headers: list[tuple[str, bytes]]) -> None:
    try:
        header, _ = decode(BLOCKS[0], [*HEADERS, *headers], EVERY)
    except Poison:
        return
    assert header.rows == 2


def test_a_bad_line_is_told_by_its_reason() -> None:
    parsed = JsonParser(EVERY).parse(b'{"i":1}\n[1]\n{"i":2')
    assert [(bad.row, bad.reason) for bad in parsed.bad] == [(1, "not-object"), (2, "not-json")]
    assert parsed.bad[0] == BadLine(1, b"[1]", "not-object", parsed.bad[0].detail)


@pytest.mark.parametrize(
    "value", [2**64, -(2**63) - 1, -(2**70), 10**4000], ids=["65 bits", "-64 bits", "71 bits", "4,001 digits"]
)
def test_an_integer_past_64_bits_keeps_every_digit(value: int) -> None:
    parsed = JsonParser(EVERY).parse(b'{"i":%d,"other":{"deep":[%d]}}' % (value, value))
    assert to_records(parsed.batch) == [{"i": value, "other": {"deep": [value]}}]
