"""A person at a browser: the system's Chromium without a screen, by playwright, before a real ``logflume serve``."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from logflume.model.token import digest, text_of
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support import attacked, worker
from tests.support.attacked import Attacked
from tests.support.services import Run
from tests.support.waiting import until
from tests.support.worker import Worker

TOKEN: Final = text_of("analyst", bytes([5]) * 32)
WIDE: Final = (1280, 900)
NARROW: Final = (360, 740)
SECONDS: Final = 90
"""For one step: two cores may do much else."""
_TENANT: Final = """\
name: acme
datasets: {http_requests: , firewall_events: , events: }
tokens:
  - {id: analyst, sha256: %s, scopes: [query]}
"""


_USABLE: Final = """() => {
  const within = (each) => each.shadowRoot ? all(each.shadowRoot) : [];
  const all = (root) => [...root.querySelectorAll("*")].flatMap((each) => [each, ...within(each)]);
  const kind = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex], [role=button]";
  window.usable = all(document).filter((each) => each.matches(kind) && !each.disabled && each.tabIndex >= 0
    && each.checkVisibility({ visibilityProperty: true }));
  const reached = (event) => {
    const there = event.composedPath()[0];
    window.usable = window.usable.filter((each) => each !== there
      && !(each.type === "radio" && there.type === "radio" && each.name === there.name));
  };
  for (const root of new Set([document, ...window.usable.map((each) => each.getRootNode())])) {
    root.addEventListener("focusin", reached);  // what moves within a shadow root is told there alone
  }
  return window.usable.length;
}"""
"""Of radio buttons of one name Tab comes to one; arrows choose among them."""
_STAY: Final = """(there) => {
  const stay = (event) => {
    if (event.key === "Tab" && document.activeElement === there) event.preventDefault();
  };
  window.addEventListener("keydown", stay, true);
  window.leave = () => window.removeEventListener("keydown", stay, true);
}"""
"""Tab leads no further than there, so that it can be pressed some times before somebody looks."""
_TABS_AT_ONCE: Final = 10


@dataclass(frozen=True)
class Site:
    """A server with the attacked tenant's tables."""

    url: str
    told: Attacked
    worker: Worker
    tenants: Path

    @property
    def recent(self) -> str:
        """The address of the last ten minutes that have requests: some 20,000."""
        since, until = (datetime.fromtimestamp(self.told.end - ago, UTC) for ago in (600, 0))
        return f"/explore/http_requests?since={since:%Y-%m-%dT%H:%M:%SZ}&until={until:%Y-%m-%dT%H:%M:%SZ}"

    @property
    def link(self) -> str:
        """Signs in."""
        return f"{self.url}/sign-in#token={TOKEN}"


