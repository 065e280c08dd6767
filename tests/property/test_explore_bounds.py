"""Which files a query is not handed: none whose rows could change its answer."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import datafusion
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logflume.explore import bounds
from logflume.explore.check import check
from logflume.explore.snapshots import Snapshot
from tests.support.schedules import examples

NOON = datetime(2025, 11, 25, 12, tzinfo=UTC)
STAMP = pa.timestamp("us", tz="UTC")
KINDS = bounds.Kinds(["at", "_received"], ["_date"], ["_src_offset"])
SCHEMA = pa.schema(
    {"id": pa.string(), "at": STAMP, "_received": STAMP, "n": pa.int32(), "_src_offset": pa.int64()}
    | {"_date": pa.date32()}
)


def rows_of(table: str, file: int) -> pa.Table:
    """Four rows, two hours apart; a file a half day. The last has no time, the table ``u`` overlaps ``t`` in part."""
    began = NOON + timedelta(hours=12 * file + (30 if table == "u" else 0))
    times = [began, began + timedelta(hours=2, microseconds=1), began + timedelta(hours=4), None]
    return pa.table(
        {
            "id": [f"{table}{file}{row}" for row in range(4)],
            "at": times,
            "_received": [NOON + timedelta(days=2, hours=file)] * 4,
            "n": [(file + row) % 5 for row in range(4)],
            "_src_offset": range(4 * file, 4 * file + 4),
            "_date": [began.date()] * 4,
        },
        SCHEMA,
    )


@cache
def files_of(table: str) -> list[pa.Table]:
    return [rows_of(table, file) for file in range(5)]


def snapshot(table: str) -> Snapshot:
    """What Delta's log says of the files; of the last of them only its day."""
    files = files_of(table)
    columns: dict[str, list[Any]] = {"path": list(range(len(files))), "partition._date": []}
    for number, file in enumerate(files):
        columns["partition._date"].append(file.column("_date")[0].as_py())
        for name in ("at", "_received", "_src_offset"):
            values = [value for value in file.column(name).to_pylist() if value is not None]
            known = number < len(files) - 1
            columns.setdefault(f"min.{name}", []).append(min(values) if known else None)
            columns.setdefault(f"max.{name}", []).append(max(values) if known else None)
    return Snapshot(table, 0, SCHEMA, pa.table(columns))


def kept(sql: str) -> dict[str, list[int]]:
    """The files that a query is handed, by table."""
    places = check(sql, ("t", "u")).places
    found = {}
    for name in ("t", "u"):
        within = snapshot(name).within(bounds.of(places[name], KINDS) if name in places else {})
        ids = bounds.texts(places[name], "id") if name in places else None
        found[name] = [number for number in within.column("path").to_pylist() if ids is None or has(name, number, ids)]
    return found


def has(table: str, file: int, ids: frozenset[str]) -> bool:
    """What an index tells, if it is the best."""
    return bool(ids & set(files_of(table)[file].column("id").to_pylist()))


def answer(sql: str, files: dict[str, list[int]]) -> list[Any]:
    config = datafusion.SessionConfig(
        {"datafusion.sql_parser.enable_ident_normalization": "false", "datafusion.execution.time_zone": "UTC"}
    )
    context = datafusion.SessionContext(config.with_target_partitions(1))
    for name, chosen in files.items():
        batches = [batch for number in chosen for batch in files_of(name)[number].to_batches()]
        context.register_record_batches(name, [batches or [pa.RecordBatch.from_pylist([], SCHEMA)]])
    found = context.sql(sql).to_arrow_table()
    return sorted(map(str, zip(*(column.to_pylist() for column in found.columns), strict=True)))


def check_sound(sql: str) -> None:
    every = {name: list(range(len(files_of(name)))) for name in ("t", "u")}
    try:
        whole = answer(sql, every)
    except Exception:  # what the engine does not take has no answer that could be wrong
        return
    assert answer(sql, kept(sql)) == whole


MOMENTS = st.integers(-6, 60).map(lambda hours: NOON + timedelta(hours=hours))
ZONES = st.sampled_from(["", "Z", "+05:00", "-11:30"])


@st.composite
def literals(draw: st.DrawFn, column: str) -> str:
    at: datetime = draw(MOMENTS)
    if column == "id":
        text = f"'{draw(st.sampled_from('tu'))}{draw(st.integers(0, 5))}{draw(st.integers(0, 3))}'"
        return draw(st.sampled_from([text, text, text, f"E{text}", f"{text}::varchar", f"({text})", "NULL", "7", "id"]))
    if column == "_src_offset":
        return draw(st.sampled_from(["-3", "0", "5", "'6'", "7.5", "11", "19", "99999999999", "10000000000000000000"]))
    if column == "_date":
        day = f"'{at.date()}'"
        stamp = f"TIMESTAMP '{at:%Y-%m-%d %H:%M:%S}'"
        return draw(st.sampled_from([day, f"DATE {day}", f"{day}::date", f"CAST({day} AS TIMESTAMP)", stamp, "20418"]))
    text = f"'{at:%Y-%m-%dT%H:%M:%S}{draw(st.sampled_from(['', '.000001', '.9999999']))}{draw(ZONES)}'"
    forms = [
        text,
        f"TIMESTAMP {text}",
        f"{text}::timestamptz",
        f"CAST({text} AS DATE)",
        f"CAST({text} AS TIMESTAMP(0))",
    ]
    return draw(st.sampled_from([*forms, "CAST(20251126 AS TIMESTAMP)", f"({text})", f"'{at.date()}'", "NULL"]))


