"""Who may see the page, for how long, and what nobody does on behalf of somebody who is signed in."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from types import MappingProxyType

import httpx
import pytest

from logflume.model import Configuration, Token
from logflume.model.token import Scope, digest, text_of
from logflume.table.store import Store
from tests.support.api import ACME, ENDED, SENDER
from tests.support.page import HERE, Browser, texts
from tests.support.tables import append


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, ["one", "two"])
    return store


@pytest.fixture
def browser(store: Store, runner: asyncio.Runner) -> Iterator[Browser]:
    browser = Browser(store, runner)
    yield browser
    browser.close()


def with_tokens(now: Configuration | None, *tokens: Token) -> Configuration:
    assert now is not None
    acme = dataclasses.replace(now.tenants["acme"], tokens=tokens)
    return Configuration(now.generation + 1, "next", MappingProxyType({**now.tenants, "acme": acme}))


@pytest.mark.parametrize("path", ["/", "/explore/http_requests?since=1h", "/queries", "/sql", "/usage", "/find?id=one"])
def test_p1_without_a_session_there_is_a_form_and_nothing_else(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?back=%2F")
    assert browser.get("/api/v1/datasets").status_code == 401


def test_a_token_opens_the_page_and_whatever_was_asked_for_before(browser: Browser) -> None:
    form = browser.get(browser.get("/explore/http_requests?since=1h&q=a%26b").headers["location"])
    assert 'value="/explore/http_requests?since=1h&amp;q=a%26b"' in form.text
    answer = browser.post("/sign-in", {"token": f" {ACME} ", "back": "/explore/http_requests?since=1h"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/explore/http_requests?since=1h")
    assert "http_requests" in browser.html("/")
    assert browser.get("/api/v1/datasets").json()["tenant"] == "acme"


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites_and_is_not_the_token(browser: Browser) -> None:
    cookie = browser.sign_in().headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=43200"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie
    assert ACME.rpartition("_")[2] not in cookie


def test_behind_https_the_cookie_stays_there(store: Store, runner: asyncio.Runner) -> None:
    browser = Browser(store, runner, serve_url="https://logs.example.net")
    try:
        answer = browser.post("/sign-in", {"token": ACME}, headers={"Origin": "https://logs.example.net"})
        assert "Secure" in answer.headers["set-cookie"]
    finally:
        browser.close()


@pytest.mark.parametrize(
    ("token", "status", "says"),
    [
        ("", 401, "no tenant's"),
        ("lf_acme_" + "A" * 42 + "B", 401, "no tenant's"),
        ("x" * 5_000, 401, "no tenant's"),
        (ENDED, 401, "has expired"),
        (SENDER, 403, "lacks the scope query"),
    ],
)
def test_what_is_no_token_for_searching_opens_nothing(browser: Browser, token: str, status: int, says: str) -> None:
    answer = browser.sign_in(token)
    assert answer.status_code == status
    assert says in texts(answer.text).replace("&#39;", "'")
    assert "set-cookie" not in answer.headers
    assert browser.get("/").status_code == 303


def test_whoever_tries_tokens_is_soon_told_to_wait(store: Store, runner: asyncio.Runner) -> None:
    browser = Browser(store, runner, serve_address_failures=1, serve_burst_seconds=3)
    try:
        assert [browser.sign_in("lf_x").status_code for _ in range(4)] == [401, 401, 401, 429]
        assert browser.sign_in().status_code == 303  # a good one is not refused for its address
    finally:
        browser.close()


def test_se1_a_session_ends_with_its_token(browser: Browser) -> None:
    browser.sign_in()
    assert browser.get("/").status_code == 200
    browser.source.now = with_tokens(browser.source.now, Token("other", digest("x"), scopes=frozenset({Scope.QUERY})))
    assert browser.get("/").status_code == 303
    assert browser.get("/api/v1/datasets").status_code == 401


def test_se1_a_session_ends_when_its_token_gets_another_secret(browser: Browser) -> None:
    browser.sign_in()
    rotated = Token("acme", digest(text_of("acme", bytes([9]) * 32)), scopes=frozenset({Scope.QUERY}))
    browser.source.now = with_tokens(browser.source.now, rotated)
    assert browser.get("/").status_code == 303


def test_se1_a_session_ends_when_its_token_may_search_no_more(browser: Browser) -> None:
    browser.sign_in()
    browser.source.now = with_tokens(browser.source.now, Token("acme", digest(ACME)))
    assert browser.get("/").status_code == 403
    assert browser.get("/api/v1/datasets").status_code == 403


def test_a_session_ends_after_its_hours(browser: Browser) -> None:
    browser.sign_in()
    browser.clock.advance(12 * 3600 - 1)
    assert browser.get("/").status_code == 200
    browser.clock.advance(2)
    assert browser.get("/").status_code == 303


def test_se2_a_cookie_that_was_changed_opens_nothing(browser: Browser) -> None:
    browser.sign_in()
    good = browser.cookies["logflume_session"]
    id, end, signature = good.split(".")
    for bad in (
        f"{id}.{int(end) + 1}.{signature}",
        f"globex.{end}.{signature}",
        f"{id}.{end}.{signature[:-1]}{'A' if signature[-1] != 'A' else 'B'}",
        f"{id}.{end}.",
        f"{id}.{end}",
        f"{id}.x.{signature}",
        f"{id}.²{end}.{signature}",
        "." * 100,
        "é" * 10,
    ):
        answer = browser.get("/", headers={"Cookie": f"logflume_session={bad}".encode()})
        assert answer.status_code == 303, bad


def test_sessions_hold_for_all_servers_with_the_same_key_and_for_no_other(store: Store, runner: asyncio.Runner) -> None:
    one, same, other, none = (
        Browser(store, runner, **given)
        for given in ({"serve_session_key": "k"}, {"serve_session_key": "k"}, {"serve_session_key": "l"}, {})
    )
    try:
        one.sign_in()
        for each in (same, other, none):
            each.cookies = one.cookies
        assert [each.get("/").status_code for each in (same, other, none)] == [200, 303, 303]
    finally:
        for each in (one, same, other, none):
            each.close()


def test_signing_out_ends_it(browser: Browser) -> None:
    browser.sign_in()
    assert browser.post("/sign-out").headers["location"] == "/sign-in"
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://other.logflume"},
        {"Sec-Fetch-Site": "cross-site", "Origin": HERE},
        {"Sec-Fetch-Site": "none", "Origin": "null"},
    ],
)
@pytest.mark.parametrize("path", ["/queries/x/cancel", "/sign-out", "/theme", "/sign-in", "/api/v1/query"])
def test_p2_another_sites_page_changes_nothing(browser: Browser, path: str, headers: dict[str, str]) -> None:
    browser.sign_in()
    answer = browser.post(path, {"token": ACME, "theme": "dark"}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_p2_a_browser_that_says_only_the_origin_is_believed(browser: Browser) -> None:
    browser.sign_in()

    async def bare(origin: str | None) -> int:
        headers = {} if origin is None else {"Origin": origin}
        transport = httpx.ASGITransport(browser.application)
        async with httpx.AsyncClient(transport=transport, base_url=HERE, cookies=browser.cookies) as client:
            return (await client.post("/theme", data={"theme": "dark"}, headers=headers)).status_code

    assert browser.runner.run(bare(HERE)) == 303
    assert browser.runner.run(bare("http://evil.example")) == 403
    assert browser.runner.run(bare("null")) == 403
    assert browser.runner.run(bare(None)) == 403


def test_a_bearer_token_needs_no_origin(browser: Browser) -> None:
    answer = browser.post(
        "/api/v1/query",
        headers={"Authorization": f"Bearer {ACME}", "Sec-Fetch-Site": "cross-site", "Content-Type": "application/sql"},
        content=b"SELECT count(*) AS n FROM http_requests",
    )
    assert answer.json()["rows"] == [{"n": 2}]


@pytest.mark.parametrize(
    "back", ["//evil.example", "https://evil.example", "/\\evil.example", "/\r\nSet-Cookie: a=b", "javascript:alert(1)"]
)
def test_nobody_is_sent_to_another_site(browser: Browser, back: str) -> None:
    assert browser.post("/sign-in", {"token": ACME, "back": back}).headers["location"] == "/"
    assert browser.post("/theme", {"theme": "dark", "back": back}).headers["location"] == "/"


def test_p3_every_answer_lets_run_and_load_only_what_comes_from_here(browser: Browser) -> None:
    browser.sign_in()
    for path in (
        "/",
        "/sign-in",
        "/nowhere",
        "/static/page.js",
        "/api/v1/datasets",
        "/explore/http_requests?since=all",
    ):
        headers = browser.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' data:",
            "connect-src": "'self'",
            "form-action": "'self'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
        }
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"


def test_without_a_configuration_it_says_so(browser: Browser) -> None:
    browser.sign_in()
    browser.source.now = None
    answer = browser.get("/")
    assert answer.status_code == 503
    assert "no configuration yet" in texts(answer.text)
    assert browser.sign_in().status_code == 503


def test_colours_are_kept_in_a_cookie(browser: Browser) -> None:
    assert 'data-theme="auto"' in browser.html("/sign-in")
    browser.post("/theme", {"theme": "dark", "back": "/sign-in"})
    assert 'data-theme="dark"' in browser.html("/sign-in")
    browser.post("/theme", {"theme": '"><script>', "back": "/sign-in"})
    assert 'data-theme="dark"' in browser.html("/sign-in")


def test_a_link_does_not_make_somebody_else_of_who_is_signed_in(browser: Browser) -> None:
    assert "data-again" not in browser.html("/sign-in")
    browser.sign_in()
    assert "data-again" in browser.html("/sign-in")


def test_a_form_of_more_fields_than_any_has_is_not_read(browser: Browser) -> None:
    async def many() -> int:
        answer = await browser.send("POST", "/theme", content=b"a=&" * 1_000)
        return answer.status_code

    assert browser.runner.run(many()) == 400
