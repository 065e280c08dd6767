"""Packer: PA1 and PA2. Each record is a row under its own tenant, or a dead letter; no block is too large."""

from __future__ import annotations

import json
import os

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume import contract, model
from logflume.block import reasons, wire
from logflume.edge.buffer import Buffer, Cut, Format, Run
from logflume.edge.packing import Packed, Packer
from logflume.edge.tables import conformed
from tests.support.edge import blocks, letters, rows
from tests.support.producer import Stored

DATASETS = model.load(contract.find())


def _packer(block_bytes: int = 1 << 20) -> Packer:
    return Packer(
        DATASETS,
        topic=lambda name: f"in.{name}",
        deadletter_topic="dead",
        edge="here",
        epoch=5,
        block_bytes=block_bytes,
    )


def _log(packed: Packed) -> list[Stored]:
    return [Stored(m.topic, m.key, m.value, list(m.headers)) for m in packed.messages]


good = st.integers(0, 10**6).map(lambda n: b'{"message":"%d","n":%d}' % (n, n))
mark = b"\xef\xbb\xbf"
awkward = st.sampled_from(
    [b"junk", b"[1]", b'{"a":1}{"b":2}', mark, mark + b'{"a":1}', b'{"a":', b"1}", b"\x0b", b"\xff", b"{}\r"]
)
runs = st.lists(st.tuples(st.sampled_from("ABC"), st.lists(good | awkward, min_size=1, max_size=6)), max_size=8)


@given(runs)
def test_pa1_each_record_is_one_row_under_its_tenant_or_one_letter_whatever_it_is(
    given_runs: list[tuple[str, list[bytes]]],
) -> None:
    buffer = Buffer("events")
    sent: list[tuple[str, bytes, int]] = []
    for at, (tenant, lines) in enumerate(given_runs):
        numbers = np.arange(at * 100, at * 100 + len(lines))
        buffer.add_lines(tenant, b"".join(line + b"\n" for line in lines), len(lines), 1, numbers)
        sent += [(tenant, line, at * 100 + i) for i, line in enumerate(lines)]
    packed = _packer().pack(buffer.cut(1))
    log = _log(packed)
    refused = {(bad.tenant, bad.raw, bad.line) for bad in packed.bad}
    kept = [(tenant, line) for tenant, line, number in sent if (tenant, line, number) not in refused]
    stored = rows(log, DATASETS)
    assert len(stored) + len(refused) == len(sent)
    assert [tenant for tenant, _ in stored] == [tenant for tenant, _ in kept]
    for (_, record), (_, line) in zip(stored, kept, strict=True):
        if b'"n"' in line:
            assert line == b'{"message":"%s","n":%d}' % (record["message"].encode(), record["n"])
    assert sorted((letter.tenant, letter.raw) for letter in letters(log, "dead")) == sorted(  # type: ignore[type-var]
        (bad.tenant, bad.raw) for bad in packed.bad
    )
    assert all(line != b'{"a":1}{"b":2}' for _, line in kept)


def test_a_block_says_whose_it_is_when_its_rows_came_and_how_many_bytes_they_were() -> None:
    buffer = Buffer("events")
    buffer.add_record("a", b'{"message":"1"}\n', 1000)
    buffer.add_record("a", b'{"message":"2"}\n', 2000)
    buffer.add_record("b", b'{"message":"3"}\n', 3000)
    packer = _packer()
    log = _log(packer.pack(buffer.cut(1)))
    ((header, batch),) = blocks(log, DATASETS)
    assert header == wire.Header("events", "here", 5, 1, 3, 48, 1000, 3000)
    assert batch.column("_received").cast(pa.int64()).to_pylist() == [1000, 1000, 3000]
    assert batch.column("_tenant").to_pylist() == ["a", "a", "b"]
    buffer.add_record("a", b"{}\n", 4000)
    ((second, _),) = blocks(_log(packer.pack(buffer.cut(2))), DATASETS)
    assert second.seq == 2


def test_a_block_names_the_generation_that_is_in_force_when_it_is_packed() -> None:
    generations = iter([7, 9])
    packer = Packer(
        DATASETS,
        topic=lambda dataset: dataset,
        deadletter_topic="dead",
        edge="here",
        epoch=5,
        generation=lambda: next(generations),
    )
    buffer = Buffer("events")
    found = []
    for number in (1, 2):
        buffer.add_record("a", b"{}\n", 1000)
        found += [header.generation for header, _ in blocks(_log(packer.pack(buffer.cut(number))), DATASETS)]
    assert found == [7, 9]