@st.composite
def conditions(draw: st.DrawFn, alias: str, depth: int = 2) -> str:
    kind = draw(
        st.sampled_from(["compare", "compare", "between", "is", "in"] + ["and", "and", "or", "not"] * (depth > 0))
    )
    if kind in ("and", "or"):
        return f"({f' {kind} '.join(draw(st.lists(conditions(alias, depth - 1), min_size=2, max_size=3)))})"
    if kind == "not":
        return f"NOT {draw(conditions(alias, depth - 1))}"
    name = draw(st.sampled_from(["at", "at", "_received", "_date", "_src_offset", "id", "id"]))
    column = f"{alias}.{name}" if alias and draw(st.integers(0, 5)) else name
    value, other = draw(literals(name)), draw(literals(name))
    if kind == "between":
        return f"{column} {draw(st.sampled_from(['', 'NOT ']))}BETWEEN {value} AND {other}"
    if kind == "is":
        return draw(
            st.sampled_from(
                [f"{column} IS NULL", f"{column} IS DISTINCT FROM {value}", f"({column} < {value}) IS TRUE"]
            )
        )
    if kind == "in":
        return f"{column} {draw(st.sampled_from(['', 'NOT ']))}IN ({value}, {other})"
    sign = draw(st.sampled_from(["<", "<=", ">", ">=", "=", "<>"]))
    return f"{column} {sign} {value}" if draw(st.booleans()) else f"{value} {sign} {column}"


JOINS = ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "LEFT SEMI JOIN", "LEFT ANTI JOIN"]
SHAPES = [
    "SELECT * FROM t WHERE {bare}",
    "SELECT id FROM t x WHERE {x} AND {bare}",
    "SELECT count(*), max(id) FROM t AS x WHERE {x} HAVING count(*) > 2",
    "SELECT id, count(*) OVER (PARTITION BY n) FROM t x WHERE {x}",
    "SELECT * FROM t AS x(id, _received, at, n, _src_offset, _date) WHERE {x}",
    "SELECT * FROM t AS x(a, b, c, d, _date, at) WHERE {x}",
    "SELECT x.id, y.id FROM t x {join} u y ON {on} WHERE {xy}",
    "SELECT x.id, y.id FROM u y {join} t x ON {on} WHERE {xy}",
    "SELECT x.id FROM t x {join} u y ON {on} WHERE {x}",
    "SELECT x.id FROM t x {join} u y USING (at) WHERE {xy}",
    "SELECT x.id, y.id FROM t x {join} t y ON {on} WHERE {xy}",
    "SELECT x.id, y.id FROM t x, u y WHERE x.n = y.n AND {xy}",
    "SELECT x.id, y.id FROM (t x JOIN u y ON {on}) WHERE {xy}",
    "SELECT * FROM (SELECT * FROM t WHERE {bare}) x WHERE {x}",
    "SELECT * FROM (SELECT id, _received AS at, at AS _received, n FROM t) x WHERE {x}",
    "WITH t AS (SELECT * FROM t WHERE {bare}) SELECT * FROM t x WHERE {x}",
    "WITH u AS (SELECT * FROM t) SELECT x.id FROM u x {join} u y ON {on} WHERE {xy}",
    "WITH w AS (SELECT * FROM t x WHERE {x}) SELECT x.id, y.id FROM w x JOIN w y ON x.n = y.n WHERE {y}",
    "SELECT id FROM u y WHERE {exists} (SELECT 1 FROM t x WHERE x.n = y.n AND {xy})",
    "SELECT id FROM t x WHERE {exists} (SELECT 1 FROM u y WHERE x.n = y.n AND {xy})",
    "SELECT id FROM u y WHERE n NOT IN (SELECT n FROM t x WHERE {x}) AND {y}",
    "SELECT (SELECT max(id) FROM t x WHERE {x}) FROM u x WHERE {x}",
    "SELECT id FROM t x WHERE {x} UNION SELECT id FROM u x WHERE {x}",
    "SELECT id FROM t x WHERE {x} EXCEPT SELECT id FROM t x WHERE {x}",
    "SELECT * FROM t x, LATERAL (SELECT max(id) FROM u y WHERE y.n = x.n AND {xy}) z WHERE {x}",
]


