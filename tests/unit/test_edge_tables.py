"""Arrow tables at the edge: what fits goes straight, the rest as JSON would, and nothing is changed on the way."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from logflume.block import reasons
from logflume.edge.tables import conformed
from logflume.errors import Poison
from logflume.formats import to_records
from logflume.model import Dataset, Field, FieldType

DATASET = Dataset("d", tuple(Field(kind.name.lower(), kind) for kind in FieldType), "timestamp")
NOON = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def _records(table: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    batch = conformed(table, DATASET)
    assert batch.schema.names == [*DATASET.schema.names, "_extra"]
    assert [field.type for field in batch.schema][:-1] == [field.type for field in DATASET.schema]
    batch.validate(full=True)
    return to_records(batch)


def test_columns_of_the_fields_types_are_taken_as_they_are() -> None:
    values = {
        "string": ["a", None],
        "int": [1, 2**62],
        "float": [0.5, None],
        "bool": [True, False],
        "timestamp": [NOON, None],
        "map": [[("k", "v")], None],
        "strings": [["x", "y"], []],
        "ints": [[1, 2], None],
    }
    table = pa.table(values, schema=DATASET.schema)
    batch = conformed(table, DATASET)
    for name in table.column_names:
        assert batch.column(name).to_pylist() == table.column(name).to_pylist()
    assert batch.column("_extra").null_count == 2


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("string", pa.array(["a"], pa.large_string()), "a"),
        ("string", pa.array(["a"]).dictionary_encode(), "a"),
        ("int", pa.array([7], pa.uint8()), 7),
        ("float", pa.array([7], pa.int32()), 7.0),
        ("float", pa.array([0.5], pa.float32()), 0.5),
        ("timestamp", pa.array([NOON], pa.timestamp("us", "Europe/Berlin")), "2026-05-01T12:00:00.123456Z"),
        ("strings", pa.array([["a"]], pa.large_list(pa.large_string())), ["a"]),
        ("ints", pa.array([[1]], pa.list_(pa.int16())), [1]),
    ],
)
def test_types_that_hold_the_same_values_are_cast(name: str, column: pa.Array, expected: Any) -> None:
    table = pa.table({name: column})
    assert _records(table) == [{name: expected}]
    assert conformed(table, DATASET).column("_extra").null_count == 1


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("int", pa.array([2**63], pa.uint64()), 2**63),
        ("int", pa.array(["7"]), "7"),
        ("string", pa.array([7]), 7),
        ("strings", pa.array([[1, 2]]), [1, 2]),
        ("map", pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), {"k": 1}),
        ("timestamp", pa.array([datetime(2026, 5, 1)], pa.timestamp("s")), "2026-05-01T00:00:00"),
        ("other", pa.array([NOON], pa.timestamp("ns", "UTC")), "2026-05-01T12:00:00.123456000Z"),
        ("other", pa.array([date(2026, 5, 1)]), "2026-05-01"),
        ("other", pa.array([{"a": [1, None]}]), {"a": [1, None]}),
    ],
)
def test_any_other_value_survives_in_extra(name: str, column: pa.Array, expected: Any) -> None:
    table = pa.table({name: column, "string" if name != "string" else "bool": pa.nulls(1)})
    assert _records(table) == [{name: expected}]
    assert conformed(table, DATASET).column("_extra").null_count == 0


def test_a_number_in_a_timestamps_column_is_an_instant_as_in_json() -> None:
    assert _records(pa.table({"timestamp": [1_777_636_800]})) == [{"timestamp": "2026-05-01T12:00:00Z"}]


def test_rows_keep_their_places_when_some_columns_go_straight_and_others_do_not() -> None:
    table = pa.table(
        {"int": range(100), "string": [str(n) for n in range(100)], "more": [n % 3 or None for n in range(100)]}
    )
    expected = [{"int": n, "string": str(n)} | ({"more": n % 3} if n % 3 else {}) for n in range(100)]
    assert _records(table) == expected
    assert _records(pa.concat_tables([table.slice(0, 10), table.slice(10)])) == expected
    assert _records(table.slice(40, 10)) == expected[40:50]
    assert _records(table.to_batches()[0]) == expected


def test_a_table_without_rows_has_none() -> None:
    assert conformed(pa.table({"other": pa.array([], pa.int64())}), DATASET).num_rows == 0


def _invalid_utf8() -> pa.Array:
    return pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pa.table({"float": [1.0, float("nan")]}), reasons.NOT_FINITE),
        (pa.table({"float": [float("inf")]}), reasons.NOT_FINITE),
        (pa.table({"other": [b"binary"]}), reasons.NOT_JSON),
        (pa.table({"other": [Decimal("1.5")]}), reasons.NOT_JSON),
        (pa.table({"string": _invalid_utf8()}), reasons.NOT_UTF8),
        (pa.table([[1], [2]], names=["int", "int"]), reasons.NOT_JSON),
    ],
)
def test_what_json_cannot_hold_is_poison(table: pa.Table, reason: str) -> None:
    with pytest.raises(Poison) as caught:
        conformed(table, DATASET)
    assert caught.value.reason == reason
