"""What a question without a time range is about (RE1 to RE3), and how it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from logflume.cli.main import run
from logflume.explore import recent
from logflume.explore.check import check
from logflume.explore.recent import Range, Why
from logflume.explore.snapshots import Snapshots
from logflume.explore.span import ALWAYS, Recent, Span, asked, read
from logflume.table.store import Store
from tests.support.api import Client
from tests.support.tables import DAY, NOON, SMALL, append

MINUTE = 60_000_000_000
LAST = datetime(2025, 11, 25, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
DATASETS = {"http_requests": SMALL}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Rows at noon, 10 and 20 minutes before, and one day before, in two files."""
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, ["day"], upto=1, times=[NOON - DAY])
    append(store, ["20", "10", "0"], upto=4, times=[NOON - 20 * MINUTE, NOON - 10 * MINUTE, NOON])
    return store


def of(store: Store, sql: str, now: datetime) -> Range:
    checked = check(sql, DATASETS)
    snapshots = {name: Snapshots(store).read("acme", name) for name in checked.tables}
    return recent.of(Recent(QUARTER, now), checked, snapshots, DATASETS)


def test_re3_while_data_comes_it_is_the_last_minutes(store: Store) -> None:
    now = LAST + timedelta(minutes=14)
    found = of(store, "SELECT * FROM http_requests", now)
    assert (found.why, found.span) == (Why.RECENT, Span(now - QUARTER, None))


def test_re3_when_the_data_ended_before_it_is_its_own_last(store: Store) -> None:
    found = of(store, "SELECT * FROM http_requests", LAST + timedelta(days=30))
    assert found.why is Why.ENDED
    assert found.span == Span(LAST - QUARTER, LAST + timedelta(milliseconds=1))


def test_re3_rows_without_a_time_end_by_their_arrival(tmp_path_factory: pytest.TempPathFactory) -> None:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, ["a", "b"], times=[NOON - DAY, None], _received=[NOON + MINUTE] * 2)
    found = of(store, "SELECT * FROM http_requests", LAST + timedelta(days=1))
    assert found.span.until == LAST + timedelta(minutes=1, milliseconds=1)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM http_requests WHERE \"EdgeStartTimestamp\" > '2020-01-01'",
        "SELECT * FROM http_requests WHERE RayID = 'x' OR _received < now()",
        "SELECT count(*) FROM http_requests GROUP BY RayID HAVING max(EdgeStartTimestamp) > now()",
        "SELECT * FROM (SELECT * FROM http_requests WHERE _date = '2025-11-25') AS x",
        "SELECT a.RayID FROM http_requests a JOIN http_requests b ON a.EdgeStartTimestamp = b.EdgeStartTimestamp",
        "SELECT count(*) FILTER (WHERE EdgeStartTimestamp > now()) FROM http_requests",
        "SELECT * FROM http_requests WHERE _src_offset = 1",
    ],
)
def test_re1_what_names_a_time_itself_is_taken_at_its_word(store: Store, sql: str) -> None:
    assert of(store, sql, LAST).why is Why.CONDITION


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT EdgeStartTimestamp FROM http_requests ORDER BY EdgeStartTimestamp",
        "SELECT * FROM http_requests WHERE RayID = 'EdgeStartTimestamp'",
    ],
)
def test_re1_a_time_that_conditions_nothing_counts_not(store: Store, sql: str) -> None:
    assert of(store, sql, LAST).why is Why.RECENT


def test_a_query_without_tables_is_about_everything(store: Store) -> None:
    assert of(store, "SELECT 1", LAST).why is Why.ALL


def test_a_given_range_is_as_asked_and_beginning_is_everything() -> None:
    assert asked("", "", LAST, 900) == Recent(QUARTER, LAST)
    assert asked("", "", LAST, 0) == ALWAYS
    assert asked("beginning", "", LAST, 900) == ALWAYS
    assert asked("", "now", LAST, 900) == Span(None, LAST)
    assert read("beginning", "1h", LAST) == Span(None, LAST - timedelta(hours=1))
    checked = check("SELECT * FROM http_requests", DATASETS)
    assert recent.of(ALWAYS, checked, {}, DATASETS).why is Why.ALL
    assert recent.of(Span(LAST), checked, {}, DATASETS).why is Why.ASKED


# --- as the API tells it; its clock stands three days after the last row ----------------------------------------------


