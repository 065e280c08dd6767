"""The bytes of records are those of their values, wherever these lie."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from logflume.block.schema import sorted_schema
from logflume.table import parquet
from logflume.table.weight import value_bytes
from tests.property.test_explore_match import KINDS, ROW
from tests.support.tables import NOON, SMALL
from tests.support.tables import rows as sorted_rows


def weight(value: Any) -> int:
    """Of one value, looked at."""
    if value is None:
        return 0
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, bool):
        return 1
    if isinstance(value, list):
        return sum(map(weight, value))
    return 8


def at_rest(rows: list[dict[str, Any]]) -> pa.Table:
    own = {"_received": NOON, "_src_topic": "t", "_src_partition": 0, "_src_row": 0}
    whole = [{**own, "_src_offset": at, **row} for at, row in enumerate(rows)]
    schema = sorted_schema(KINDS)
    columns = {field.name: pa.array([row.get(field.name) for row in whole], field.type) for field in schema}
    return parquet.at_rest(pa.table(columns, schema), KINDS)


@given(st.lists(ROW, min_size=1, max_size=12), st.lists(ROW, min_size=1, max_size=3), st.data())
def test_bytes_are_those_of_the_values_in_whatever_pieces_they_lie(
    first: list[dict[str, Any]], second: list[dict[str, Any]], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(first) - 1))
    rows = first[start:] + second
    pieces = [at_rest(first).slice(start), at_rest(second)]
    parts = pa.concat_tables(pieces, promote_options="default")
    extra = [
        len(text.encode())
        for piece in pieces
        if "_extra" in piece.schema.names
        for text in piece["_extra"].to_pylist()
        if text
    ]  # times keep their nanoseconds there
    expected = sum(weight(value) for row in rows for value in row.values()) + sum(extra)
    assert value_bytes(parts) == value_bytes(parts.combine_chunks()) == expected
    written = parquet.encode(parts, KINDS)
    assert written.value_bytes == expected
    assert value_bytes(pq.read_table(pa.BufferReader(written.data))) == expected, "a merge reads it so"


def test_maps_and_what_logflume_adds() -> None:
    headers = [[("ab", "cde"), ("f", None)], None, []]
    some = parquet.at_rest(sorted_rows(["1", "22", "333"], RequestHeaders=headers, _extra=[None, "{}", None]), SMALL)
    assert value_bytes(some) == len("122333") + 3 * 8 + len("abcdef") + len("{}")
    assert value_bytes(some.slice(1)) == len("22333") + 2 * 8 + len("{}")
    assert value_bytes(some.slice(3)) == 0