@st.composite
def queries(draw: st.DrawFn) -> str:
    """One SELECT in which ``t`` stands somewhere, and conditions on what goes by its names."""
    x, y = conditions("x"), conditions("y")
    parts = {
        "x": x,
        "y": y,
        "bare": conditions(""),
        "xy": st.one_of(x, y, st.tuples(x, st.sampled_from(["AND", "OR"]), y).map(" ".join)),
        "join": st.sampled_from(JOINS),
        "on": st.one_of(st.sampled_from(["x.n = y.n", "x.id = y.id"]), x.map("x.n = y.n AND {}".format)),
        "exists": st.sampled_from(["EXISTS", "NOT EXISTS"]),
    }
    return re.sub(r"\{(\w+)\}", lambda part: draw(parts[part[1]]), draw(st.sampled_from(SHAPES)))


@settings(max_examples=examples(80))
@given(queries())
@example("SELECT id FROM t AS x(id, _received, at, n, _src_offset, _date) WHERE x.at >= '2025-11-27'")
@example("SELECT id FROM t WHERE at >= CAST('2025-11-26T20:00:00' AS DATE)")
@example("SELECT id FROM t WHERE at >= CAST(20251126 AS TIMESTAMP)")
@example("SELECT id FROM t WHERE at >= CAST('2025-11-25T16:00:00.9' AS TIMESTAMP(0))")
@example("SELECT id FROM t AS x(n, id, at, _received, _src_offset, _date) WHERE x.id = 't21'")
@example("SELECT y.id FROM u y LEFT JOIN t x ON x.n = y.n WHERE x.id IS NULL OR x.id = 't21'")
@example("SELECT x.id FROM t x FULL JOIN u y USING (id) WHERE x.id = 't21'")
@example("SELECT id FROM (SELECT n, at AS id FROM t) x WHERE id = 't21'")
@example("SELECT y.id FROM u y LEFT JOIN t x ON x.n = y.n WHERE x.at IS NULL OR x.at > '2025-11-26'")
def test_rows_in_files_that_are_left_out_never_change_an_answer(sql: str) -> None:
    check_sound(sql)


@pytest.mark.parametrize(
    ("sql", "files"),
    [
        ("SELECT 1 FROM t WHERE at >= '2025-11-26T20:00Z' AND n = 1", [3, 4]),
        ("SELECT 1 FROM t WHERE (at < '2025-11-25T23:00Z' AND (n = 1 OR id = ''))", [0, 4]),
        ("SELECT 1 FROM t WHERE TIMESTAMP '2025-11-26 20:00:00+01:00' < at", [3, 4]),
        ("SELECT 1 FROM t WHERE at >= DATE '2025-11-27'", [3, 4]),
        ("SELECT 1 FROM t WHERE _date BETWEEN '2025-11-26' AND '2025-11-26'", [1, 2]),
        ("SELECT 1 FROM t WHERE _src_offset = 5", [1, 4]),
        ("SELECT 1 FROM t WHERE _src_offset > 99999999999999999999", [0, 1, 2, 3, 4]),
        ("SELECT 1 FROM u y LEFT JOIN t AS x ON x.n = y.n WHERE x.at < '2025-11-25 23:00Z'", [0, 4]),
        ("SELECT 1 FROM t JOIN u ON t.n = u.n WHERE at < '2025-11-26'", [0, 1, 2, 3, 4]),  # whose?
        ("SELECT 1 FROM t x JOIN t y ON x.n = y.n WHERE x.at < '2025-11-26'", [0, 1, 2, 3, 4]),
        ("SELECT 1 FROM t WHERE id = 't21' AND n = 1", [2]),
        ("SELECT 1 FROM t WHERE id IN ('t21', 't40') AND at < '2025-11-27T20:00Z'", [2, 4]),
        ("SELECT 1 FROM u y LEFT JOIN t AS x ON x.n = y.n WHERE 't30' = x.id", [3]),
        ("SELECT 1 FROM t JOIN u ON t.n = u.n WHERE id = 't21'", [0, 1, 2, 3, 4]),  # whose?
        ("SELECT 1 FROM t WHERE at < '2025-11-26' OR n = 1", [0, 1, 2, 3, 4]),
        ("SELECT 1 FROM t WHERE NOT at >= '2025-11-26'", [0, 1, 2, 3, 4]),
    ],
)
def test_files_are_left_out_by_what_is_certain(sql: str, files: list[int]) -> None:
    assert kept(sql)["t"] == files


def test_a_limit_past_what_a_column_can_hold_is_no_error() -> None:
    files = pa.table({"path": ["a"], "min._src_partition": pa.array([1], pa.int32()), "max._src_partition": [2]})
    held = Snapshot("t", 0, SCHEMA, files)
    assert held.within({"_src_partition": (None, 5_000_000_000)}).num_rows == 1
    assert held.within({"_src_partition": (5_000_000_000, None)}).num_rows == 0
    assert held.within({"_date": (date(2025, 11, 25), None)}).num_rows == 1
