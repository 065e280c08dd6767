"""Which SQL may run, and how it is told why not."""

from __future__ import annotations

import contextlib
from functools import partial

import pytest
import sqlglot

from logflume.errors import Refused
from logflume.explore.check import DIALECT, MOST_CHARACTERS, check
from tests.support.calls import calls

TABLES = ("http_requests", "firewall_events")


@pytest.mark.parametrize(
    ("sql", "tables", "limited"),
    [
        ("SELECT 1", set(), False),
        ("select RayID from http_requests limit 5", {"http_requests"}, True),
        ("SELECT * FROM (SELECT * FROM http_requests LIMIT 5) t", {"http_requests"}, False),
        ("SELECT a FROM http_requests UNION ALL SELECT a FROM firewall_events LIMIT 3", set(TABLES), True),
        (
            "WITH a AS (SELECT * FROM http_requests) SELECT * FROM a JOIN firewall_events f USING (RayID)",
            set(TABLES),
            False,
        ),
        ("SELECT RequestHeaders['x'], count(*) FILTER (WHERE a > 1) FROM http_requests", {"http_requests"}, False),
        ("SELECT u FROM http_requests, UNNEST(BotTags) AS t(u)", {"http_requests"}, False),
        (
            "SELECT \"RayID\" FROM \"http_requests\" WHERE a ~ 'b;c' AND ts > now() - interval '1 hour'",
            {"http_requests"},
            False,
        ),
    ],
)
def test_one_select_over_own_tables_may_run(sql: str, tables: set[str], limited: bool) -> None:
    checked = check(sql, TABLES)
    assert (checked.sql, checked.tables, checked.limited) == (sql, tables, limited)


def test_a_closing_semicolon_is_taken_off_but_none_in_a_text() -> None:
    assert check("SELECT ';' FROM http_requests; -- done; really", TABLES).sql == "SELECT ';' FROM http_requests"


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("", "exactly one SELECT may run, these are 0"),
        ("SELECT 1; SELECT 2", "exactly one SELECT may run, these are 2"),
        ("SELECT 1; DROP TABLE http_requests", "these are 2"),
        ("DROP TABLE http_requests", "no DROP, at line 1, column 1"),
        ("DELETE FROM http_requests", "no DELETE"),
        ("INSERT INTO http_requests SELECT 1", "no INSERT"),
        ("COPY http_requests TO '/tmp/x'", "no COPY"),
        ("COPY (SELECT 1) TO '/tmp/x'", "no COPY"),
        ("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'", "no CREATE"),
        ("EXPLAIN SELECT 1", "no EXPLAIN"),
        ("SET datafusion.execution.batch_size = 1", "no SET"),
        ("SHOW TABLES", "no SHOW"),
        ("WITH x AS (DELETE FROM http_requests RETURNING *) SELECT * FROM x", "no DELETE at line 1, column 24"),
        ("SELECT * INTO other FROM http_requests", "no INTO"),
        (
            "SELECT *\nFROM\n  secrets",
            "no table 'secrets' at line 3, column 3; there are: firewall_events, http_requests",
        ),
        ("SELECT * FROM HTTP_requests", "did you mean http_requests"),
        ("SELECT * FROM other.http_requests", "named by its dataset alone, not 'other.http_requests' at line 1"),
        ("SELECT * FROM information_schema.tables", "named by its dataset alone"),
        ("SELECT * FROM '/etc/passwd'", "no table '/etc/passwd' at line 1, column 15"),
        ("SELECT * FROM read_csv('/etc/passwd')", "no functions at line 1"),
        ("SELECT * FROM http_requests, generate_series(1, 1000000000000)", "no functions at line 1"),
        ("SELECT (SELECT max(a) FROM secrets) FROM http_requests", "no table 'secrets'"),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM secrets)", "no table 'secrets'"),
        ("SELECT FROM WHERE", "not understood at line 1"),
        ("SELECT 'open", "not understood"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "nested too deeply"),
        ("SELECT '" + "x" * MOST_CHARACTERS + "'", "characters"),
    ],
)
def test_anything_else_is_refused_with_its_place(sql: str, message: str) -> None:
    with pytest.raises(Refused) as refused:
        check(sql, TABLES)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("sql", "gathers"),
    [
        ("SELECT * FROM http_requests ORDER BY a LIMIT 100", False),
        ("SELECT lower(a) FROM http_requests WHERE b > 1", False),
        ("SELECT count(*) FROM http_requests", True),
        ("SELECT a FROM http_requests GROUP BY a", True),
        ("SELECT DISTINCT a FROM http_requests LIMIT 5", True),
        ("WITH t AS (SELECT max(a) AS m FROM http_requests) SELECT * FROM t", True),
    ],
)
def test_it_is_known_whether_all_rows_are_read_before_the_first_comes(sql: str, gathers: bool) -> None:
    assert check(sql, TABLES).gathers is gathers


