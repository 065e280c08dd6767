"""``make pictures``: the pictures in docs/pictures, of the page over the attacked tenant's tables."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.sync_api import expect

from tests.support.browser import NARROW, Person, chromium, site
from tests.support.services import Run

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"
MOST_BYTES: Final = 150_000
WIDE: Final = (1280, 580)
_SPIKE: Final = "/explore/http_requests?since=12h&key=WAFAttackScore&op=lt&value=20&join=and&by=-&top=ClientIP"
_SQL: Final = (
    "/sql?since=12h&sql=SELECT r.ClientIP, f.Action, f.Description, count(*) AS n%0AFROM http_requests r JOIN "
    "firewall_events f ON f.RayID = r.RayID%0AGROUP BY 1, 2, 3 ORDER BY n DESC, 1 LIMIT 20"
)


@dataclass(frozen=True)
class Picture:
    """One of them: where, how wide, in which colours, and what is done before it is taken."""

    name: str
    path: str
    size: tuple[int, int] = WIDE
    theme: str = "light"
    before: Callable[[Person], None] = lambda _: None


def _opened(person: Person) -> None:
    person.page.locator(".opener").nth(1).click()
    expect(person.page.locator(".detail")).to_be_visible()


PICTURES: Final = (
    Picture("explore", "/explore/http_requests?since=12h"),
    Picture("spike", _SPIKE),
    Picture("record-dark", "/explore/http_requests?since=12h&by=ClientCountry", theme="dark", before=_opened),
    Picture("sql-dark", _SQL, theme="dark"),
    Picture("datasets", "/", size=(1280, 480)),
    Picture("telephone", "/explore/http_requests?since=12h", size=NARROW),
)


def main(folder: Path = FOLDER) -> int:
    """Make them all; exit code 1 when one is too large to be kept."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run.begin()
    code = 0
    try:
        with tempfile.TemporaryDirectory() as own, chromium() as browser:
            served = site(run, Path(own))
            for each in PICTURES:
                person = Person.at(browser, served, each.size, color_scheme=each.theme)
                person.sign_in()
                person.open(each.path)
                each.before(person)
                file = folder / f"{each.name}.png"
                person.page.screenshot(path=file)
                person.page.context.close()
                size = file.stat().st_size
                print(f"{file.name}: {size / 1000:.0f} kB")
                code |= size > MOST_BYTES
            served.worker.stop()
    finally:
        run.end()
    return code


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
