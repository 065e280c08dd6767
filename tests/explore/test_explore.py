"""Queries over a tenant's tables on a local folder, by the library and by the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from deltalake import DeltaTable, QueryBuilder

from logflume.cli import answer, listing, main
from logflume.cli.main import run
from logflume.errors import Misconfigured, Refused
from logflume.explore import query
from logflume.explore.query import NoTable
from logflume.model.dataset import Dataset, Field, FieldType
from logflume.table.store import Store
from tests.support.asking import Asking, forks
from tests.support.tables import DAY, NOON, SMALL, append

PLAIN = Dataset("events", (Field("time", FieldType.TIMESTAMP),), time_field="time")
DATASETS = {"http_requests": SMALL, "events": PLAIN}
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e[red]"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three files of the tenant acme, a day apart, and one of globex."""
    store = Store(f"file://{tmp_path}")
    for day in range(3):
        names = [f"{day}-{n}" for n in range(4)]
        append(
            store,
            names,
            upto=4 * day + 4,
            times=[NOON + day * DAY + n for n in range(4)],
            EdgeResponseStatus=[200, 403, 200, None],
        )
    append(store, ["theirs"], tenant="globex")
    return store


@pytest.fixture
def ask(store: Store) -> Asking:
    return Asking(store, DATASETS)


def test_a_query_answers_from_the_tenants_rows_alone(ask: Asking) -> None:
    result = ask("acme", "SELECT RayID FROM http_requests WHERE EdgeResponseStatus = 403 ORDER BY RayID")
    assert result.table.to_pydict() == {"RayID": ["0-1", "1-1", "2-1"]}
    assert ask("globex", "SELECT count(*) AS n FROM http_requests").table.to_pylist() == [{"n": 1}]


@pytest.mark.parametrize(
    "where", ["_date = DATE '2025-11-26'", "EdgeStartTimestamp >= '2025-11-26' AND EdgeStartTimestamp < '2025-11-27'"]
)
def test_files_are_skipped_by_date_and_by_time(ask: Asking, where: str) -> None:
    result = ask("acme", f"SELECT RayID FROM http_requests WHERE {where} ORDER BY RayID")
    assert result.table.column("RayID").to_pylist() == ["1-0", "1-1", "1-2", "1-3"]
    assert (result.scanned.files, result.scanned.of_files) == (1, 3)
    assert 0 < result.scanned.bytes < result.scanned.of_bytes


def test_an_id_that_is_not_there_costs_the_end_of_a_file_and_its_bloom_filter(store: Store, ask: Asking) -> None:
    append(store, [f"{n * 0x9E3779B97F4A7C15 % (1 << 64):016x}" for n in range(20_000)], tenant="initech")
    result = ask("initech", "SELECT * FROM http_requests WHERE RayID = 'ffff'")
    assert result.table.num_rows == 0
    assert 0 < result.scanned.bytes < 110_000 < result.scanned.of_bytes


def test_row_groups_are_skipped_by_the_bloom_filter_of_the_id(store: Store) -> None:
    builder = QueryBuilder({"datafusion.sql_parser.enable_ident_normalization": "false"})
    builder.register("t", DeltaTable(store.uri(store.table("acme", "http_requests"))))
    plan = str(
        list(builder.execute("EXPLAIN ANALYZE SELECT * FROM t WHERE RayID = '1-1x'").read_all()["plan"].to_pylist())
    )
    assert "row_groups_pruned_bloom_filter=3 total → 0 matched" in plan


def test_the_limit_bites_only_when_the_query_has_none_and_says_so(ask: Asking) -> None:
    cut = ask("acme", "SELECT * FROM http_requests -- all", limit=5)
    assert (cut.table.num_rows, cut.limited) == (5, True)
    whole = ask("acme", "SELECT * FROM http_requests", limit=12)
    assert (whole.table.num_rows, whole.limited) == (12, False)
    own = ask("acme", "SELECT * FROM http_requests LIMIT 7", limit=5)
    assert (own.table.num_rows, own.limited) == (7, False)


def test_joins_unions_and_subqueries_run(ask: Asking) -> None:
    sql = """WITH bad AS (SELECT RayID FROM http_requests WHERE EdgeResponseStatus = 403)
        SELECT a.RayID FROM http_requests a JOIN bad USING (RayID)
        UNION SELECT max(RayID) FROM http_requests ORDER BY 1"""
    assert ask("acme", sql).table.column(0).to_pylist() == ["0-1", "1-1", "2-1", "2-3"]


