"""``time_bucket`` and ``contains_text`` become the engine's own, and nothing else of a query changes."""

from __future__ import annotations

import datafusion
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from logflume.errors import Refused
from logflume.explore.check import check
from logflume.explore.rewrite import rewrite
from logflume.model.dataset import Dataset, Field, FieldType

HOSTS = Dataset(
    "hosts",
    (
        Field("time", FieldType.TIMESTAMP),
        Field("Host", FieldType.STRING, dictionary=True),
        Field("n", FieldType.INT),
        Field("tags", FieldType.STRINGS),
    ),
    time_field="time",
)
EVENTS = Dataset("events", (Field("time", FieldType.TIMESTAMP), Field("message", FieldType.STRING)), time_field="time")
DATASETS = {"hosts": HOSTS, "events": EVENTS}


def written(sql: str) -> str:
    return rewrite(check(sql, DATASETS), DATASETS)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'time_bucket(' AS a, 'it''s contains_text(''x'')' FROM hosts",
        'SELECT "time_bucket" FROM (SELECT 1 AS "time_bucket") x',
        'SELECT x."contains_text" AS "contains_text(""a"")" FROM hosts x',
        "SELECT 1 -- contains_text('a'), time_bucket('5 minutes', t)\nFROM hosts /* contains_text('b') */",
        "SELECT time_bucket, contains_text FROM hosts",
        "SELECT $$contains_text('a')$$ FROM hosts",
    ],
)
def test_a_name_in_a_text_a_quoted_name_or_a_comment_is_no_function(sql: str) -> None:
    assert written(sql) == sql


@pytest.mark.parametrize(
    ("sql", "means"),
    [
        ("SELECT time_bucket('5 minutes', time) FROM hosts", "SELECT date_bin(INTERVAL '5 minutes', time) FROM hosts"),
        ("SELECT '東京 😀', TIME_BUCKET ( /* of */ '1 day', h.time )", None),
        ("SELECT max(time_bucket('1 h', time_bucket('1 s', time))) FROM hosts", None),
    ],
)
def test_a_bucket_is_the_engines_bin(sql: str, means: str | None) -> None:
    expected = (
        means
        or {
            "SELECT '東": "SELECT '東京 😀', date_bin ( /* of */ INTERVAL '1 day', h.time )",
            "SELECT max": "SELECT max(date_bin(INTERVAL '1 h', date_bin(INTERVAL '1 s', time))) FROM hosts",
        }[sql[:9] if sql[8] == "東" else sql[:10]]
    )
    assert written(sql) == expected


def test_a_text_is_looked_for_in_every_text_field_of_the_row() -> None:
    assert written("SELECT 1 FROM hosts AS h WHERE contains_text('a') AND n > 1") == (
        """SELECT 1 FROM hosts AS h WHERE (coalesce("Host" ILIKE '%a%', false) OR """
        """coalesce("_extra" ILIKE '%a%', false)) AND n > 1"""
    )


def test_of_several_tables_it_says_whose_text_and_each_has_its_own_fields() -> None:
    sql = written(
        "SELECT 1 FROM hosts JOIN events AS e USING (time) WHERE contains_text(e, 'a') OR contains_text(hosts, 'b')"
    )
    assert """("e"."message" ILIKE '%a%'""" in sql
    assert """("hosts"."Host" ILIKE '%b%'""" in sql
    with pytest.raises(
        Refused, match=r"contains_text at line 2, column 7 must say whose text, as here are events, hosts"
    ):
        written("SELECT 1 FROM hosts JOIN events USING (time)\nWHERE contains_text('a')")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("contains_text(other, 'a')", "no table is called 'other' here"),
        ("contains_text(hosts, 'a')", "no table is called 'hosts' here"),  # it goes by h
        ("contains_text('h', 'a', 'b')", "takes a text, or a table's name and a text"),
        ("contains_text('a' || 'b')", "takes a text"),
        ("contains_text(h 'a')", "takes a text|not understood"),
        ("contains_text(h, Host)", "takes a text"),
        ("contains_text()", "takes a text"),
        ("contains_text(E'a')", "takes a text"),
        ("contains_text(h, $$a$$)", "takes a text"),
        ("time_bucket(INTERVAL '1 day', time)", "takes a width such as '5 minutes', and a time"),
        ("time_bucket()", "takes a width"),
    ],
)
def test_another_use_is_refused_with_its_place(call: str, message: str) -> None:
    with pytest.raises(Refused, match=message) as refused:
        written(f"SELECT 1 FROM hosts AS h WHERE {call}")
    assert "line 1, column " in str(refused.value)


def test_a_name_of_two_tables_is_refused() -> None:
    sql = "SELECT (SELECT count(*) FROM events x) FROM hosts x WHERE contains_text(x, 'a')"
    with pytest.raises(Refused, match="several tables are called 'x' here"):
        written(sql)


def test_a_tables_name_can_write_no_sql() -> None:
    """The text was checked before: what stands in a quoted name must stay one."""
    alias = '"x"" ILIKE NULL) FROM secrets --"'
    sql = written(f"SELECT 1 FROM hosts AS {alias} WHERE contains_text({alias}, 'a')")
    assert check(sql, DATASETS).tables == {"hosts"}


WORDS = st.text(st.sampled_from("aB'\"%_\\é東\n;-"), max_size=5)


@settings(max_examples=30)
@given(WORDS, st.lists(st.none() | st.text(st.sampled_from("aB'\"%_\\éÉ東\n;-"), max_size=8), min_size=1, max_size=6))
def test_a_text_is_found_as_it_stands_whatever_signs_it_has_and_in_any_case(word: str, texts: list[str | None]) -> None:
    literal = word.replace("'", "''")
    config = datafusion.SessionConfig({"datafusion.sql_parser.enable_ident_normalization": "false"})
    context = datafusion.SessionContext(config.with_target_partitions(1))
    table = pa.table(
        {"id": range(len(texts)), "message": pa.array(texts, pa.string()), "_extra": pa.nulls(len(texts), pa.string())}
    )
    context.register_record_batches("events", [table.to_batches()])
    found = context.sql(written(f"SELECT id FROM events WHERE contains_text('{literal}')")).to_arrow_table()
    expected = [n for n, text in enumerate(texts) if text is not None and word.lower() in text.lower()]
    assert sorted(found.column("id").to_pylist()) == expected
