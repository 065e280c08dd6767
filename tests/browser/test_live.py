"""The page's live tail in a real browser, on a real Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from logflume.cli.main import DONE
from logflume.cli.main import run as command
from logflume.settings import Settings
from tests.conftest import StartWorker
from tests.support.browser import Person
from tests.support.serving_tail import serve


@pytest.mark.timeout(300)
def test_records_are_seen_as_they_come_and_no_more_when_the_token_ends(
    browser: Browser,
    settings: Settings,
    tmp_path: Path,
    worker: StartWorker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    served = serve(settings, tmp_path, worker, monkeypatch, capsys)
    served.send(0, 2)
    context = browser.new_context()
    person = Person(context.new_page(), served)
    person.page.goto(f"{served.url}/sign-in#token={served.token}")
    expect(person.page.get_by_role("heading", name="Datasets")).to_be_visible()
    person.open("/explore/events/tail?show=message&join=and&key=message&op=endsWith&value=.1")
    state, lines = person.page.locator("[data-live-state]"), person.page.locator("tbody tr")
    expect(state).to_contain_text("listening")
    sent = served.send(2, 5)
    expect(lines).to_have_count(3)
    assert person.column("message") == sent[1::2][::-1]

    person.page.get_by_role("button", name="Pause").click()
    expect(state).to_contain_text("paused")
    sent += served.send(5, 6)
    expect(state).to_contain_text("1 wait")
    expect(lines).to_have_count(3)
    person.page.get_by_role("button", name="Go on").click()
    expect(lines).to_have_count(4)
    assert person.column("message") == sent[1::2][::-1]

    assert command(["token", "revoke", "analyst"]) == DONE
    expect(person.page.get_by_role("alert")).to_contain_text("The stream has ended")
    context.close()
