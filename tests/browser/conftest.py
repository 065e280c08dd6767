"""One server and one browser for the tests of a module: 1.2 million requests of an attacked tenant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Person, Site, chromium, signed_in, site
from tests.support.services import Run


@pytest.fixture(scope="module")
def served(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = site(run, tmp_path_factory.mktemp("site"))
    yield found
    found.worker.kill()
    print(found.worker.process.tail(30))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def person(browser: Browser, served: Site) -> Iterator[Person]:
    """Somebody who is signed in, and whose browser has nothing to complain of in the end."""
    with signed_in(browser, served) as person:
        yield person
