"""Which SQL may run, and how it is told why not."""

from __future__ import annotations

import pytest

from logflume.errors import Refused
from logflume.explore.check import MOST_CHARACTERS, check

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