def test_a_query_of_many_ctes_and_many_tables_takes_no_longer_than_its_reading() -> None:
    query = "WITH " + ",".join(f"c{n} AS (SELECT 1)" for n in range(400)) + " SELECT 1 FROM "
    query += ",".join(["http_requests"] * 800)
    reading = calls(lambda: sqlglot.parse(query, dialect=DIALECT))
    calls(lambda: check(query, TABLES), most=4 * reading)


@pytest.mark.parametrize(
    "after",
    [
        "http_requests, LATERAL read_csv('/etc/passwd') x",
        "http_requests CROSS JOIN LATERAL read_csv('/etc/passwd') AS x(line)",
        "http_requests LEFT JOIN LATERAL read_csv('/etc/passwd') x ON true",
        "http_requests, LATERAL (SELECT * FROM read_parquet('x')) x",
        "http_requests, LATERAL (SELECT 1 FROM http_requests, LATERAL f()) x",
        "http_requests, LATERAL f()",
        "LATERAL FLATTEN(x) t",
        "http_requests LATERAL VIEW explode(x) t",
        "http_requests CROSS APPLY read_csv('x') t",
        "http_requests OUTER APPLY f() t",
        "http_requests NATURAL JOIN f()",
        "http_requests JOIN (http_requests b CROSS JOIN LATERAL f(1)) ON true",
        "http_requests, read_csv('x') WITH ORDINALITY",
        "http_requests, TABLE(read_csv('x')) t",
        "ROWS FROM (read_csv('x'))",
        "(read_csv('x'))",
        "((read_csv('x') AS y))",
        "pg_catalog.read_csv('x')",
        "range(1, 1000000000000)",
        "XMLTABLE('x' PASSING x)",
        "JSON_TABLE(x, '$' COLUMNS (a int))",
        "OPENJSON(x)",
        "UNNEST((SELECT array_agg(x) FROM secrets)) t",
        "UNNEST(generate_series(1, 1000000000000)) t",
        "http_requests, LATERAL UNNEST(read_text('x')) t",
        "(SELECT 1) x, LATERAL\tRead_Csv('x')",
    ],
)
@pytest.mark.parametrize(
    "around", ["SELECT * FROM {}", "SELECT (SELECT 1 FROM {})", "WITH w AS (SELECT 1 FROM {}) TABLE w"]
)
def test_no_function_stands_where_a_table_does_however_it_is_spelt(after: str, around: str) -> None:
    with pytest.raises(Refused, match=r"(only tables may stand|UNNEST) after FROM.* at line 1, column \d+"):
        check(around.format(after), TABLES)


