"""A dataset with every type of field, and rows of it as Arrow columns: for what formats make of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from logflume.block.extra import dumps
from logflume.block.schema import sorted_schema
from logflume.model.dataset import Dataset, Field, FieldType

DATASET = Dataset(
    "odd", tuple(Field(kind.value.strip("]").replace("[", "_"), kind) for kind in FieldType), time_field="timestamp"
)
"""Its fields are called ``string``, ``int``, …, ``array_string``, ``array_int``."""

NAMES = (*DATASET.schema.names, "_extra", "_received")

_INT64 = st.integers(-(2**63), 2**63 - 1)
_TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from('"\\\n\r\t\x00\x1f\x7f{},:'), max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | _INT64 | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=4,
)
_VALUES: dict[FieldType, st.SearchStrategy[Any]] = {
    FieldType.STRING: _TEXT,
    FieldType.INT: _INT64,
    FieldType.FLOAT: st.floats(),
    FieldType.BOOL: st.booleans(),
    FieldType.TIMESTAMP: st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(0, 2**33).map(lambda s: s * 10**9),
    FieldType.MAP: st.dictionaries(_TEXT, st.none() | _TEXT, max_size=3).map(lambda d: list(d.items())),
    FieldType.STRINGS: st.lists(st.none() | _TEXT, max_size=3),
    FieldType.INTS: st.lists(st.none() | _INT64, max_size=3),
}
_EXTRA = st.dictionaries(_TEXT.map(lambda name: f"more {name}"), _JSON, min_size=1, max_size=3)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Rows of ``DATASET``, in one or several chunks, perhaps cut out of more of them; any column may be missing."""
    count = draw(st.integers(0, 6))
    columns: dict[str, pa.Array] = {}
    for field in DATASET.fields:
        if draw(st.sampled_from((True, True, True, False))):
            values = st.none() | _VALUES[field.type]
            if draw(st.booleans()):
                values = _VALUES[field.type]
            columns[field.name] = rows_of(field.name, draw(st.lists(values, min_size=count, max_size=count)))
    extra = draw(st.lists(st.none() | _EXTRA, min_size=count, max_size=count))
    columns["_extra"] = pa.array([None if each is None else dumps(each) for each in extra], pa.string())
    columns["_received"] = pa.array(range(10**18, 10**18 + count), pa.int64()).cast(pa.timestamp("ns", tz="UTC"))
    whole = pa.table(columns)
    cut = draw(st.integers(0, count))
    halves = [whole.slice(0, cut), whole.slice(cut)]
    return draw(st.sampled_from((whole, halves[1], pa.concat_tables(halves))))


def rows_of(name: str, values: list[Any]) -> pa.Array:
    """One column of ``DATASET``; times are whole nanoseconds."""
    kind = sorted_schema(DATASET).field(name).type
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)