def site(run: Run, folder: Path, **settings: Any) -> Site:
    """Start a server of its own over the run's tables, which are made once."""
    store = run.folder / "attacked"
    with run.once("attacked") as made:
        if not made.exists():
            told = attacked.fill(Store(f"file://{store / 'data'}"))
            made.write_bytes(orjson.dumps(asdict(told)))
        read = orjson.loads(made.read_bytes())
    told = Attacked(**read | {"attack": tuple(read["attack"])})
    tenants = folder / "tenants"
    tenants.mkdir()
    (tenants / "acme.yaml").write_text(_TENANT % digest(TOKEN))
    chosen = Settings(
        store_url=f"file://{store / 'data'}",
        tenants_dir=str(tenants),
        state_dir=str(folder / "state"),
        kafka_bootstrap="",
        serve_port=0,
        serve_audit="off",
        serve_token_requests=0,
        serve_tenant_requests=0,
        **settings,
    )
    served = worker.start(run, folder, 0, "serve", chosen, {})

    def address() -> str:
        assert served.alive(), served.output()
        found = re.search(r"explore\.started.*(http://127\.0\.0\.1:\d+)", served.output())
        return found[1] if found else ""

    return Site(until(address, 120, "its address"), told, served, tenants)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give the system's Chromium. Within the block no other event loop can run in this thread."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "These tests need Chromium. On Debian: sudo apt-get install -y chromium"
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=root)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Person:
    """Somebody who looks at a site. ``troubles``: what the browser complained of, such as a script that it refused."""

    page: Page
    site: Site
    troubles: list[str] = field(default_factory=list)

    @classmethod
    def at(cls, browser: Browser, site: Site, size: tuple[int, int] = WIDE, **how: Any) -> Person:
        """Open a browser window that nobody has used before."""
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True, **how)
        page = context.new_page()
        page.set_default_timeout(SECONDS * 1000)
        expect.set_options(timeout=SECONDS * 1000)
        person = cls(page, site)
        page.on("console", person._heard)
        page.on("pageerror", lambda error: person.troubles.append(str(error)))
        return person

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and "status of 4" not in message.text:
            self.troubles.append(message.text)

    def sign_in(self) -> None:
        """By the link, as somebody hands it on."""
        self.page.goto(self.site.link)
        expect(self.page.get_by_role("heading", name="Datasets")).to_be_visible()

    @contextmanager
    def going(self) -> Iterator[None]:
        """Within the block something leads to another page; after it that is whole."""
        with self.page.expect_navigation(wait_until="load"):
            yield

    def click(self, there: Locator) -> None:
        """Click on what leads to another page."""
        with self.going():
            there.click()

    def open(self, path: str) -> None:
        """Go to an address of the site."""
        self.page.goto(self.site.url + path)

    def total(self) -> int:
        """How many records match, as the page says above the histogram."""
        return int(self.page.locator(".chart-head strong").inner_text().replace(",", ""))

    def column(self, name: str) -> list[str]:
        """What the table has in a column."""
        heads = [text.rstrip(" ↓↑") for text in self.page.locator("table.result > thead th").all_inner_texts()]
        at = heads.index(name) + 1
        return self.page.locator(f"table.result > tbody > tr:not(.opened) > td:nth-child({at})").all_inner_texts()

    # --- by keyboard alone --------------------------------------------------------------------------------------------

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, there: Locator, most: int = 400) -> None:
        """Press Tab until the focus is there: whatever can't be reached so fails."""
        expect(there).to_be_visible()
        there.evaluate(_STAY)
        try:
            for _ in range(0, most, _TABS_AT_ONCE):
                if there.evaluate("each => each === document.activeElement"):
                    return
                self.press(*["Tab"] * _TABS_AT_ONCE)
            raise AssertionError(f"Tab does not reach {there}")
        finally:
            self.page.evaluate("window.leave()")

    def enter(self, there: Locator) -> None:
        """Go there, and by Enter to where it leads."""
        self.tab_to(there)
        with self.going():
            self.press("Enter")

    def choose(self, there: Locator, option: str) -> None:
        """Choose in a list by typing what the option begins with, as far as it tells it from the others."""
        self.tab_to(there)
        self.page.keyboard.type(option)
        assert there.evaluate("each => each.selectedOptions[0].text") == option

    def write(self, there: Locator, text: str) -> None:
        """Write into a field, in place of what it has."""
        self.tab_to(there)
        self.press("Control+A")
        self.page.keyboard.type(text)

    def usable(self) -> int:
        """Mark all that can be seen and used, wherever it stands; returns how many they are."""
        return int(self.page.evaluate(_USABLE))

    def reached(self, usable: int) -> list[str]:
        """Press Tab as often as there is something to use, and some more; return what it has not come to."""
        for _ in range(usable + 20):
            self.page.keyboard.press("Tab")
        left: list[str] = self.page.evaluate("window.usable.map((each) => each.outerHTML.slice(0, 200))")
        return left

    # --- what everybody must be able to use ---------------------------------------------------------------------------

    def violations(self) -> list[str]:
        """What axe-core finds wrong with the page as it is."""
        found = Axe().run(self.page)
        return [
            f"{each['id']} ({each['help']}): {[node['html'][:200] for node in each['nodes'][:5]]}"
            for each in found.response["violations"]
        ]

    def stands_out(self) -> int:
        """By how many pixels the page is wider than the window."""
        found: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return found


@contextmanager
def signed_in(browser: Browser, site: Site) -> Iterator[Person]:
    """Give somebody who is signed in, and whose browser has nothing to complain of in the end."""
    person = Person.at(browser, site)
    person.sign_in()
    yield person
    person.page.context.close()
    assert person.troubles == []