def test_a_with_may_narrow_a_table_under_its_own_name(ask: Asking) -> None:
    sql = """WITH http_requests AS (SELECT * FROM http_requests WHERE EdgeResponseStatus = 403)
        SELECT count(*) AS n FROM http_requests"""
    assert ask("acme", sql).table.to_pylist() == [{"n": 3}]


def test_a_table_without_files_answers_with_no_rows(store: Store, ask: Asking) -> None:
    DeltaTable(store.uri(store.table("acme", "http_requests"))).delete()
    result = ask("acme", "SELECT RayID FROM http_requests")
    assert result.table.num_rows == 0
    assert result.table.schema.names == ["RayID"]
    assert (result.scanned.files, result.scanned.of_files) == (0, 0)


def test_a_table_that_is_not_there_yet_is_told(ask: Asking) -> None:
    with pytest.raises(NoTable, match="nothing of the tenant 'acme' has come to rest in events yet"):
        ask("acme", "SELECT * FROM events")


def test_an_unknown_column_is_told_with_those_that_there_are(ask: Asking) -> None:
    with pytest.raises(Refused, match=r"No field named rayid(.|\n)*RayID"):
        ask("acme", "SELECT rayid FROM http_requests")


def test_an_error_while_it_runs_is_told(ask: Asking) -> None:
    with pytest.raises(Refused, match="Divide by zero"):
        ask("acme", "SELECT 1 / (EdgeResponseStatus - 200) FROM http_requests")


def test_no_tenants_name_reaches_another_folder(ask: Asking) -> None:
    with pytest.raises(Misconfigured):
        ask("../acme", "SELECT 1")


def test_a_record_is_found_by_its_id(ask: Asking) -> None:
    found = ask.find("acme", "1-2")
    assert [(f.dataset, f.rows.column("RayID").to_pylist()) for f in found] == [("http_requests", ["1-2"])]
    assert ask.find("acme", "theirs")[0].rows.num_rows == 0
    assert ask.find("acme", "x' OR '1'='1")[0].rows.num_rows == 0


def test_a_dataset_without_an_id_field_is_not_searched(ask: Asking) -> None:
    with pytest.raises(Refused, match="events names no id field"):
        ask.find("acme", "x", "events")
    with pytest.raises(Refused, match="no dataset 'nope'"):
        ask.find("acme", "x", "nope")


def test_nothing_in_a_value_reaches_the_terminal_as_a_command() -> None:
    assert listing.printable(HOSTILE) == "\\x1b]0;owned\\x07\\x1b[2J\\u202e[red]"
    assert listing.printable("Zürich 東京 a b") == "Zürich 東京 a b"


def test_nothing_in_a_listing_or_an_error_reaches_the_terminal_as_a_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listing.show([{"tenant": HOSTILE, "detail": "\x9b2J\n"}], ["tenant", "detail"], as_json=False, empty="")
    monkeypatch.setattr(main, "build", lambda _: _fail)
    assert run(["x"]) == 3
    printed = capsys.readouterr()
    assert "\\x1b]0;owned" in printed.out
    assert "\\x9b2J\\n" in printed.out
    assert printed.err == "refused: line 1\n" + listing.printable(HOSTILE) + "\n"
    assert not set("\x1b\x9b\u202e") & set(printed.out)


def _fail(**_: object) -> None:
    raise Refused("line 1\n" + HOSTILE)


EXACT = {"big": 2**64, "deep": {"list": [-(2**70), "\ud800"]}, "text": "\ud800"}


def test_integers_past_64_bits_and_lone_surrogates_are_spelt_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(listing.json_text([EXACT])) == [EXACT]
    answer.show_record(EXACT)
    out = capsys.readouterr().out
    assert "18446744073709551616" in out
    assert '{"list":[-1180591620717411303424,"\\ud800"]}' in out


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    append(store, [HOSTILE], upto=13, times=[NOON + 3 * DAY], ClientRequestHost=["=1+1"], RequestHeaders=[[("k", "v")]])
    monkeypatch.setenv("LOGFLUME_STORE_URL", store.url)
    monkeypatch.setattr(query, "opened", partial(query.opened, forks=forks()))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


LAST = (
    "SELECT RayID, ClientRequestHost, RequestHeaders, EdgeStartTimestamp FROM http_requests WHERE _date = '2025-11-28'"
)