def test_a_bad_record_is_a_letter_with_its_tenant_and_line_and_is_not_counted_in_the_block() -> None:
    buffer = Buffer("events")
    buffer.add_lines("a", b'{"message":"1"}\nnot json\n', 2, 1, np.array([41, 43]))
    packed = _packer().pack(buffer.cut(1))
    (bad,) = packed.bad
    assert (bad.tenant, bad.dataset, bad.reason, bad.raw, bad.line) == (
        "a",
        "events",
        reasons.NOT_JSON,
        b"not json",
        43,
    )
    (letter,) = letters(_log(packed), "dead")
    assert (letter.stage, letter.tenant, letter.dataset, letter.raw) == ("edge", "a", "events", b"not json")
    assert (letter.edge, letter.row) == ("here/5", 1)
    ((header, _),) = blocks(_log(packed), DATASETS)
    assert header.bytes == len(b'{"message":"1"}\n')


def test_equal_bad_records_are_two_letters() -> None:
    buffer = Buffer("events")
    buffer.add_lines("a", b"bad\nbad\n", 2, 1, None)
    assert len(letters(_log(_packer().pack(buffer.cut(1))), "dead")) == 2


def test_pa2_a_block_that_would_be_too_large_is_halved_and_a_row_that_is_too_large_alone_is_a_letter() -> None:
    buffer = Buffer("events")
    huge = b'{"message":"%s"}' % os.urandom(15_000).hex().encode()
    for number in range(64):
        text = os.urandom(400).hex().encode()
        buffer.add_lines("ab"[number % 2], b'{"message":"%s"}\n' % text, 1, 1, np.array([number]))
    buffer.add_lines("c", huge + b"\n", 1, 1, np.array([99]))
    cut = buffer.cut(1)
    packed = _packer(block_bytes=10_000).pack(cut)
    log = _log(packed)
    found = blocks(log, DATASETS)
    assert len(found) > 4
    assert all(len(m.value) <= 10_000 for m in packed.messages if m.rows)
    assert [header.seq for header, _ in found] == list(range(1, len(found) + 1))
    assert [tenant for tenant, _ in rows(log, DATASETS)] == ["a", "b"] * 32
    (bad,) = packed.bad
    assert (bad.tenant, bad.reason, bad.raw, bad.line) == ("c", reasons.TOO_LARGE, huge, 99)
    assert [letter.raw for letter in letters(log, "dead")] == [huge]


def test_pa2_a_row_of_a_table_that_is_too_large_is_a_letter_as_json() -> None:
    columns = {"message": ["ok", os.urandom(20_000).hex()], "level": ["INFO", None]}
    table = conformed(pa.table(columns), DATASETS["events"])
    packed = _packer(block_bytes=10_000).pack(Cut(1, "events", (Run("a", 2, 1),), 2, table.nbytes, table=table))
    assert rows(_log(packed), DATASETS) == [("a", {"message": "ok", "level": "INFO"})]
    (letter,) = letters(_log(packed), "dead")
    assert letter.raw == b'{"message":"%s"}' % table.column("message")[1].as_py().encode()


def test_pa2_a_row_of_a_table_that_is_too_large_is_a_letter_to_the_last_digit() -> None:
    odd = '{"big":%s,"half":"\\ud800"}' % ("9" * 30)
    table = conformed(pa.table({"message": [os.urandom(20_000).hex()]}), DATASETS["events"])
    table = table.set_column(table.schema.get_field_index("_extra"), "_extra", pa.array([odd]))
    packed = _packer(block_bytes=10_000).pack(Cut(1, "events", (Run("a", 1, 1),), 1, table.nbytes, table=table))
    (letter,) = letters(_log(packed), "dead")
    assert json.loads(letter.raw) == {"message": table.column("message")[0].as_py()} | json.loads(odd)


def test_pa2_a_block_that_unpacks_to_more_than_readers_take_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logflume.edge.packing._MOST_BYTES", 20_000)
    buffer = Buffer("events")
    for _ in range(40):
        buffer.add_record("a", b'{"message":"%s"}\n' % (b"x" * 1000), 1)
    assert [header.rows for header, _ in blocks(_log(_packer().pack(buffer.cut(1))), DATASETS)] == [10, 10, 10, 10]


def test_lines_of_a_web_server_are_read_as_such() -> None:
    buffer = Buffer("http_requests", Format.COMBINED)
    line = b'1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "GET /a?b HTTP/1.0" 200 2326 "-" "curl/8"\n'
    buffer.add_lines("a", line + b"no such line\n\x0b\n", 3, 1, np.array([1, 2, 3]))
    packed = _packer().pack(buffer.cut(1))
    ((tenant, record),) = rows(_log(packed), DATASETS)
    assert (tenant, record["ClientIP"], record["EdgeResponseStatus"]) == ("a", "1.2.3.4", 200)
    assert [bad.line for bad in packed.bad] == [2, 3]
