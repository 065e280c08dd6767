"""Filters over columns at hand mean what their SQL means to the engine, whatever stands in the rows."""

from __future__ import annotations

import contextlib
from typing import Any

import datafusion
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from logflume.block.schema import sorted_schema
from logflume.errors import Refused
from logflume.explore import filters
from logflume.explore.check import check
from logflume.explore.filters import quoted
from logflume.explore.match import Match
from logflume.explore.rewrite import rewrite
from logflume.model.dataset import Dataset, Field, FieldType
from logflume.table import parquet
from logflume.table.schema import file_schema
from tests.support.schedules import examples
from tests.support.tables import NOON

KINDS = Dataset(
    "kinds",
    (
        Field("text", FieldType.STRING),
        Field("word", FieldType.STRING),
        Field("number", FieldType.INT),
        Field("part", FieldType.FLOAT),
        Field("yes", FieldType.BOOL),
        Field("at", FieldType.TIMESTAMP),
        Field("tags", FieldType.STRINGS),
        Field("marks", FieldType.INTS),
    ),
    time_field="at",
)
TEXTS = st.sampled_from(["", "a", "A", "ab", "aB%", "a_b", "é", "É", "ß", "'", '"', "\\", "a\nb", "日本"])
NUMBERS = st.sampled_from([-(1 << 62), -1, 0, 1, 2, 1 << 53, (1 << 53) + 1])
TIMES = st.sampled_from([NOON + each for each in (-1_500, -1, 0, 1, 999, 1_000, 1_000_000_000)])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "word": TEXTS,
    "number": NUMBERS,
    "part": st.sampled_from([-1.5, 0.0, 1.0, 2.5]),
    "yes": st.booleans(),
    "at": TIMES,
    "tags": st.lists(st.none() | TEXTS, max_size=3),
    "marks": st.lists(st.none() | NUMBERS, max_size=3),
}
ASKED: dict[str, st.SearchStrategy[Any]] = VALUES | {
    "at": st.sampled_from(["2025-11-25T12:00:00Z", "2025-11-25T12:00:00.000001+00:00", NOON, NOON - 1_000]),
    "tags": TEXTS,
    "marks": NUMBERS,
}
OPERATORS = [sign + name for name in ("eq", "startsWith", "endsWith", "contains", "in") for sign in ("", "!")]
OPERATORS += ["lt", "leq", "gt", "geq"]
NULLS = ["isNull", "!isNull"]


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    if depth and draw(st.booleans()):
        return {draw(st.sampled_from(["and", "or"])): draw(st.lists(conditions(depth - 1), min_size=1, max_size=3))}
    key, operator = draw(st.sampled_from(sorted(VALUES))), draw(st.sampled_from([*OPERATORS, *NULLS]))
    if operator in NULLS:
        return {"key": key, "operator": operator}
    values = ASKED[key]
    return {
        "key": key,
        "operator": operator,
        "value": draw(st.lists(values, min_size=1, max_size=3) if operator.endswith("in") else values),
    }


ROW = st.fixed_dictionaries({name: st.none() | each for name, each in VALUES.items()})
ROWS = st.lists(ROW, min_size=1, max_size=8)


def at_rest(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a sorted block has them, and then as a data file does."""
    schema = sorted_schema(KINDS)
    own = {"_received": NOON, "_src_topic": "t", "_src_partition": 0, "_src_row": 0}
    whole = [{**own, "_src_offset": at, **row} for at, row in enumerate(rows)]
    columns = {field.name: pa.array([row.get(field.name) for row in whole], field.type) for field in schema}
    return parquet.at_rest(pa.table(columns, schema), KINDS)


def by_sql(rows: pa.Table, condition: str) -> list[int]:
    whole = file_schema(KINDS)
    columns = {f.name: rows[f.name] if f.name in rows.schema.names else pa.nulls(rows.num_rows, f.type) for f in whole}
    context = datafusion.SessionContext(
        datafusion.SessionConfig({"datafusion.sql_parser.enable_ident_normalization": "false"})
    )
    context.from_arrow(pa.table(columns, whole), "kinds")
    checked = check(f'SELECT "_src_offset" FROM kinds WHERE {condition} ORDER BY 1', {"kinds": KINDS})
    found: list[int] = context.sql(rewrite(checked, {"kinds": KINDS})).to_pydict()["_src_offset"]
    return found


def by_columns(rows: pa.Table, where: Any, text: str) -> list[int]:
    mask = Match(where, text, KINDS)(rows)
    found: list[int] = (rows if mask is None else rows.filter(pa.array(mask)))["_src_offset"].to_pylist()
    return found


@hypothesis_settings(max_examples=examples(200))
@given(ROWS, conditions())
@example([{"tags": ["a", None]}, {"tags": []}, {}], {"key": "tags", "operator": "!contains", "value": "b"})
@example([{"tags": []}, {"text": ""}, {}], {"or": [{"key": k, "operator": "isNull"} for k in ("tags", "text")]})
@example([{"tags": []}, {"text": ""}, {}], {"key": "part", "operator": "!isNull"})
@example([{"at": NOON - 1_500}], {"key": "at", "operator": "lt", "value": NOON - 1_000})
def test_a_filter_over_columns_matches_what_its_sql_matches(rows: list[dict[str, Any]], where: dict[str, Any]) -> None:
    condition = ""
    with contextlib.suppress(Refused):
        condition = filters.condition({"where": where}, KINDS)
    if not condition:
        with pytest.raises(Refused, match="where"):
            Match(where, "", KINDS)
        return
    at = at_rest(rows)
    assert by_columns(at, where, "") == by_sql(at, condition)


@hypothesis_settings(max_examples=examples(50))
@given(ROWS, TEXTS.filter(bool))
def test_free_text_over_columns_finds_what_contains_text_finds(rows: list[dict[str, Any]], text: str) -> None:
    at = at_rest(rows)
    assert by_columns(at, None, text) == by_sql(at, f"contains_text({quoted(text)})")


def test_rows_in_several_pieces_are_matched_as_one() -> None:
    first, second = [{"tags": ["a"], "text": "x"}], [{"tags": ["b", "a"]}, {"tags": []}, {"text": "y"}]
    rows = [at_rest(first), at_rest(second).slice(1)]
    whole = pa.concat_tables(rows, promote_options="default")
    mask = Match({"key": "tags", "operator": "contains", "value": "a"}, "", KINDS)(whole)
    assert mask is not None
    assert mask.tolist() == [True, False, False]
