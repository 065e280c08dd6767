"""Everybody can use it: axe-core finds nothing in both themes, and a telephone is wide enough."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import NARROW, WIDE, Person, Site, signed_in

FILTER = "&join=and&key=WAFAttackScore&op=lt&value=20&join=or&key=ClientCountry&op=in&value=de"
PAGES = {
    "datasets": "/",
    "explore": "{recent}",
    "filtered": "{recent}&q=e" + FILTER + "&top=ClientIP",
    "empty": "{recent}&q=nothing-has-this",
    "mistake": "/explore/http_requests?since=never",
    "no rows": "/explore/events?since=1h",
    "sql": "/sql",
    "answer": "/sql?since=1h&sql=SELECT+ClientCountry,+count(*)+AS+n+FROM+http_requests+GROUP+BY+1",
    "failed": "/sql?since=24h&sql=SELECT+x",
    "found": "/find?id={ray}",
    "queries": "/queries",
    "usage": "/usage",
    "live": "/explore/http_requests/tail",
    "not there": "/nowhere",
}


@pytest.fixture(scope="module", params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def somebody(browser: Browser, served: Site, theme: str) -> Iterator[Person]:
    person = Person.at(browser, served, WIDE, color_scheme=theme)
    person.sign_in()
    yield person
    person.page.context.close()


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation_and_a_telephone_is_wide_enough(somebody: Person, theme: str, name: str) -> None:
    page = somebody.page
    page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    if name == "live":
        page.route("**/api/v1/tail?*", lambda route: route.abort())
    somebody.troubles.clear()
    somebody.open(PAGES[name].format(ray=somebody.site.told.blocked, recent=somebody.site.recent))
    if name == "explore":
        page.locator(".opener").first.click()
        expect(page.locator(".detail")).to_be_visible()
    assert [each for each in somebody.troubles if "ERR_FAILED" not in each] == []
    assert somebody.violations() == []  # after that there are troubles of axe's own, which wants to set styles
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    assert somebody.stands_out() <= 0
    if theme == "light":  # what a theme changes are colours, which have been looked at
        assert somebody.violations() == []


@pytest.fixture(scope="module")
def typist(browser: Browser, served: Site) -> Iterator[Person]:
    with signed_in(browser, served) as person:
        yield person


@pytest.mark.parametrize("name", [name for name in PAGES if name != "not there"])
def test_tab_reaches_whatever_can_be_used(typist: Person, name: str) -> None:
    person, page = typist, typist.page
    if name == "live":
        page.route(
            "**/api/v1/tail?*", lambda route: route.fulfill(headers={"Content-Type": "text/event-stream"}, body="")
        )
    page.goto(person.site.url + PAGES[name].format(ray=person.site.told.blocked, recent=person.site.recent))
    usable = person.usable()
    assert usable > 5
    assert person.reached(usable) == []


def test_the_form_to_sign_in_is_for_everybody(browser: Browser, served: Site, theme: str) -> None:
    person = Person.at(browser, served, NARROW, color_scheme=theme)
    person.open("/sign-in")
    assert person.violations() == []
    assert person.stands_out() <= 0
    person.page.context.close()


def test_the_walk_goes_on_a_telephone(browser: Browser, served: Site) -> None:
    person = Person.at(browser, served, NARROW)
    person.sign_in()
    page = person.page
    person.click(page.get_by_role("link", name="http_requests", exact=True))
    whole = person.total()
    page.get_by_label("Free text").fill("search")
    person.click(page.get_by_role("button", name="Search"))
    assert 0 < person.total() < whole
    page.locator(".opener").first.click()
    expect(page.locator(".detail")).to_be_visible()
    assert person.stands_out() <= 0
    page.locator("#fields").get_by_role("link", name="ClientIP", exact=True).click()
    expect(page.locator(".values")).to_be_visible()
    assert person.stands_out() <= 0
    assert person.troubles == []
    page.context.close()