@pytest.fixture
def api(store: Store, runner: asyncio.Runner) -> Iterator[Client]:
    client = Client(store, runner, explore_recent_seconds=900)
    yield client
    client.close()


ENDED = {"since": "2025-11-25T11:45:00Z", "until": "2025-11-25T12:00:00.001000Z", "why": "ended"}
ALL = {"since": None, "until": None, "why": "all"}


def filtered(api: Client, **more: Any) -> Any:
    return api("POST", "/query", json={"dataset": "http_requests", "fields": ["RayID"], **more})


def test_a_filter_without_a_range_is_about_the_datas_last_minutes_and_says_so(api: Client) -> None:
    answer = filtered(api)
    assert [row["RayID"] for row in answer.json()["rows"]] == ["0", "10"]
    assert answer.json()["range"] == ENDED
    assert answer.headers["logflume-range"] == "2025-11-25T11:45:00Z/2025-11-25T12:00:00.001000Z; why=ended"
    whole = filtered(api, since="beginning")
    assert (len(whole.json()["rows"]), whole.json()["range"]) == (4, ALL)
    assert whole.headers["logflume-range"] == "../..; why=all"
    where = {"key": "EdgeStartTimestamp", "operator": "geq", "value": "2025-11-25T00:00:00Z"}
    bounded = filtered(api, where=where).json()
    assert (len(bounded["rows"]), bounded["range"]["why"]) == (3, "condition")


def test_while_data_comes_a_filter_is_about_the_last_minutes(api: Client) -> None:
    api.clock.advance(-3 * 86_400 + 12 * 60)
    told = filtered(api).json()
    assert [row["RayID"] for row in told["rows"]] == ["0"]
    assert told["range"] == {"since": "2025-11-25T11:57:00Z", "until": None, "why": "recent"}


def test_sql_is_about_everything_and_says_so_unless_a_setting_narrows_it(
    api: Client, store: Store, runner: asyncio.Runner
) -> None:
    sql = "SELECT count(*) AS n FROM http_requests"
    told = api.ask(sql)
    assert (told["rows"], told["range"]) == ([{"n": 4}], ALL)
    narrow = Client(store, runner, explore_recent_seconds=900, explore_recent_sql="on")
    told = narrow.ask(sql)
    assert (told["rows"], told["range"]) == ([{"n": 2}], ENDED)
    assert narrow.ask(sql, since="beginning")["rows"] == [{"n": 4}]
    narrow.close()


def test_a_histogram_and_a_fields_values_are_about_the_same_minutes(api: Client) -> None:
    base = "/datasets/http_requests"
    told = api("GET", f"{base}/histogram").json()
    assert (sum(told["counts"]), told["range"]) == (2, ENDED)
    assert (told["since"], told["until"]) == (ENDED["since"], ENDED["until"])
    assert sum(api("GET", f"{base}/histogram?since=beginning").json()["counts"]) == 4
    values = api("GET", f"{base}/fields?values=RayID").json()
    assert (values["distinct"], values["query"]["range"]) == (2, ENDED)
    api.clock.advance(-3 * 86_400 + 12 * 60)
    told = api("GET", f"{base}/histogram").json()
    assert (told["range"]["why"], told["until"], sum(told["counts"])) == ("recent", "2025-11-25T12:12:00Z", 1)


def test_what_is_found_by_an_id_is_looked_for_everywhere(api: Client) -> None:
    assert len(api("GET", "/find/day").json()["records"]) == 1


# --- as the command tells it ------------------------------------------------------------------------------------------


def test_the_commands_footer_says_which_rows_it_is_about(
    store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOGFLUME_STORE_URL", store.url)

    def told(*arguments: str) -> tuple[str, str]:
        assert run(["query", "SELECT count(*) AS n FROM http_requests", "--tenant", "acme", *arguments]) == 0
        found = capfd.readouterr()
        return found.out, found.err

    assert "All rows: everything." in told()[1]
    assert "Rows from 2025-11-25 11:00:00Z: as asked." in told("--since", "2025-11-25T11:00Z")[1]
    monkeypatch.setenv("LOGFLUME_EXPLORE_RECENT_SQL", "on")
    out, said = told("--json")
    assert out == '{"n":2}\n'
    assert "the last 15 minutes that there are, as the data ended before; since=beginning asks of everything" in said
    assert told("--json", "--since", "beginning") == ('{"n":4}\n', "")
