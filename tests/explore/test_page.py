"""What the page shows of a dataset: every state by its address, whatever records have in them."""

from __future__ import annotations

import asyncio
import html
import io
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logflume.page.queries import rows_of
from logflume.page.view import PAGE_ROWS
from logflume.table.store import Store
from tests.support.api import GLOBEX
from tests.support.page import Browser, texts
from tests.support.tables import DAY, NOON, append

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
BEFORE_ALL = "0001-01-01T00:00:00+14:00"
LONG = "x" * 20_000
MANY = 120
SECOND = 1_000_000_000
EXPLORE = "/explore/http_requests"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two days: 120 rows a second apart, and a day later five hostile ones. Three of globex."""
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(
        store,
        [f"ray-{n:03}" for n in range(MANY)],
        times=[NOON + n * SECOND for n in range(MANY)],
        EdgeResponseStatus=[[200, 200, 403, 500][n % 4] for n in range(MANY)],
        ClientRequestHost=[f"{n % 3}.example" for n in range(MANY)],
    )
    append(
        store,
        [f"odd-{n}" for n in range(4)] + [HOSTILE],
        upto=MANY + 5,
        times=[NOON + DAY + n * SECOND for n in range(5)],
        ClientRequestHost=[HOSTILE] * 4 + ["=1+1"],
        RequestHeaders=[[("user-agent", HOSTILE)]] * 5,
        BotTags=[[HOSTILE]] * 5,
        _extra=['{"a":"</pre><script>alert(1)</script>"}'] * 5,
        _src_partition=[1] * 5,
    )
    append(store, ["theirs"], tenant="globex")
    append(
        store,
        ["a/b", BEFORE_ALL],
        upto=3,
        tenant="globex",
        times=[NOON + SECOND] * 2,
        ClientRequestHost=["2025-01-01T00:00:00Z", LONG],
        _src_partition=[1] * 2,
    )
    return store


@pytest.fixture(scope="module")
def browser(store: Store, runner: asyncio.Runner) -> Iterator[Browser]:
    browser = Browser(store, runner)
    browser.sign_in()
    yield browser
    browser.close()


def url(**asked: str) -> str:
    return f"{EXPLORE}?{httpx.QueryParams({'since': 'all'} | asked)}"


def condition(key: str, op: str, value: str, join: str = "and") -> str:
    return f"&join={join}&key={key}&op={quote(op)}&value={quote(value)}"


def rays(page: str) -> list[str]:
    """The ids in the table of a page that shows them first."""
    return re.findall(r"<td>((?:ray|odd)-\d+)", page)


def total(page: str) -> int:
    found = re.search(r"<strong>([\d,]+)</strong> records", page)
    assert found, page
    return int(found[1].replace(",", ""))


def part(page: str, slot: str) -> str:
    found = re.search(rf'<section slot="{slot}".*?</section>', page, re.DOTALL)
    assert found, page
    return found[0]


# --- a time range -----------------------------------------------------------------------------------------------------


def test_without_a_time_range_it_is_the_last_hour_that_has_records(browser: Browser) -> None:
    answer = browser.get(EXPLORE)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{EXPLORE}?since=2025-11-26T11:00:05Z&until=2025-11-26T12:00:05Z"
    assert total(browser.html(answer.headers["location"])) == 5


def test_times_are_read_and_shown_in_the_time_zone_of_the_address(browser: Browser) -> None:
    written = browser.get(url(since="2025-11-25 13:00:00", until="2025-11-25 13:00:10", tz="Europe/Berlin"))
    instants = written.headers["location"]
    assert "since=2025-11-25T12:00:00Z&until=2025-11-25T12:00:10Z" in instants
    page = browser.html(instants)
    assert 'value="2025-11-25 13:00:10"' in page
    assert total(page) == 10
    assert "<td>2025-11-25 13:00:09.000</td>" in page
    assert '<option value="Europe/Berlin" selected>' in page


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"since": "yesterday"}, "from: 'yesterday' is no time"),
        ({"since": "2025-11-26", "until": "2025-11-25"}, "the time range ends"),
        ({"since": "1h", "tz": "Mars/Olympus"}, "is no time zone"),
        ({"order": "nothing"}, "order is a field"),
    ],
)
def test_what_can_not_be_asked_is_told_in_its_place(browser: Browser, asked: dict[str, str], says: str) -> None:
    assert says in html.unescape(browser.html(url(**asked), 400))


# --- filters ----------------------------------------------------------------------------------------------------------


def test_rows_of_a_filter_go_together_as_their_sql_says(browser: Browser) -> None:
    page = browser.html(
        url(show="RayID")
        + condition("EdgeResponseStatus", "eq", "403")
        + condition("ClientRequestHost", "startsWith", "0.")
        + condition("EdgeResponseStatus", "eq", "500", "or")
    )
    wanted = [n for n in range(MANY) if (n % 4 == 2 and n % 3 == 0) or n % 4 == 3]
    assert total(page) == len(wanted)
    assert rays(page) == [f"ray-{n:03}" for n in reversed(wanted)]
    sql = html.unescape(re.search(r'<pre class="code">(.*?)</pre>', page, re.DOTALL)[1])  # type: ignore[index]
    assert '(("EdgeResponseStatus" = 403) AND starts_with("ClientRequestHost", \'0.\'))' in sql
    assert 'OR ("EdgeResponseStatus" = 500)' in sql
    onwards = html.unescape(re.search(r'<a class="button" href="(/sql[^"]*)"', page)[1])  # type: ignore[index]
    assert texts(browser.html(onwards)).count("ray-") == len(wanted)


def test_a_value_that_is_none_of_its_type_is_told(browser: Browser) -> None:
    says = html.unescape(browser.html(url() + condition("EdgeResponseStatus", "eq", "many"), 400))
    assert "EdgeResponseStatus: 'many' is no whole number" in says


def test_one_of_several_values(browser: Browser) -> None:
    page = browser.html(url(show="RayID") + condition("EdgeResponseStatus", "in", "403, 500"))
    assert total(page) == MANY // 2


def test_a_field_without_a_value_is_asked_for_by_a_row_without_one(browser: Browser) -> None:
    for operator, found in (("isNull", 5), ("!isNull", MANY)):
        page = browser.html(url(show="RayID") + condition("EdgeResponseStatus", operator, "what was there before"))
        assert total(page) == found
        assert re.search(rf'<option value="{operator}" data-types="[a-z ]*" data-alone selected', page)
    [link] = re.findall(r'<a class="null" href="([^"]*)">none</a>', browser.html(url()))
    assert total(browser.html(html.unescape(link))) == 5, "the records without the field by which bars are stacked"
    values = browser.html(f"{EXPLORE}/values/EdgeResponseStatus?since=all")
    [link] = re.findall(r'href="([^"]*)" aria-label="Only with EdgeResponseStatus"', values)
    assert total(browser.html(html.unescape(link))) == MANY


def test_free_text_is_looked_for_in_every_field(browser: Browser) -> None:
    assert total(browser.html(url(q="RAY-01"))) == 10
    assert total(browser.html(url(q="ONERROR"))) == 5


def test_values_link_to_what_has_them_and_to_what_has_not(browser: Browser) -> None:
    found = browser.html(f"{EXPLORE}/values/EdgeResponseStatus?since=all&key=RayID&op=startsWith&value=ray")
    only, without = (
        html.unescape(re.search(rf'href="([^"]*)" aria-label="{word} EdgeResponseStatus 200"', found)[1])  # type: ignore[index]
        for word in ("Only", "Without")
    )
    assert total(browser.html(only)) == MANY // 2
    assert total(browser.html(without)) == MANY // 2


def test_what_is_filtered_in_goes_to_each_alternative(browser: Browser) -> None:
    either = condition("RayID", "eq", "ray-000") + condition("RayID", "eq", "ray-001", "or")
    found = browser.html(f"{EXPLORE}/values/ClientRequestHost?since=all{either}")
    only = html.unescape(re.search(r'href="([^"]*)" aria-label="Only ClientRequestHost 1.example"', found)[1])  # type: ignore[index]
    assert rays(browser.html(only + "&show=RayID")) == ["ray-001"]


def test_a_row_of_the_filter_is_taken_away(browser: Browser) -> None:
    page = browser.html(
        url()
        + condition("RayID", "eq", "ray-000")
        + condition("RayID", "eq", "ray-001", "or")
        + condition("EdgeResponseStatus", "eq", "200")
    )
    gone = html.unescape(re.search(r'href="([^"]*)" aria-label="Take away RayID eq ray-001"', page)[1])  # type: ignore[index]
    assert "value=ray-000&join=or&key=EdgeResponseStatus" in gone


# --- the table --------------------------------------------------------------------------------------------------------


def test_pages_have_each_record_once(browser: Browser) -> None:
    seen: list[str] = []
    at: str | None = url(show="RayID", order="ClientRequestHost")
    while at:
        page = browser.html(at)
        seen += rays(page)
        found = re.search(r'rel="next" href="([^"]*)"', page)
        at = html.unescape(found[1]) if found else None
        assert at is None or "&at=" in at
    assert len(seen) == len(set(seen)) == MANY + 4  # one more has no id that is seen here
    assert len(seen) > 2 * PAGE_ROWS


def test_columns_are_sorted_both_ways_and_nulls_come_last(browser: Browser) -> None:
    page = browser.html(url(show="RayID,EdgeResponseStatus", order="-EdgeResponseStatus"))
    assert rays(page)[0] == "ray-003"
    assert 'aria-sort="descending"' in page
    other = html.unescape(re.search(r'<a href="([^"]*)" title="Sort">EdgeResponseStatus', page)[1])  # type: ignore[index]
    assert rays(browser.html(other))[0] == "ray-000"


def test_columns_are_chosen_by_links(browser: Browser) -> None:
    page = browser.html(url(show="RayID"))
    more = html.unescape(re.search(r'href="([^"]*)" aria-label="Show column ClientRequestHost"', page)[1])  # type: ignore[index]
    assert "show=RayID,ClientRequestHost" in more
    less = html.unescape(re.search(r'href="([^"]*)" aria-label="Hide column RayID"', browser.html(more))[1])  # type: ignore[index]
    assert "show=ClientRequestHost" in less


def test_an_opened_record_stands_in_the_address(browser: Browser) -> None:
    page = browser.html(url(show="RayID"))
    opened = html.unescape(re.findall(r'class="opener" id="[^"]*" href="([^"]*)"', page)[-1])
    again = browser.html(opened)
    assert 'aria-expanded="true"' in again
    assert again.count('<tr class="opened">') == 1
    fragment = html.unescape(re.findall(r'data-row="([^"]*)"', page)[-1])
    assert 'class="detail"' in browser.html(fragment)


def test_a_record_has_an_address_for_ever_and_neighbours(browser: Browser) -> None:
    page = browser.html(f"{EXPLORE}/records/topic.0.5.0")
    assert "ray-005" in page
    assert "Without a value:" in page
    around = browser.html(f"{EXPLORE}/around/topic.0.5.0?show=RayID")
    assert rays(around) == [f"ray-{n:03}" for n in range(16)]
    assert around.count("aria-current") == 2  # how many are shown, and the record itself


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        (f"{EXPLORE}/records/topic.0.999.0", 404, "has no record of this tenant"),
        (f"{EXPLORE}/records/x", 400, "is no record's coordinates"),
        ("/explore/dns_logs?since=1h", 404, "keeps no dataset"),
        ("/explore/..%2F..%2Fetc", 404, "There is nothing at"),
        ("/nowhere", 404, "There is nothing at /nowhere"),
        (f"{EXPLORE}/export?since=all&format=exe", 400, "is none of csv"),
        (f"{EXPLORE}/export?since=all&format=csv&rows=many", 400, "is no number of rows"),
    ],
)
def test_what_is_not_there_is_said(browser: Browser, path: str, status: int, says: str) -> None:
    assert says in html.unescape(texts(browser.html(path, status)))


@pytest.fixture(scope="module")
def theirs(store: Store, runner: asyncio.Runner) -> Iterator[Browser]:
    theirs = Browser(store, runner)
    theirs.sign_in(GLOBEX)
    yield theirs
    theirs.close()


def test_a_table_that_can_not_be_read_is_told_of_in_its_place(tmp_path: Path, runner: asyncio.Runner) -> None:
    store = Store(f"file://{tmp_path}")
    append(store, ["one"])
    append(store, ["two"], upto=2)
    store.delete("tables/acme/http_requests/_delta_log/00000000000000000000.json")
    browser = Browser(store, runner)
    try:
        browser.sign_in()
        for path in ("/", "/usage"):
            assert "deleted by hand in part" in texts(browser.html(path))
        assert "No record has this id" not in browser.html("/find?id=one")
    finally:
        browser.close()


def test_nothing_is_shown_of_another_tenant(browser: Browser, theirs: Browser) -> None:
    assert total(theirs.html(url())) == 3
    assert "No record has this id" in theirs.html("/find?id=ray-001")
    assert "No record has this id" in browser.html("/find?id=theirs")


@pytest.mark.parametrize("tz", ["UTC", "Asia/Tokyo"])
def test_a_text_that_looks_like_a_time_is_shown_as_it_is(theirs: Browser, tz: str) -> None:
    page = theirs.html(url(show="RayID,EdgeStartTimestamp,ClientRequestHost", top="RayID", by="RayID", tz=tz))
    assert page.count(f">{BEFORE_ALL}<") == 3, "in the table, in the list of values and in the legend"
    assert "<td>2025-01-01T00:00:00Z</td>" in page
    assert f"<td>2025-11-25 {'12' if tz == 'UTC' else '21'}:00:01.000</td>" in page
    asked = quote(f"SELECT '{BEFORE_ALL}' AS at, count(*) AS n FROM http_requests")
    assert f"<td>{BEFORE_ALL}</td>" in theirs.html(f"/sql?since=all&tz={tz}&sql={asked}")


def test_a_value_for_which_no_address_has_room_has_no_links(theirs: Browser) -> None:
    page = theirs.html(url(show="ClientRequestHost", top="ClientRequestHost", by="ClientRequestHost"))
    assert "x" * 400 + "…" in page
    assert "x" * 401 not in page
    assert page.count('title="Only these"') == 2, "the short value's, and that of a record without one"


def test_a_record_is_found_by_an_id_that_has_a_slash(theirs: Browser) -> None:
    assert theirs.html("/find?id=a/b").count('<article class="card">') == 1


def test_a_record_is_found_by_its_id(browser: Browser) -> None:
    page = browser.html("/find?id=ray-007")
    assert page.count('<article class="card">') == 1
    assert "topic.0.7.0" in page


# --- what is empty, or fails ------------------------------------------------------------------------------------------


def test_what_matches_nothing_says_so_and_what_to_do(browser: Browser) -> None:
    page = browser.html(url(since="1h", q="nothing has this"))
    assert "No record matches" in page
    assert "All time" in page
    assert "Without conditions" in page


def test_a_part_that_fails_says_why_in_its_place_and_the_others_are_there(store: Store, runner: asyncio.Runner) -> None:
    short = Browser(store, runner, explore_waiting=1, explore_tenant_queries=1)
    try:
        short.sign_in()
        page = short.html(url(top="RayID"))  # three queries: one runs, one waits, one is too many
        assert "Too many queries wait" in page
        assert sum(text in page for text in ('class="chart"', 'class="result"', 'class="values"')) == 2
    finally:
        short.close()


def test_sql_that_can_not_run_is_told_with_its_place(browser: Browser) -> None:
    page = texts(browser.html("/sql?since=all&sql=DELETE+FROM+http_requests"))
    assert "The query can&#39;t run" in page
    assert "No rows" in browser.html("/sql?since=1m&sql=SELECT+1+FROM+http_requests")
    assert browser.get("/sql?sql=SELECT+1").headers["location"] == "/sql?sql=SELECT+1&since=1h"


# --- hostile records --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        url(
            show="RayID,ClientRequestHost,RequestHeaders,BotTags,_extra",
            by="ClientRequestHost",
            top="ClientRequestHost",
        ),
        url(show="RayID", top="RayID", open="topic.1.4.0"),
        url(q=HOSTILE) + condition("ClientRequestHost", "eq", HOSTILE) + condition(HOSTILE, HOSTILE, HOSTILE),
        f"{EXPLORE}/records/topic.1.4.0",
        f"{EXPLORE}/records/topic.1.4.0/whole?q={quote(HOSTILE)}",
        f"{EXPLORE}/around/topic.1.4.0",
        f"{EXPLORE}/values/ClientRequestHost?since=all",
        f"{EXPLORE}/values/{quote(HOSTILE, safe='')}?since=all",
        f"/find?id={quote(HOSTILE)}",
        "/find?id=odd-1",
        f"/sql?since=all&sql={quote('SELECT * FROM http_requests')}",
        f"/sql?since={quote(HOSTILE)}&tz={quote(HOSTILE)}&sql={quote(HOSTILE)}",
        f"/sql?since=all&sql={quote('SELECT 1 AS ' + chr(34) + HOSTILE.replace(chr(34), '') + chr(34))}",
        "/queries",
        "/",
        f"/sign-in?back={quote('/' + HOSTILE)}",
        f"{EXPLORE}/tail?q={quote(HOSTILE)}",
        f"/{quote(HOSTILE)}",
    ],
)
def test_p3_nothing_of_a_record_or_an_address_becomes_markup(browser: Browser, path: str) -> None:
    page = browser.get(path).text
    without = page.replace('<script type="module" async src="/static/page.js"></script>', "")
    assert "<script" not in without.lower()
    assert "<img src=x" not in page
    assert "onerror=" not in re.sub(r'"[^"]*"', "", re.sub(r">[^<]*<", "><", page))
    assert not re.search(r"\son[a-z]+=|\sstyle=|javascript:", re.sub(r">[^<]*<", "><", re.sub(r'"[^"]*"', '""', page)))


def test_a_hostile_record_is_shown_as_what_it_is(browser: Browser) -> None:
    page = browser.html(f"{EXPLORE}/records/topic.1.4.0")
    assert html.escape(HOSTILE) in page or HOSTILE in html.unescape(page)


# --- files ------------------------------------------------------------------------------------------------------------


def test_what_matches_is_taken_away_as_a_file(browser: Browser) -> None:
    asked = f"{EXPLORE}/export?since=all&show=RayID,ClientRequestHost{condition('RayID', 'contains', '-')}&rows=1000"
    csv = browser.get(f"{asked}&format=csv")
    assert csv.headers["content-type"].startswith("text/csv")
    assert re.fullmatch(
        r'attachment; filename="acme-http_requests-20251128T120000Z.csv"', csv.headers["content-disposition"]
    )
    assert len(csv.text.splitlines()) == MANY + 4 + 1
    assert browser.get(f"{asked}&format=ndjson").text.count("\n") == MANY + 4
    assert pq.read_table(io.BytesIO(browser.get(f"{asked}&format=parquet").content)).num_rows == MANY + 4
    assert pa.ipc.open_stream(browser.get(f"{asked}&format=arrow").content).read_all().num_rows == MANY + 4
    assert len(browser.get(f"{asked}&format=json").json()["rows"]) == MANY + 4
    assert len(browser.get(f"{asked}&format=csv".replace("rows=1000", "rows=7")).text.splitlines()) == 8


def test_a_formula_in_a_file_for_spreadsheets_is_none(browser: Browser) -> None:
    asked = f"/sql/export?since=all&format=csv&sql={quote('SELECT ClientRequestHost AS h FROM http_requests')}"
    assert "\n'=1+1\n" in browser.get(asked).text


# --- addresses --------------------------------------------------------------------------------------------------------


def test_every_link_of_a_view_is_one_that_works(browser: Browser) -> None:
    page = browser.html(url(by="ClientRequestHost", top="EdgeResponseStatus", q="e") + condition("RayID", "!eq", "x"))
    links = {html.unescape(link) for link in re.findall(r'href="(/[^"]*)"', page)}
    links = {link for link in links if not link.startswith("/static")}
    assert len(links) > 40
    for link in sorted(links)[::15]:
        assert browser.get(link.partition("#")[0]).status_code in (200, 303), link


def test_a_form_has_all_of_the_view_that_it_does_not_ask_for(browser: Browser) -> None:
    page = browser.html(url(q="e", by="RayID", order="RayID", show="RayID", tz="Asia/Tokyo"))
    form = re.search(r'<form class="range".*?</form>', page, re.DOTALL)
    assert form
    for name, value in (("q", "e"), ("by", "RayID"), ("order", "RayID"), ("show", "RayID")):
        assert f'<input type="hidden" name="{name}" value="{value}">' in form[0]


def test_the_histogram_is_drawn_as_it_is_counted(browser: Browser) -> None:
    two_minutes = url(since="2025-11-25T12:00:00Z", until="2025-11-25T12:02:00Z", by="EdgeResponseStatus")
    page = part(browser.html(two_minutes), "histogram")
    assert page.count('role="option"') == 120
    assert page.count('class="c0"') == 60 + 1  # the bars of the most frequent value, and its place in the legend
    bar = re.search(r'aria-label="([^"]*)" data-since="([^"]*)" data-until="([^"]*)"', page)
    assert bar
    assert bar.groups() == (
        "2025-11-25 12:00:00 to 12:00:01: 1",
        "2025-11-25T12:00:00Z",
        "2025-11-25T12:00:01Z",
    )


def test_the_datasets_tell_how_fresh_they_are(browser: Browser) -> None:
    said = texts(browser.html("/"))
    assert "Newest arrived 3 d ago" in said
    assert "Records 125" in said


def test_words_of_the_editor_are_the_tenants_own(browser: Browser) -> None:
    words = {each["word"]: each["says"] for each in browser.get("/sql/words").json()["words"]}
    assert words["http_requests"] == "dataset"
    assert words["RayID"] == "string · http_requests"
    assert {"contains_text", "SELECT", "_received"} <= set(words)
    assert "firewall_events" not in words


def test_a_query_of_the_page_is_one_of_the_tenants(browser: Browser) -> None:
    browser.html("/sql?since=all&sql=SELECT+42+AS+answer")
    assert "SELECT 42 AS answer" in browser.html("/queries")
    assert browser.post("/queries/nothing/cancel").status_code == 404


def test_usage_is_told_by_day(browser: Browser) -> None:
    said = texts(browser.html("/usage?days=7"))
    assert "125 records" in said
    assert "2025-11-26 0 0 B 5 " in said
    assert "2025-11-25 125 5.0 kB 120 " in said
    assert "Rejected records are not known" in said  # without Kafka


# --- what is saved ----------------------------------------------------------------------------------------------------


def saved(browser: Browser, name: str) -> str:
    """The address of a saved query."""
    found = re.search(rf'<a href="([^"]*)">{re.escape(html.escape(name))}</a>', browser.html("/queries"))
    assert found
    return html.unescape(found[1])


def test_a_view_is_saved_and_comes_back_as_it_was(browser: Browser) -> None:
    view = (
        url(since="15m", q="e", show="RayID,EdgeStartTimestamp", order="RayID")
        + condition("EdgeResponseStatus", "in", "200, 403")
        + condition("RayID", "!contains", "x", "or")
        + condition("EdgeStartTimestamp", "geq", "2025-11-25T12:00:00Z")
    )
    form = {"dataset": "http_requests", "query": view.partition("?")[2], "name": "mine <b>"}
    assert browser.post("/saved", form).status_code == 303
    assert httpx.URL(saved(browser, "mine <b>")).params == httpx.URL(view).params
    assert "mine &lt;b&gt;" in browser.html("/")


def test_sql_is_saved_with_its_time_range(browser: Browser) -> None:
    form = {"query": "sql=SELECT+1&since=2025-11-25+13:00&until=now&tz=Europe/Berlin", "name": "by hand"}
    assert browser.post("/saved", form).status_code == 303
    assert httpx.URL(saved(browser, "by hand")).params == httpx.QueryParams("sql=SELECT+1&since=2025-11-25T12:00:00Z")


def test_nothing_that_was_saved_is_lost_by_the_way(browser: Browser) -> None:
    assert browser.post("/saved", {"query": "sql=SELECT+1", "name": "twice"}).status_code == 303
    again = browser.post("/saved", {"query": "sql=SELECT+2", "name": "twice"})
    assert again.status_code == 409
    assert "It was left as it is" in again.text
    assert "SELECT%201" in saved(browser, "twice")
    assert browser.post("/saved", {"query": "sql=SELECT+2", "name": "twice", "replace": "1"}).status_code == 303
    assert "SELECT%202" in saved(browser, "twice")
    assert browser.post("/saved/twice/delete", {"etag": '"another"'}).status_code == 409
    etag = re.search(r'/saved/twice/delete"><input type="hidden" name="etag" value="([^"]*)"', browser.html("/queries"))
    assert etag
    assert browser.post("/saved/twice/delete", {"etag": html.unescape(etag[1])}).status_code == 303
    assert "twice" not in browser.html("/queries")
    assert browser.post("/saved", {"query": "sql=SELECT+1", "name": "a/b"}).status_code == 400


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        (None, 0),
        ({"key": "a", "operator": "eq", "value": True}, 1),
        ({"and": [{"key": "a", "operator": "eq", "value": 1}, {"key": "b", "operator": "in", "value": [1, 2]}]}, 2),
        ({"or": [{"key": "a", "operator": "isNull"}, {"key": "b", "operator": "!isNull"}]}, 2),
        ({"and": [{"or": [{"key": "a", "operator": "eq", "value": 1}]}]}, None),
        ({"or": [{"or": [{"key": "a", "operator": "eq", "value": 1}]}]}, None),
    ],
)
def test_a_filter_that_rows_can_not_say_is_shown_as_sql(where: object, rows: int | None) -> None:
    found = rows_of(where)
    assert rows == (None if found is None else len(found))
