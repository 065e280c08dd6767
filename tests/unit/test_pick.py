"""Rows picked out of Parquet files by their ids are those that a reader of the whole file finds. P1, P2."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from obstore.store import LocalStore

from logflume.explore.kept import Kept
from logflume.table import bloom
from logflume.table.pick import decode, thrift
from logflume.table.pick import footer as footers
from logflume.table.pick import rows as picking
from logflume.table.pick.rows import About, Granules, Picked, Source
from logflume.table.pick.thrift import Broken

PATH = "file.parquet"
BLOOM = {"id": {"ndv": 1_000, "fpp": 0.001}}


@cache
def table(count: int, seed: int = 1) -> pa.Table:
    """Columns of every kind that a table of ours has, whose pages end at different rows."""
    random = Random(seed)

    def some(make: Callable[[], Any]) -> list[Any]:
        return [None if random.random() < 0.2 else make() for _ in range(count)]

    return pa.table(
        {
            "before": pa.array(some(lambda: random.randrange(1 << 40)), pa.int64()),
            "id": pa.array([f"{seed}-{number}" for number in range(count)]),
            "time": pa.array(some(lambda: random.randrange(1 << 50)), pa.timestamp("us", tz="UTC")),
            "host": pa.array(some(lambda: random.choice("abc") * 5)),
            "long": pa.array(some(lambda: "x" * random.randrange(3_000))),
            "tags": pa.array(some(lambda: [str(n) for n in range(random.randrange(4))]), pa.list_(pa.string())),
            "headers": pa.array(
                some(lambda: [(str(n), f"v{n}") for n in range(random.randrange(3))]), pa.map_(pa.string(), pa.string())
            ),
            "flag": pa.array(some(lambda: random.random() < 0.5), pa.bool_()),
            "share": pa.array(some(random.random), pa.float64()),
            "none": pa.nulls(count, pa.string()),
        }
    )


def write(folder: Path, rows: pa.Table, **options: Any) -> None:
    options = {"compression": "zstd", "write_page_index": True, "use_dictionary": ["host"], **options}
    pq.write_table(rows, folder / PATH, store_schema=False, **options)


def about(folder: Path) -> About:
    return asyncio.run(picking.about(Source(LocalStore(folder), PATH), (folder / PATH).stat().st_size))


def pick(folder: Path, ids: Collection[str], granules: Granules | None = None, known: About | None = None) -> Picked:
    return asyncio.run(picking.pick(Source(LocalStore(folder), PATH), known or about(folder), "id", ids, granules))


def same(whole: pa.Table, picked: Picked, ids: Collection[str]) -> None:
    """As who reads all of the file."""
    expected = whole.filter(pc.is_in(whole.column("id"), pa.array(sorted(ids), pa.string())))
    found = [{name: row.column(name).to_pylist()[0] for name in whole.schema.names} for row in picked.rows]
    assert found == expected.to_pylist()


OPTIONS: list[dict[str, Any]] = [
    {},
    {"bloom_filter_options": BLOOM},
    {"row_group_size": 700, "bloom_filter_options": BLOOM},
    {"row_group_size": 700},
    {"data_page_size": 2_000, "write_batch_size": 50, "max_rows_per_page": 90},
    {"data_page_size": 2_000, "write_batch_size": 50, "row_group_size": 999, "bloom_filter_options": BLOOM},
    {"data_page_version": "2.0", "max_rows_per_page": 90},
    {"write_page_index": False},
    {"write_page_index": False, "row_group_size": 70, "bloom_filter_options": BLOOM},
    {"compression": "snappy"},
    {"compression": "none", "use_dictionary": True, "max_rows_per_page": 77},
    {"use_dictionary": True, "dictionary_pagesize_limit": 200, "data_page_size": 500, "write_batch_size": 20},
    {"column_encoding": {"time": "DELTA_BINARY_PACKED"}, "use_dictionary": False},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_p1_what_is_picked_is_what_is_there(tmp_path: Path, options: dict[str, Any]) -> None:
    write(tmp_path, table(2_345), **options)
    known, whole = about(tmp_path), pq.read_table(tmp_path / PATH)
    random = Random(2)
    for count in (1, 1, 1, 3, 40):
        ids = {f"1-{random.randrange(2_600)}" for _ in range(count)}
        same(whole, pick(tmp_path, ids, known=known), ids)
    for number in (0, 2_344, 699, 700):
        same(whole, pick(tmp_path, {f"1-{number}"}, known=known), {f"1-{number}"})
    assert pick(tmp_path, {"nobody"}, known=known).rows == []


def test_p1_values_of_rows_that_have_many_are_counted_by_their_pages(tmp_path: Path) -> None:
    """Keys are short, values long: their pages end at different rows, so that several of one are of one of another."""
    many = [[(str(n), "v" * 200) for n in range(30)]] * 200
    rows = pa.table({"id": [str(n) for n in range(200)], "headers": pa.array(many, pa.map_(pa.string(), pa.string()))})
    write(tmp_path, rows, data_page_size=4_000, use_dictionary=False, write_batch_size=16)
    ids = {"3", "77", "199"}
    same(rows, pick(tmp_path, ids), ids)


def test_a_column_is_flat_if_each_of_its_rows_has_one_value(tmp_path: Path) -> None:
    write(tmp_path, table(10))
    data = (tmp_path / PATH).read_bytes()
    flat = {chunk.field for chunk in footers.decode(data, len(data)).groups[0].chunks if chunk.flat}
    assert flat == set(table(10).column_names) - {"tags", "headers"}
    # A column that is repeated without a list around it, as old writers had them.
    about = thrift.Reader(data, len(data) - 8 - int.from_bytes(data[-8:-4], "little")).struct()
    elements = about[2][1][1]
    assert elements[1][4][1] == b"before"
    elements[1][3] = (thrift.I32, 2)
    told = thrift.encode(about)
    changed = data + told + len(told).to_bytes(4, "little") + b"PAR1"
    [before, *_] = footers.decode(changed, len(changed)).groups[0].chunks
    assert (before.field, before.flat) == ("before", False)


def test_p1_an_id_that_several_rows_have_gives_all_of_them(tmp_path: Path) -> None:
    rows = pa.concat_tables([table(300), table(300), table(20, seed=2), table(300)])
    write(tmp_path, rows, row_group_size=250, bloom_filter_options=BLOOM)
    picked = pick(tmp_path, {"1-7", "2-3"})
    assert len(picked.rows) == 4
    same(pq.read_table(tmp_path / PATH), picked, {"1-7", "2-3"})


def test_p1_a_null_is_no_id(tmp_path: Path) -> None:
    write(tmp_path, pa.table({"id": ["a", None, "", "a"], "n": [1, 2, 3, 4]}))
    assert [row.to_pylist() for row in pick(tmp_path, {""}).rows] == [[{"id": "", "n": 3}]]
    assert [row.column("n")[0].as_py() for row in pick(tmp_path, {"a"}).rows] == [1, 4]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("of", [1, 3, 24, 2_345])
def test_p1_of_granules_that_are_known_every_row_is_picked(tmp_path: Path, options: dict[str, Any], of: int) -> None:
    """Wherever they begin and end in the file's row groups and pages."""
    write(tmp_path, table(2_345), **options)
    known, whole = about(tmp_path), pq.read_table(tmp_path / PATH)
    each = -(-2_345 // of)
    random = Random(of)
    for count in (1, 1, 3, 40):
        rows = [random.randrange(2_345) for _ in range(count)]
        ids = {f"1-{row}" for row in rows}
        same(whole, pick(tmp_path, ids, Granules(frozenset(row // each for row in rows), of), known), ids)
    for row in (0, 2_344, 699, 700, each - 1, each % 2_345):
        same(whole, pick(tmp_path, {f"1-{row}"}, Granules(frozenset({row // each}), of), known), {f"1-{row}"})
    assert pick(tmp_path, {"nobody"}, Granules(frozenset({0, of - 1}), of), known).rows == []


def test_of_granules_that_are_known_only_their_pages_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids of others are not found, though they are in the same page; and what is far from them is not read."""
    count, random = 200_000, Random(1)
    ids, shares = [f"1-{number}" for number in range(count)], [random.random() for _ in range(count)]
    rows = pa.table({"before": range(count), "id": ids, "share": shares})
    write(tmp_path, rows, row_group_size=100_000, max_rows_per_page=10_000)
    size = (tmp_path / PATH).stat().st_size
    monkeypatch.setattr(picking, "_GAP_BYTES", 0)
    picked = pick(tmp_path, {"1-152000", "1-7", "1-149999"}, Granules(frozenset({15}), 20))
    assert [row.column("id")[0].as_py() for row in picked.rows] == ["1-152000"]
    assert 0 < picked.bytes < size / 15
    assert pick(tmp_path, {"1-7"}, Granules(frozenset({15}), 20)).rows == []


def test_what_is_kept_of_one_file_is_not_taken_for_anothers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it lies at the same place."""
    monkeypatch.setattr(picking, "END_BYTES", 8)  # of the end nothing but the footer's length
    kept: Kept[tuple[str, int, int], memoryview] = Kept(1_000_000)

    async def go(path: str, n: int) -> tuple[list[Any], int]:
        pq.write_table(pa.table({"id": ["a", "b"], "n": [n, n]}), tmp_path / path, write_page_index=True)
        source = Source(LocalStore(tmp_path), path, kept)
        about = await picking.about(source, (tmp_path / path).stat().st_size)
        picked = await picking.pick(source, about, "id", {"b"}, Granules(frozenset({0}), 1))
        return [row.column("n")[0].as_py() for row in picked.rows], picked.bytes - len(about.end)

    (first, read), (other, read_other), (again, read_again) = [
        asyncio.run(go(*of)) for of in [("x", 1), ("y", 2), ("x", 3)]
    ]
    assert (first, other, again) == ([1], [2], [1])
    assert read == read_other > read_again == picking.END_BYTES


def test_p2_many_rows_of_many_granules_are_too_many(tmp_path: Path) -> None:
    write(tmp_path, pa.table({"id": ["same"] * 300}), max_rows_per_page=40)
    assert len(pick(tmp_path, {"same"}, Granules(frozenset({0}), 2)).rows) == 150
    with pytest.raises(Broken, match="300 rows"):
        pick(tmp_path, {"same"}, Granules(frozenset({0, 1}), 2))


def test_bloom_filters_spare_row_groups(tmp_path: Path) -> None:
    write(tmp_path, table(2_000), row_group_size=500, bloom_filter_options=BLOOM)
    about = pq.read_metadata(tmp_path / PATH)
    group = sum(about.row_group(1).column(n).total_compressed_size for n in range(about.num_columns))
    assert pick(tmp_path, {"1-600"}).bytes < group * 1.1
    assert pick(tmp_path, {"nobody"}).bytes < 300  # a block of each filter


def test_a_filter_of_another_kind_spares_nothing(tmp_path: Path) -> None:
    write(tmp_path, table(2_000), row_group_size=500, bloom_filter_options=BLOOM)
    about = pq.read_metadata(tmp_path / PATH)
    data = bytearray((tmp_path / PATH).read_bytes())
    for group in range(4):
        chunk = about.row_group(group).column(1)
        assert bloom.bits(chunk.bloom_filter_offset, chunk.bloom_filter_offset + chunk.bloom_filter_length) is not None
        data[chunk.bloom_filter_offset + 3] ^= 0xFF
        data[chunk.bloom_filter_offset + 30 : chunk.bloom_filter_offset + chunk.bloom_filter_length] = bytes(
            chunk.bloom_filter_length - 30
        )
    (tmp_path / PATH).write_bytes(data)
    assert len(pick(tmp_path, {"1-600"}).rows) == 1


def test_of_a_column_one_page_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, table(2_000), max_rows_per_page=100)
    decoded = []
    small = decode.small.table

    def heard(footer: Any, pieces: Any, rows: int) -> pa.Table:
        decoded.append((len(pieces), rows))
        return small(footer, pieces, rows)

    monkeypatch.setattr(decode.small, "table", heard)
    assert len(pick(tmp_path, {"1-600"}).rows) == 1
    assert decoded[0] == (1, 2_000)
    assert all(rows <= 100 for _, rows in decoded[1:])


@pytest.mark.parametrize(
    ("rows", "ids", "why"),
    [
        (pa.table({"id": ["same"] * 300}), {"same"}, "300 rows"),
        (pa.table({"id": pa.array([1, 2])}), {"1"}, "type int64"),
        (pa.table({"id": ["a"]}), {"\ud800"}, "surrogates not allowed"),
    ],
)
def test_p1_what_is_not_ours_to_say_is_left_to_others(tmp_path: Path, rows: pa.Table, ids: set[str], why: str) -> None:
    write(tmp_path, rows)
    with pytest.raises(Broken, match=why):
        pick(tmp_path, ids)


def test_p2_many_rows_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, pa.table({"id": ["same"] * 300}))
    monkeypatch.setattr(decode, "rows", lambda *_: pytest.fail("they are decoded"))
    with pytest.raises(Broken, match="300 rows"):
        pick(tmp_path, {"same"})


def test_p2_many_rows_of_many_row_groups_are_too_many(tmp_path: Path) -> None:
    write(tmp_path, pa.table({"id": ["same"] * 300}), row_group_size=100)
    with pytest.raises(Broken, match="300 rows"):
        pick(tmp_path, {"same"})


@pytest.mark.parametrize("bound", ["_MOST_BYTES", "_MOST_END_BYTES", "MOST_CHUNK_BYTES"])
def test_p2_what_is_read_and_decoded_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    write(tmp_path, table(1_000), max_rows_per_page=20)
    monkeypatch.setattr(picking, "END_BYTES", 1_000)
    assert len(pick(tmp_path, {"1-1"}).rows) == 1
    monkeypatch.setattr(footers if bound == "MOST_CHUNK_BYTES" else picking, bound, 1_500)
    with pytest.raises(Broken):
        pick(tmp_path, {"1-1"})


def test_a_file_without_the_column_has_no_such_row(tmp_path: Path) -> None:
    write(tmp_path, pa.table({"other": ["a"]}))
    assert pick(tmp_path, {"a"}).rows == []


def test_p1_a_file_that_is_cut_or_no_parquet_file_is_broken(tmp_path: Path) -> None:
    write(tmp_path, table(500), row_group_size=200, bloom_filter_options=BLOOM)
    data = (tmp_path / PATH).read_bytes()
    for cut in (0, 3, 8, 100, len(data) // 2, len(data) - 1):
        (tmp_path / PATH).write_bytes(data[:cut])
        with pytest.raises((Broken, obstore.exceptions.BaseError)):
            pick(tmp_path, {"1-1"})


def test_a_footer_that_was_changed_is_broken_or_is_read(tmp_path: Path) -> None:
    """Not one of three hundred ends in another error, or in an endless loop."""
    write(tmp_path, table(60), row_group_size=40, bloom_filter_options=BLOOM)
    data = (tmp_path / PATH).read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    random = Random(5)
    broken = 0
    for _ in range(300):
        harmed = bytearray(data)
        at = len(data) - 8 - random.randrange(length)
        harmed[at - 1] ^= 1 << random.randrange(8)
        try:
            (tmp_path / PATH).write_bytes(harmed)
            assert pick(tmp_path, {"1-1"}).rows is not None
        except Broken:
            broken += 1
    assert broken > 20


def test_thrift_is_written_as_it_was_read(tmp_path: Path) -> None:
    write(tmp_path, table(300), row_group_size=100, bloom_filter_options=BLOOM)
    data = (tmp_path / PATH).read_bytes()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    reader = thrift.Reader(footer)
    assert thrift.encode(reader.struct()) == footer
    assert reader.at == len(footer)


@pytest.mark.parametrize(
    "value",
    [
        {1: (thrift.TRUE, True), 2: (thrift.TRUE, False), 200: (thrift.I64, -(1 << 62)), 201: (thrift.I16, 0)},
        {5: (thrift.LIST, (thrift.TRUE, [True, False])), 9: (thrift.LIST, (thrift.I32, list(range(40))))},
        {1: (thrift.BYTE, b"\x07"), 2: (thrift.DOUBLE, b"12345678"), 3: (thrift.STRUCT, {30: (thrift.BINARY, b"")})},
    ],
)
def test_thrift_has_every_type_that_parquet_uses(value: dict[int, Any]) -> None:
    read = thrift.Reader(thrift.encode(value)).struct()
    assert {number: found for number, (_, found) in read.items()} == {n: found for n, (_, found) in value.items()}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x15",
        b"\x15\xff",
        b"\x18\x7fabc",
        b"\x19\xfc\xff\xff\xff\x7f",
        b"\x1d\x00",
        b"\x1c" * 200,
        b"\x15" + b"\xff" * 30,
    ],
)
def test_what_is_no_thrift_is_broken(data: bytes) -> None:
    with pytest.raises(Broken):
        thrift.Reader(data).struct()