def test_the_command_prints_a_table_and_what_it_opened(command: Command) -> None:
    code, out, err = command("query", LAST, "--tenant", "acme")
    assert code == 0
    assert "\\x1b]0;owned\\x07\\x1b[2J\\u202e[red]" in out
    assert "\x1b" not in out
    assert '{"k":"v"}' in out
    assert "1 row in" in err
    assert "opened 1 of 4 files" in err


def test_the_command_prints_one_json_object_a_row(command: Command) -> None:
    code, out, err = command("query", LAST, "--tenant", "acme", "--json")
    assert (code, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == [
        {
            "RayID": HOSTILE,
            "ClientRequestHost": "=1+1",
            "RequestHeaders": {"k": "v"},
            "EdgeStartTimestamp": "2025-11-28T12:00:00Z",
        }
    ]


def test_two_columns_of_one_name_both_come_out_as_json(command: Command) -> None:
    sql = "SELECT * FROM (SELECT 1 AS a) x CROSS JOIN (SELECT 2 AS a) y"
    assert json.loads(command("query", sql, "--tenant", "acme", "--json")[1]) == {"a": 1, "a:2": 2}


def test_the_command_prints_csv_that_a_spreadsheet_does_not_run(command: Command) -> None:
    sql = "SELECT ClientRequestHost, EdgeResponseStatus - 1000 AS n, RequestHeaders FROM http_requests LIMIT 99"
    code, out, _ = command("query", sql, "--tenant", "acme", "--csv")
    assert code == 0
    assert "'=1+1,," in out
    assert ",-800," in out


def test_the_command_takes_a_time_range(command: Command) -> None:
    sql = "SELECT count(*) AS n FROM http_requests"
    bounds = ("--since", "2025-11-26T00:00:00Z", "--until", "2025-11-28")
    assert json.loads(command("query", sql, "--tenant", "acme", "--json", *bounds)[1]) == {"n": 8}
    code, _, err = command("query", sql, "--tenant", "acme", "--since", "soon")
    assert code == 3
    assert "since: 'soon' is no time" in err


def test_the_command_says_when_the_limit_cut(command: Command) -> None:
    code, out, err = command("query", "SELECT RayID FROM http_requests", "--tenant", "acme", "--json", "--limit", "2")
    assert (code, len(out.splitlines())) == (0, 2)
    assert "this is the limit of 2" in err


def test_the_commands_exit_codes_say_what_went_wrong(command: Command) -> None:
    assert command("query", "DROP TABLE http_requests", "--tenant", "acme")[0] == 3
    assert command("query", "SELECT 1", "--tenant", "../x")[0] == 2
    assert command("query", "SELECT 1", "--tenant", "acme", "--json", "--csv")[0] == 2
    assert command("query", "SELECT * FROM dns_logs", "--tenant", "acme")[0] == 1


def test_find_prints_the_record(command: Command) -> None:
    code, out, err = command("find", "1-2", "--tenant", "acme")
    assert code == 0
    assert "EdgeResponseStatus" in out
    assert "1 row in" in err
    code, out, _ = command("find", "1-2", "--tenant", "acme", "--json")
    assert json.loads(out)[0]["record"]["EdgeResponseStatus"] == 200
    code, _, err = command("find", "nowhere", "--tenant", "acme")
    assert code == 1
    assert "no record of the tenant 'acme' has the id 'nowhere'" in err


def test_find_prints_what_is_too_large_for_64_bits(command: Command, store: Store) -> None:
    append(store, ["exact"], upto=99, _extra=['{"big":18446744073709551616,"deep":[18446744073709551617,"\\ud800"]}'])
    code, out, _ = command("find", "exact", "--tenant", "acme", "--json")
    assert code == 0
    assert json.loads(out)[0]["record"]["deep"] == [18446744073709551617, "\ud800"]
    code, out, _ = command("find", "exact", "--tenant", "acme")
    assert code == 0
    assert "18446744073709551617" in out


def test_tables_are_listed_and_the_store_is_probed(command: Command) -> None:
    code, out, _ = command("table", "list", "--json")
    assert code == 0
    assert [(t["tenant"], t["rows"], t["files"]) for t in json.loads(out)] == [("acme", 13, 4), ("globex", 1, 1)]
    assert "globex" not in command("table", "list", "--tenant", "acme")[1]
    assert command("table", "probe")[0] == 0
