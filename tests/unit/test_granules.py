"""The Bloom filters of a data file's granules: of every id, in the granule that it is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from obstore.exceptions import GenericError
from obstore.store import LocalStore

from logflume.table import bloom
from logflume.table.bloom import NO_IDS, UNKNOWN, Filters
from logflume.table.ids import granules

PATH = "file.parquet"


def filters(folder: Path, rows: pa.Table | None = None, **options: Any) -> Filters:
    if rows is not None:
        pq.write_table(rows, folder / PATH, **options)
    return granules.filters(LocalStore(folder), PATH, (folder / PATH).stat().st_size, "id")


def may(bits: bytes, id: str) -> bool:
    return Filters((bits,)).may_hold(bloom.hash_of(id))


@pytest.mark.parametrize("options", [{}, {"row_group_size": 333}, {"row_group_size": 1_700, "use_dictionary": False}])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("count", [1, 999, 1_000, 1_001, 2_345])
def test_each_id_is_in_the_filter_of_its_granule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], kind: pa.DataType, count: int
) -> None:
    """However the file's row groups lie; and in few others."""
    monkeypatch.setattr(granules, "ROWS", 1_000)
    ids = [None if number % 7 == 3 else f"é{number}" for number in range(count)]
    bitsets = filters(tmp_path, pa.table({"n": range(count), "id": pa.array(ids).cast(kind)}), **options).bitsets
    assert bitsets is not None
    assert len(bitsets) == -(-count // 1_000)
    assert len({len(bits) for bits in bitsets}) == 1
    each = -(-count // len(bitsets))
    assert all(may(bitsets[number // each], id) for number, id in enumerate(ids) if id is not None)
    others = [may(bits, id) for at, bits in enumerate(bitsets) for n, id in enumerate(ids) if id and n // each != at]
    assert sum(others) <= 2 + len(others) // 1_000


def test_files_without_ids_have_none_and_others_can_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert filters(tmp_path, pa.table({"other": ["a"]})) == NO_IDS
    assert filters(tmp_path, pa.table({"id": pa.array([], pa.string())})) == NO_IDS
    assert filters(tmp_path, pa.table({"id": [1, 2]})) == UNKNOWN
    assert filters(tmp_path, pa.table({"id": [b"a"]})) == UNKNOWN
    assert filters(tmp_path, pa.table({"id": [["a"], ["b"]]})) == UNKNOWN
    assert filters(tmp_path, pa.table({"id": [{"id": "a"}]})) == UNKNOWN
    monkeypatch.setattr(granules, "_MOST", 2)
    monkeypatch.setattr(granules, "ROWS", 10)
    assert filters(tmp_path, pa.table({"id": ["a"] * 20})) != UNKNOWN
    assert filters(tmp_path, pa.table({"id": ["a"] * 21})) == UNKNOWN


def test_what_is_no_parquet_file_or_broken_can_not_tell(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [str(number) for number in range(5_000)]}), tmp_path / PATH, use_dictionary=False)
    data = (tmp_path / PATH).read_bytes()
    for harmed in (b"", b"x", data[:-1], data[: len(data) // 2], data[:4] + bytes(3_000) + data[3_004:], b"x" * 900):
        (tmp_path / PATH).write_bytes(harmed)
        assert filters(tmp_path) == UNKNOWN


def test_a_store_that_fails_is_told_from_a_file_that_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filters(tmp_path, pa.table({"id": ["a"]}))

    def fails(*_: Any, **__: Any) -> Any:
        raise GenericError("down")

    with monkeypatch.context() as patched:
        patched.setattr(obstore, "get_range", fails)
        with pytest.raises(GenericError, match="down"):
            filters(tmp_path)
    with pytest.raises(FileNotFoundError):
        granules.filters(LocalStore(tmp_path), "nothing.parquet", 100, "id")
