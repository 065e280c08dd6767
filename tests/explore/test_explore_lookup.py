"""Rows picked by their ids, and queries that are mere lookups: the same answers as the engine's own. PI1, PI2."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from logflume.errors import LogflumeError, Refused, Retryable
from logflume.explore import choice, picking, query
from logflume.explore.engine.spares import Spares
from logflume.explore.span import Span, read
from logflume.model.dataset import Dataset, Field, FieldType
from logflume.table import parquet
from logflume.table.ids import granules
from logflume.table.store import Store
from tests.support.asking import Answered, Asking, forks
from tests.support.indexes import extended, without_filters
from tests.support.tables import DAY, NOON, SMALL, append

OTHER = Dataset("events", (Field("RayID", FieldType.STRING), Field("time", FieldType.TIMESTAMP)), time_field="time")
WIDER = Dataset(SMALL.name, (*SMALL.fields, Field("New", FieldType.INT)), "EdgeStartTimestamp", id_field="RayID")
LOOKUPS = [
    "SELECT * FROM http_requests WHERE \"RayID\" = '1-2'",
    "SELECT * FROM http_requests WHERE RayID = '1-2'",
    "SELECT * FROM http_requests WHERE '1-2' = RayID",
    "SELECT * FROM http_requests WHERE RayID = 'nobody'",
    "SELECT * FROM http_requests WHERE RayID = ''",
    "SELECT * FROM http_requests WHERE RayID = 'it''s'",
    "SELECT * FROM http_requests WHERE RayID = '1-2' LIMIT 5",
    "SELECT * FROM http_requests WHERE RayID = 'twice'",
    "SELECT EdgeResponseStatus, \"RayID\" FROM http_requests WHERE RayID = '1-2' ORDER BY EdgeStartTimestamp DESC",
    "SELECT _date, RequestHeaders, BotTags FROM http_requests WHERE http_requests.RayID = '1-2';",
    "SELECT http_requests.New FROM http_requests WHERE RayID = '1-2' -- a comment",
]
OTHERS = [
    "SELECT * FROM http_requests WHERE RayID = 'twice' ORDER BY EdgeStartTimestamp DESC",
    "SELECT * FROM http_requests WHERE RayID = 'twice' ORDER BY EdgeStartTimestamp LIMIT 1",
    "SELECT * FROM http_requests WHERE RayID = 'twice' ORDER BY EdgeStartTimestamp OFFSET 1",
    "SELECT * FROM http_requests WHERE RayID = '1-2' LIMIT 0",
    "SELECT RayID AS id FROM http_requests WHERE RayID = '1-2'",
    "SELECT RayID, EdgeResponseStatus + 1 FROM http_requests WHERE RayID = '1-2'",
    "SELECT DISTINCT RayID FROM http_requests WHERE RayID = 'twice'",
    "SELECT count(*) FROM http_requests WHERE RayID = 'twice'",
    "SELECT * FROM http_requests WHERE RayID = '1-2' AND EdgeResponseStatus = 500",
    "SELECT * FROM http_requests WHERE RayID = '1-2' AND _date = DATE '2025-11-26'",
    "SELECT RayID FROM http_requests WHERE RayID IN ('1-2', '0-1', 'nobody') ORDER BY 1",
    "SELECT r.RayID FROM http_requests AS r WHERE r.RayID = '1-2'",
    "SELECT RayID FROM (SELECT * FROM http_requests WHERE RayID = '1-2') AS found",
    "WITH found AS (SELECT * FROM http_requests WHERE RayID = '1-2') SELECT count(*) FROM found",
    "SELECT RayID FROM http_requests WHERE RayID = '1-2' UNION ALL SELECT 'more'",
    "SELECT a.RayID, b.time FROM http_requests AS a JOIN events AS b ON a.RayID = b.RayID WHERE a.RayID = '1-2'",
    "SELECT RayID FROM http_requests WHERE RayID = '1-2' GROUP BY RayID HAVING count(*) > 0",
    "SELECT * FROM http_requests WHERE RayID = '1-2' AND contains_text('www')",
]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three files of acme; two rows of two files have one id. Their index lacks the last."""
    made = Store(f"file://{tmp_path}")
    for day in range(3):
        if day == 2:
            extended(made)
        append(
            made,
            [f"{day}-{n}" for n in range(4)] + (["twice"] if day else ["it's"]),
            upto=10 * day + 10,
            times=[NOON + day * DAY + n for n in range(5)],
            EdgeResponseStatus=[200, 403, 500, None, 200],
            ClientRequestHost=[f"www.{day}.example"] * 5,
            RequestHeaders=[[("a", f"{day}"), ("b", None)], None, [], [("x", "y")], None],
            BotTags=[["one", "two"], [], None, ["three"], None],
        )
    append(made, ["1-2"], dataset=OTHER)
    append(made, ["1-2"], tenant="globex")
    return made


