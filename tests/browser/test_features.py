"""What the page can do, each at least once in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.attacked import HOSTILE
from tests.support.browser import TOKEN, Person, Site
from tests.support.waiting import until

SLOW = (
    "SELECT count(*) FROM http_requests a JOIN http_requests b ON a.ClientCountry = b.ClientCountry "
    "WHERE a.RayID < b.RayID"
)


@pytest.fixture
def stranger(browser: Browser, served: Site) -> Iterator[Person]:
    """Somebody who is not signed in."""
    person = Person.at(browser, served)
    yield person
    person.page.context.close()
    assert person.troubles == []


def test_a_link_signs_in_and_its_token_is_in_no_address(stranger: Person) -> None:
    asked: list[str] = []
    stranger.page.on("request", lambda request: asked.append(request.url))
    stranger.sign_in()
    assert not [url for url in asked if TOKEN in url]
    assert TOKEN not in stranger.page.url
    stranger.click(stranger.page.get_by_role("button", name="Sign out"))
    stranger.open("/sql")
    expect(stranger.page.get_by_role("heading", name="Sign in")).to_be_visible()
    stranger.page.get_by_label("Token").fill(TOKEN)
    stranger.click(stranger.page.get_by_role("button", name="Sign in"))
    assert stranger.page.url == stranger.site.url + "/sql"


def test_every_state_is_an_address(person: Person) -> None:
    page = person.page
    person.open(person.site.recent)
    person.click(page.locator("th").get_by_role("link", name="EdgeResponseStatus"))
    page.locator("#fields").get_by_role("link", name="ClientCountry", exact=True).click()
    expect(page.locator(".values")).to_be_visible()
    page.locator(".opener").nth(2).click()
    expect(page.locator(".detail")).to_be_visible()
    expect(page).to_have_url(re.compile("open="))
    shown = person.column("EdgeResponseStatus")
    with person.going():
        page.reload()
    assert person.column("EdgeResponseStatus") == shown
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("EdgeResponseStatus")
    expect(page.locator("tr.opened")).to_have_count(1)
    with person.going():
        page.go_back()
    expect(page.locator("th[aria-sort=descending]")).to_contain_text("EdgeStartTimestamp")
    assert page.url.endswith(person.site.recent)


def test_a_time_range_is_written_in_a_time_zone(person: Person) -> None:
    page = person.page
    person.open(person.site.recent)
    before = person.column("EdgeStartTimestamp")[0]
    with person.going():
        page.get_by_label("Time zone").select_option("Asia/Kolkata")
    there = person.column("EdgeStartTimestamp")[0]
    assert datetime.fromisoformat(there) - datetime.fromisoformat(before) == timedelta(hours=5, minutes=30)
    begin = datetime.fromisoformat(there).replace(second=0, microsecond=0) - timedelta(minutes=2)
    page.get_by_label("From").fill(begin.strftime("%Y-%m-%d %H:%M"))
    page.get_by_label("to", exact=True).fill((begin + timedelta(minutes=1)).strftime("%Y-%m-%d %H:%M"))
    person.click(page.get_by_role("button", name="Set", exact=True))
    assert 1_000 < person.total() < 4_000
    assert {text[:16] for text in person.column("EdgeStartTimestamp")} == {begin.strftime("%Y-%m-%d %H:%M")}


def test_free_text_and_rows_of_a_filter_show_the_sql_they_mean(person: Person) -> None:
    page = person.page
    person.open(person.site.recent)
    page.get_by_label("Free text").fill("etc/passwd")
    new = page.locator(".condition.new")
    new.get_by_label("Field").select_option("ClientCountry")
    expect(new.get_by_label("Operator").locator("option:not([disabled])")).to_have_count(12)
    new.get_by_label("Operator").select_option("isNull")
    expect(new.locator("[name=value]")).to_be_hidden()
    new.get_by_label("Operator").select_option("in")
    new.get_by_label("Value").fill("de, nl")
    person.click(page.get_by_role("button", name="Search"))
    new.get_by_label("And, or").select_option("or")
    new.get_by_label("Field").select_option("EdgeResponseStatus")
    new.get_by_label("Value").fill("429")
    person.click(page.get_by_role("button", name="Search"))
    page.get_by_text("SQL", exact=True).last.click()
    said = page.locator(".meaning pre").inner_text()
    assert "(\"ClientCountry\" IN ('de', 'nl'))" in said
    assert 'OR ("EdgeResponseStatus" = 429)' in said
    assert "contains_text('etc/passwd')" in said
    person.click(page.get_by_role("link", name="Go on in SQL"))
    expect(page.get_by_label("SQL", exact=True)).to_have_value(said)
    expect(page.locator(".result-head")).to_contain_text("rows")
    person.open(person.site.recent + "&q=nothing-has-this")
    expect(page.get_by_role("heading", name="No record matches")).to_be_visible()
    person.click(page.get_by_role("link", name="Clear"))
    assert person.total() > 10_000


def test_a_record_opens_is_copied_has_an_address_and_neighbours(person: Person) -> None:
    page = person.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    person.open(person.site.recent)
    page.locator(".opener").first.click()
    page.get_by_role("button", name="Copy as JSON").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    record = json.loads(page.evaluate("navigator.clipboard.readText()"))
    assert record["ClientRequestUserAgent"] == HOSTILE
    person.click(page.get_by_role("link", name="Permalink"))
    expect(page.get_by_role("heading", name="Record of")).to_be_visible()
    expect(page.locator(".detail")).to_contain_text(record["RayID"])
    person.click(page.get_by_role("link", name="Records around it"))
    expect(page.locator("tr.this")).to_have_count(1)
    before = page.locator("table.result > tbody > tr").count()
    person.click(page.get_by_role("link", name="50 before and after"))
    assert page.locator("table.result > tbody > tr").count() > before


def test_pages_follow_each_other(person: Person) -> None:
    page = person.page
    person.open(person.site.recent + "&show=RayID")
    first = person.column("RayID")
    person.click(page.get_by_role("link", name="Next"))
    second = person.column("RayID")
    assert len({*first, *second}) == 100
    expect(page.locator(".result-head")).to_contain_text("51–100")
    person.click(page.get_by_role("link", name="Back"))
    assert person.column("RayID") == first


def test_what_is_shown_is_taken_away_as_a_file(person: Person) -> None:
    page = person.page
    person.open(person.site.recent + "&show=RayID,ClientIP&key=EdgeResponseStatus&op=eq&value=200&join=and")
    form = page.locator("form.export")
    for name, read in (
        ("CSV", lambda path: len(path.read_text().splitlines()) - 1),
        ("NDJSON", lambda path: len(path.read_text().splitlines())),
        ("Parquet", lambda path: pq.read_table(path).num_rows),
    ):
        form.get_by_label("Form of the file").select_option(name)
        form.get_by_label("Rows at most").select_option("1000")
        with page.expect_download() as download:
            form.get_by_role("button", name="Export").click()
        assert download.value.suggested_filename.startswith("acme-http_requests-")
        assert read(download.value.path()) == 1000


def test_the_editor_completes_names_and_runs_by_a_key(person: Person) -> None:
    page = person.page
    person.open("/sql")
    area = page.get_by_label("SQL", exact=True)
    area.press_sequentially("SELECT count(*) AS n FROM http_re")
    expect(page.get_by_role("option", name="http_requests")).to_be_visible()
    area.press("Tab")
    area.press_sequentially(" WHERE edgeresponsest")
    expect(page.get_by_role("option").first).to_contain_text("EdgeResponseStatus")
    area.press("Enter")
    area.press_sequentially(" = 429")
    expect(area).to_have_value("SELECT count(*) AS n FROM http_requests WHERE EdgeResponseStatus = 429")
    page.get_by_label("From").fill("all")
    area.focus()
    with person.going():
        area.press("Control+Enter")
    assert int(person.column("n")[0]) > 1000
    area.fill("SELECT nothing FROM nowhere")
    with person.going():
        area.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("nowhere")


def test_a_slow_query_shows_its_progress_and_is_cancelled_in_its_place(person: Person) -> None:
    page = person.page
    page.goto(f"{person.site.url}/sql?since=all&sql={quote(SLOW)}", wait_until="commit")
    expect(page.locator("[data-progress]")).to_contain_text(re.compile(r"running, \d+\.\d s, .* read"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("the query was cancelled")
    page.wait_for_load_state("load")


def test_queries_that_run_are_listed_and_ended_from_elsewhere(person: Person) -> None:
    page = person.page
    page.goto(f"{person.site.url}/sql?since=all&sql={quote(SLOW + ' AND 3 = 3')}", wait_until="commit")
    other = page.context.new_page()

    def listed() -> bool:
        other.goto(person.site.url + "/queries")
        return other.locator("[data-running] li").filter(has_text="3 = 3").count() == 1

    until(listed, 30, "the query in the list")
    other.locator("[data-running] li").filter(has_text="3 = 3").get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert")).to_contain_text("the query was cancelled")
    expect(other.locator("tr").filter(has_text="3 = 3").first).to_contain_text("cancelled")


def test_leaving_a_page_ends_its_query(person: Person) -> None:
    page = person.page
    page.goto(f"{person.site.url}/sql?since=all&sql={quote(SLOW + ' AND 4 = 4')}", wait_until="commit")
    expect(page.locator("[data-progress]")).to_contain_text("running")

    def ended() -> bool:
        person.open("/queries")
        return page.locator("tr").filter(has_text="4 = 4").filter(has_text="the client has gone away").count() == 1

    until(ended, 30, "the query's end")


def test_a_query_is_saved_and_found_again(person: Person) -> None:
    page = person.page
    person.open(person.site.recent + "&q=UNION&show=RayID")
    page.locator("summary").filter(has_text="Save").click()
    page.get_by_role("textbox", name="Name", exact=True).fill("unions")
    person.click(page.get_by_role("button", name="Save"))
    person.click(page.get_by_role("link", name="unions"))
    expect(page.get_by_label("Free text")).to_have_value("UNION")
    expect(page.locator("table.result > thead th")).to_have_count(2)
    person.open("/queries")
    person.click(page.get_by_role("button", name="Forget unions"))
    expect(page.get_by_role("link", name="unions")).to_have_count(0)


def test_datasets_tell_their_freshness_and_usage_is_told_by_day(person: Person) -> None:
    page, told = person.page, person.site.told
    expect(page.locator(".card").filter(has_text="http_requests")).to_contain_text(f"{told.rows:,}")
    expect(page.locator(".card").filter(has_text="http_requests")).to_contain_text(re.compile(r"(min|s|h) ago|now"))
    expect(page.locator(".card").filter(has_text="events").last).to_contain_text("Nothing has come to rest")
    person.click(page.get_by_role("link", name="Usage"))
    expect(page.get_by_role("heading", name="http_requests")).to_contain_text(f"{told.rows:,} records")


def test_what_is_wrong_is_said(person: Person) -> None:
    page = person.page
    person.open("/explore/events?since=1h")
    expect(page.get_by_role("alert").first).to_contain_text("nothing of this tenant has come to rest")
    person.open(person.site.recent + "&key=EdgeResponseStatus&op=eq&value=much&join=and")
    expect(page.get_by_role("alert")).to_contain_text("EdgeResponseStatus: 'much' is no whole number")
    person.open("/explore/nothing")
    expect(page.locator("main")).to_contain_text("keeps no dataset 'nothing'")


def test_hostile_records_do_nothing_in_a_browser(person: Person) -> None:
    page = person.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    person.open(person.site.recent + "&show=ClientRequestUserAgent,ClientRequestReferer&by=ClientRequestUserAgent")
    assert HOSTILE in person.column("ClientRequestUserAgent")
    page.locator("#fields").get_by_role("link", name="ClientRequestUserAgent", exact=True).click()
    expect(page.locator(".values")).to_be_visible()
    page.locator(".opener").first.click()
    expect(page.locator(".detail")).to_contain_text(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert all(url.startswith(person.site.url) for url in asked)


def test_records_come_live_are_paused_and_what_is_lost_is_counted(person: Person) -> None:
    """By the API's promise (docs/api.md); its own tests show that it keeps it."""
    page = person.page
    asked: list[str] = []
    record = {"ClientRequestUserAgent": HOSTILE, "EdgeStartTimestamp": "2026-11-29T10:00:00.5Z"}
    rays = ["live-0", "2026-99-99T00:00:00Z", "2026-11-29T10:00:00Z"]  # texts, whatever they look like
    events = [f"id: topic.0.{n}.0\ndata: {json.dumps(record | {'RayID': ray})}" for n, ray in enumerate(rays)]
    events.append('event: lost\ndata: {"rows": 7, "detail": "too many at once"}')
    events.append('event: end\ndata: {"detail": "no more"}')

    def stream(route: Route) -> None:
        asked.append(route.request.url)
        route.fulfill(status=200, headers={"Content-Type": "text/event-stream"}, body="\n\n".join(events) + "\n\n")

    page.route("**/api/v1/tail?*", stream)
    person.open(
        "/explore/http_requests/tail?q=a%26b&show=RayID,EdgeStartTimestamp,ClientRequestUserAgent&tz=Asia/Tokyo"
    )
    expect(page.locator("tbody tr")).to_have_count(3)
    assert person.column("RayID") == rays[::-1]
    assert person.column("EdgeStartTimestamp")[0] == "2026-11-29 19:00:00.500"
    assert person.column("ClientRequestUserAgent")[0] == HOSTILE
    expect(page.locator("[data-live-state]")).to_contain_text("7 left out (too many at once)")
    expect(page.get_by_role("alert")).to_contain_text("The stream has ended: no more")
    assert asked == [f"{person.site.url}/api/v1/tail?dataset=http_requests&q=a%26b"]
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-live-state]")).to_contain_text("paused, 3 records")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("tbody tr")).to_have_count(0)


def test_colours_are_switched_and_stay(person: Person) -> None:
    page = person.page

    def back() -> str:
        colour: str = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        return colour

    light = back()
    person.click(page.get_by_role("button", name="Colours: dark"))
    assert back() != light
    person.open(person.site.recent)
    assert back() != light
    person.click(page.get_by_role("button", name="Colours: light"))
    assert back() == light


def test_it_works_without_its_script(browser: Browser, served: Site, person: Person) -> None:
    cookies = person.page.context.cookies()
    plain = Person.at(browser, served, java_script_enabled=False)
    try:
        plain.page.context.add_cookies(cookies)  # type: ignore[arg-type]
        plain.open(served.recent)
        whole = plain.total()
        plain.click(plain.page.locator("#fields").get_by_role("link", name="ClientIP", exact=True))
        expect(plain.page.locator(".values")).to_be_visible()
        plain.click(plain.page.locator(".opener").first)
        expect(plain.page.locator(".detail")).to_be_visible()
        plain.page.get_by_label("Free text").fill("search")
        plain.click(plain.page.get_by_role("button", name="Search"))
        assert 0 < plain.total() < whole
    finally:
        plain.page.context.close()