@pytest.mark.parametrize(
    "after",
    [
        "http_requests, UNNEST(BotTags) AS t(u)",
        "http_requests h CROSS JOIN LATERAL UNNEST(h.BotTags) AS t(u)",
        "http_requests, UNNEST(ARRAY[1, -2, NULL]) AS t(u)",
        "http_requests h, LATERAL (SELECT h.RayID) t",
        "http_requests JOIN (VALUES (1, 'a')) AS v(n, s) ON true",
    ],
)
def test_own_columns_and_values_may_be_unfolded(after: str) -> None:
    assert check(f"SELECT * FROM {after}", TABLES).tables == {"http_requests"}


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("WITH http_requests AS (SELECT * FROM http_requests) SELECT * FROM http_requests", {"http_requests"}),
        ("WITH a AS (SELECT 1), b AS (SELECT * FROM a) SELECT * FROM b UNION SELECT * FROM a", set()),
        ("WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT * FROM a) SELECT * FROM a", set()),
        (
            "WITH s AS (SELECT 1) SELECT (SELECT * FROM s) FROM (SELECT * FROM s) t WHERE EXISTS (SELECT 1 FROM s)",
            set(),
        ),
        ("WITH b AS (SELECT 1), a AS (WITH c AS (SELECT * FROM b) SELECT * FROM c) SELECT * FROM a", set()),
        ("SELECT (WITH http_requests AS (SELECT 1) TABLE http_requests) FROM firewall_events", {"firewall_events"}),
        ("SELECT (WITH http_requests AS (SELECT 1) TABLE http_requests) FROM http_requests", {"http_requests"}),
    ],
)
def test_a_with_names_tables_where_its_names_are_seen(sql: str, tables: set[str]) -> None:
    assert check(sql, TABLES).tables == tables


@pytest.mark.parametrize(
    "sql",
    [
        "WITH secrets AS (SELECT * FROM secrets) SELECT * FROM secrets",
        "WITH a AS (SELECT * FROM secrets), secrets AS (SELECT 1) SELECT * FROM a",
        "SELECT (WITH secrets AS (SELECT 1) SELECT * FROM secrets) FROM secrets",
        "SELECT * FROM (WITH secrets AS (SELECT 1) SELECT * FROM secrets) x, secrets",
        "(WITH secrets AS (SELECT 1) SELECT * FROM secrets) UNION SELECT * FROM secrets",
        "WITH a AS (WITH secrets AS (SELECT 1) SELECT * FROM secrets) SELECT * FROM secrets",
        "WITH Secrets AS (SELECT 1) SELECT * FROM secrets",
    ],
)
def test_a_with_names_no_table_elsewhere(sql: str) -> None:
    with pytest.raises(Refused, match="no table 'secrets' at line 1"):
        check(sql, TABLES)


@pytest.mark.parametrize("before", ["ARRAY[", "STRUCT(", "DATE (", "(SELECT ", "f(", "(", "CASE WHEN ", "-(", "a["])
def test_nothing_makes_the_parser_go_on_for_ever(before: str) -> None:
    """It tries some texts in twice as many ways for each bracket: 18 of them would take seconds, 24 minutes."""
    after = {"CASE WHEN ": " THEN 1 END", "ARRAY[": "]", "a[": "]"}.get(before, ")")

    def checked(sql: str) -> None:
        with contextlib.suppress(Refused):
            check(sql, TABLES)

    for depth in (8, 12, 16, 18, 40, 90):
        nested = partial(checked, f"SELECT {before * depth}1{after * depth}")
        calls(nested, most=1_000_000)  # a third of it at most


@pytest.mark.parametrize("depth", [2, 4])
def test_usual_nesting_is_understood(depth: int) -> None:
    sql = "SELECT " + "ARRAY[" * depth + "DATE ('2025-11-25')" + "]" * depth + " FROM http_requests"
    assert check(sql, TABLES).tables == {"http_requests"}


def test_a_name_of_several_tables_stands_for_none() -> None:
    sql = "SELECT (SELECT max(a) FROM firewall_events x), y.a FROM http_requests x, firewall_events y"
    assert check(sql, TABLES).aliases == {"x": "", "y": "firewall_events"}