@pytest.fixture
def ask(store: Store) -> Asking:
    return Asking(store, {"http_requests": WIDER, "events": OTHER})


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An entry for each query that a process ran."""
    seen: list[str] = []
    take = Spares.take

    async def heard(self: Spares) -> Any:
        seen.append("one")
        return await take(self)

    monkeypatch.setattr(Spares, "take", heard)
    return seen


def by_the_engine(monkeypatch: pytest.MonkeyPatch, ask: Asking, sql: str, **more: Any) -> Answered:
    with monkeypatch.context() as patch:
        patch.setattr(picking, "MOST_FILES", -1)
        return ask("acme", sql, **more)


def rows(answer: Answered) -> list[Any]:
    return sorted(answer.table.to_pylist(), key=str)


@pytest.mark.parametrize("sql", LOOKUPS)
def test_a_lookup_has_the_engines_answer_without_the_engine(
    ask: Asking, monkeypatch: pytest.MonkeyPatch, processes: list[str], sql: str
) -> None:
    found = ask("acme", sql)
    assert processes == []
    theirs = by_the_engine(monkeypatch, ask, sql)
    assert len(processes) == 1
    assert found.table.schema == theirs.table.schema
    assert rows(found) == rows(theirs)
    assert found.table.num_rows == {"nobody": 0, "= ''": 0, "twice": 2}.get(
        next((word for word in ("nobody", "= ''", "twice") if word in sql), ""), 1
    )
    assert (found.scanned.files, found.scanned.of_files) == (theirs.scanned.files, theirs.scanned.of_files)


@pytest.mark.parametrize("sql", OTHERS)
def test_any_other_query_is_the_engines_over_the_rows_that_were_picked(
    ask: Asking, monkeypatch: pytest.MonkeyPatch, processes: list[str], sql: str
) -> None:
    found = ask("acme", sql)
    assert len(processes) == 1
    theirs = by_the_engine(monkeypatch, ask, sql)
    assert found.table.schema == theirs.table.schema
    assert found.table.to_pylist() == theirs.table.to_pylist()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT nothing FROM http_requests WHERE RayID = '1-2'",
        "SELECT rayid FROM http_requests WHERE RayID = '1-2'",
        "SELECT RayID FROM http_requests WHERE RayID = '1-2' ORDER BY nothing",
        "SELECT events.RayID FROM http_requests WHERE RayID = '1-2'",
        "SELECT RayID, RayID FROM http_requests WHERE RayID = '1-2'",
    ],
)
def test_what_is_wrong_with_a_lookup_is_said_by_the_engine(ask: Asking, processes: list[str], sql: str) -> None:
    with pytest.raises(Refused):
        ask("acme", sql)
    assert len(processes) == 1


def test_a_lookup_within_a_time_range_is_the_engines(ask: Asking, processes: list[str]) -> None:
    sql = "SELECT * FROM http_requests WHERE RayID = 'twice'"
    day = read("2025-11-26", "2025-11-27", datetime.now(UTC))
    assert ask("acme", sql, span=day).table.num_rows == 1
    assert ask("acme", sql, span=Span()).table.num_rows == 2
    assert len(processes) == 1


def test_a_lookup_is_cut_at_the_limit_and_says_so(ask: Asking) -> None:
    found = ask("acme", "SELECT * FROM http_requests WHERE RayID = 'twice'", limit=1)
    assert (found.table.num_rows, found.limited) == (1, True)


def test_pi1_rows_of_files_that_the_table_has_no_more_are_not_found(store: Store, ask: Asking) -> None:
    extended(store)
    sql = "SELECT RayID FROM http_requests WHERE RayID = '1-2'"
    assert ask("acme", sql).table.num_rows == 1
    DeltaTable(store.uri(store.table("acme", "http_requests"))).delete("\"RayID\" = '1-2'")
    assert ask("acme", sql).table.num_rows == 0
    assert ask("acme", "SELECT RayID FROM http_requests WHERE RayID = '1-3'").table.num_rows == 1


def test_the_index_that_was_read_last_is_asked_ahead_and_believed_only_if_it_stands(store: Store, ask: Asking) -> None:
    extended(store)
    sql = "SELECT RayID FROM http_requests WHERE RayID = '{}'"
    with query.opened(ask.settings, store, ask.datasets, forks=forks()) as explorer:

        def found(id: str) -> int:
            with explorer.query("acme", sql.format(id)) as result:
                return result.read_all().num_rows

        assert [found("1-2"), found("1-3"), found("new")] == [1, 1, 0]
        append(store, ["new"], upto=200)
        assert found("new") == 1
        extended(store)
        assert [found("new"), found("1-2")] == [1, 1]
        shutil.rmtree(store.full(store.table("acme", "http_requests") + "/_ids"))
        assert [found("new"), found("1-2"), found("nobody")] == [1, 1, 0]


def test_what_was_read_of_a_file_is_kept(store: Store, ask: Asking) -> None:
    extended(store)
    with query.opened(ask.settings, store, ask.datasets, forks=forks()) as explorer:

        def found(id: str) -> tuple[int, int]:
            with explorer.query("acme", f"SELECT * FROM http_requests WHERE RayID = '{id}'") as result:
                return result.read_all().num_rows, result.scanned.bytes

        (first, read), (again, read_again), (other, read_other) = found("1-2"), found("1-2"), found("0-2")
        assert (first, again, other) == (1, 1, 1)
        assert read_again < 300 < min(read, read_other)  # the index is asked each time


@pytest.mark.parametrize("known", [True, False])
def test_of_files_of_many_pages_and_granules_each_row_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: list[str], known: bool
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 17)
    monkeypatch.setattr(parquet, "_PAGE_ROWS", 4)
    monkeypatch.setattr(parquet, "_SMALL_ROWS", 0)
    monkeypatch.setattr(granules, "ROWS", 6)
    made = Store(f"file://{tmp_path}")
    ids = [f"id-{number % 90}" for number in range(100)]
    statuses = list(range(100))
    append(made, ids, upto=1_000, times=[NOON + n for n in range(100)], EdgeResponseStatus=statuses)
    if known:
        extended(made)
    with query.opened(
        Asking(made, {"http_requests": SMALL}).settings, made, {"http_requests": SMALL}, forks=forks()
    ) as explorer:
        for number in range(92):
            with explorer.query("acme", f"SELECT * FROM http_requests WHERE RayID = 'id-{number}'") as result:
                found = result.read_all().column("EdgeResponseStatus").to_pylist()
            assert sorted(found) == [status for status in statuses if ids[status] == f"id-{number}"]
    assert processes == []


def test_pi1_another_tenants_rows_are_not_found(ask: Asking) -> None:
    [row] = ask("globex", "SELECT * FROM http_requests WHERE RayID = '1-2'").table.to_pylist()
    assert row["EdgeResponseStatus"] is None
    assert ask("globex", "SELECT * FROM http_requests WHERE RayID = '1-3'").table.num_rows == 0


@pytest.mark.parametrize("trouble", ["many", "broken", "slow"])
def test_pi2_what_can_not_be_picked_the_engine_finds(
    ask: Asking, monkeypatch: pytest.MonkeyPatch, processes: list[str], trouble: str
) -> None:
    if trouble == "many":
        monkeypatch.setattr(picking, "MOST_FILES", 0)
    elif trouble == "slow":
        monkeypatch.setattr(picking, "_SECONDS", 0.0)
    else:

        async def broken(*_: Any) -> Any:
            raise picking.Broken("not ours")

        monkeypatch.setattr(picking.picked, "pick", broken)
    assert ask("acme", "SELECT * FROM http_requests WHERE RayID = '1-2'").table.num_rows == 1
    assert len(processes) == 1


def test_pi2_a_value_that_is_none_of_its_columns_is_told_of_by_the_engine(
    ask: Asking, monkeypatch: pytest.MonkeyPatch, processes: list[str]
) -> None:
    def other(*_: Any) -> Any:
        raise pa.ArrowInvalid("out of bounds")

    monkeypatch.setattr(picking.Rows, "seen", other)
    assert ask("acme", "SELECT * FROM http_requests WHERE RayID = '1-2'").table.num_rows == 1
    assert len(processes) == 1


def test_few_files_are_picked_from_at_once(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0
    pick = picking.picked.pick

    async def counted(*given: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(0)
            return await pick(*given)
        finally:
            running -= 1

    monkeypatch.setattr(picking.picked, "pick", counted)
    monkeypatch.setattr(picking, "_AT_ONCE", 2)
    ids = "'0-1', '1-1', '2-1', 'twice'"
    assert ask("acme", f"SELECT count(*) AS n FROM http_requests WHERE RayID IN ({ids})").table.to_pylist() == [
        {"n": 5}
    ]
    assert most == 2


def test_pi2_a_file_that_is_gone_is_told_of_by_the_engine(store: Store, ask: Asking) -> None:
    path = store.table("acme", "http_requests")
    for file in Path(store.full(path)).glob("_date=*/*.parquet"):
        file.unlink()
    with pytest.raises(Retryable, match="the table has changed while it was read"):
        ask("acme", "SELECT * FROM http_requests WHERE RayID = '1-2'")


def test_files_without_filters_are_picked_from_all_the_same(
    store: Store, ask: Asking, monkeypatch: pytest.MonkeyPatch, processes: list[str]
) -> None:
    encode = parquet.encode
    with monkeypatch.context() as patch:
        patch.setattr(parquet, "encode", lambda rows, dataset: without_filters(rows, dataset, encode))
        append(store, ["strange"], upto=100)
    found = ask("acme", "SELECT RayID FROM http_requests WHERE RayID = 'strange'")
    assert (found.table.num_rows, found.scanned.files, processes) == (1, 1, [])


def test_a_query_that_fails_while_it_looks_leaves_nothing_behind(ask: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    leave = choice.Searches.__exit__

    def heard(self: choice.Searches, *more: object) -> None:
        leave(self, *more)
        closed.append(self)

    monkeypatch.setattr(choice.Searches, "__exit__", heard)
    with pytest.raises(LogflumeError):
        ask("nobody", "SELECT * FROM http_requests WHERE RayID = '1-2'")
    assert len(closed) == 1
