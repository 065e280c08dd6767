"""Parquet's Bloom filters as others write them: read whole, and what is none of them is never believed."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.store import LocalStore, MemoryStore

from logflume.table import bloom, parquet
from logflume.table.bloom import NO_IDS, UNKNOWN, Filters
from tests.support.tables import SMALL, rows


def encoded(ids: list[str | None], **more: Any) -> bytes:
    table = pa.table({"n": range(len(ids)), "RayID": pa.array(ids, pa.string())})
    sink = io.BytesIO()
    pq.write_table(table, sink, **({"bloom_filter_options": {"RayID": {"ndv": len(ids), "fpp": 0.001}}} | more))
    return sink.getvalue()


def read(data: bytes, column: str = "RayID") -> Filters:
    store = MemoryStore()
    store.put("f", data)
    return bloom.read(store, "f", len(data), column)


@pytest.mark.parametrize(
    ("text", "hash"),
    [  # from the specification of xxHash, and its command
        ("", 0xEF46DB3751D8E999),
        ("a", 0xD24EC4F1A98C6E5B),
        ("abc", 0x44BC2CF5AD770999),
    ],
)
def test_the_hash_is_xxh64(text: str, hash: int) -> None:
    assert bloom.hash_of(text) == hash


def test_every_id_that_arrow_has_put_into_a_filter_is_found_whatever_its_length() -> None:
    random = Random(1)
    ids = ["".join(random.choices("abcdef012é☃", k=length)) for length in range(100) for _ in range(20)]
    filters = read(encoded([*ids, None], row_group_size=300))
    assert len(filters.bitsets or ()) == 7
    assert all(filters.may_hold(bloom.hash_of(id)) for id in ids)
    strangers = sum(filters.may_hold(bloom.hash_of(f"no {number}")) for number in range(2_000))
    assert strangers < 2_000 * 7 * 0.002


def test_a_sinks_file_has_filters_that_let_one_stranger_in_a_thousand_pass() -> None:
    ids = [f"{number:016x}" for number in range(40_000)]
    filters = read(parquet.encode(parquet.at_rest(rows(ids), SMALL), SMALL).data.to_pybytes())
    assert all(filters.may_hold(bloom.hash_of(id)) for id in ids[::97])
    assert sum(filters.may_hold(bloom.hash_of(f"x{number}")) for number in range(5_000)) < 15


def test_filters_before_the_files_end_are_read_too(tmp_path: Path) -> None:
    ids = [f"{number:016x}" for number in range(200_000)]
    (tmp_path / "f").write_bytes(encoded(ids, row_group_size=100_000))
    filters = bloom.read(LocalStore(tmp_path), "f", (tmp_path / "f").stat().st_size, "RayID")
    assert filters.size > 2 * 65_536
    assert all(filters.may_hold(bloom.hash_of(id)) for id in ids[::1_009])


def test_a_long_footer_is_read_whole() -> None:
    ids = [f"{number}" for number in range(3_000)]
    filters = read(encoded(ids, row_group_size=5))
    assert len(filters.bitsets or ()) == 600
    assert all(filters.may_hold(bloom.hash_of(id)) for id in ids[::7])


def test_a_file_without_filters_can_not_tell_and_one_without_ids_has_none() -> None:
    plain = encoded(["a", "b"], bloom_filter_options=None)
    assert read(plain) == UNKNOWN
    assert read(plain, "Other") == NO_IDS
    assert read(encoded(["a"]), "n") == UNKNOWN  # of numbers
    assert UNKNOWN.may_hold(1)
    assert not NO_IDS.may_hold(1)
    nested = io.BytesIO()
    pq.write_table(pa.table({"RayID": [{"x": "a"}]}), nested)
    assert read(nested.getvalue()) == UNKNOWN


@pytest.mark.parametrize("at", [0, 1, 2, 4, 8, 12, 14])
def test_a_filter_of_another_kind_is_not_understood(at: int) -> None:
    data = bytearray(encoded(["a", "b"]))
    start = pq.read_metadata(io.BytesIO(bytes(data))).row_group(0).column(1).bloom_filter_offset
    data[start + at] ^= 0x3F
    assert read(bytes(data)) == UNKNOWN


def test_no_bytes_are_believed_that_are_no_file() -> None:
    whole = encoded([f"{number}" for number in range(50)])
    for cut in (0, 1, 7, 8, 11, len(whole) // 2, len(whole) - 1):
        assert read(whole[:cut] or b"x") == UNKNOWN
    for length in (0, 1, 5, 10**6, 2**31, 2**32 - 1):
        assert read(whole[:-8] + length.to_bytes(4, "little") + b"PAR1") == UNKNOWN
    random = Random(2)
    for _ in range(300):  # a footer that was harmed is refused, or is about other places: never an error
        harmed = bytearray(whole)
        harmed[random.randrange(len(whole) - 400, len(whole))] = random.randrange(256)
        read(bytes(harmed))


def test_a_block_is_one_of_those_that_there_are() -> None:
    for blocks in (1, 2, 3, 1_000, 8_192):
        found = {bloom.block(bloom.hash_of(str(number)), blocks) for number in range(5 * blocks)}
        assert min(found) >= 0
        assert max(found) < blocks
    bits = bloom.mask(bloom.hash_of("a"))
    assert [int(word).bit_count() for word in bits] == [1] * 8
    assert bits.dtype == np.uint32
