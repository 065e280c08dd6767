"""The prompt of ``logflume query``, typed into."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from logflume.cli import asking, prompt
from logflume.cli.answer import Form, Output
from logflume.cli.asking import Asking
from logflume.cli.completing import Completing
from logflume.cli.main import WRONG_USE, run
from logflume.errors import Misconfigured, Retryable
from logflume.explore import query
from logflume.model import dataset
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.api import ACME
from tests.support.asking import forks
from tests.support.serving import Serving
from tests.support.tables import NOON, SMALL, append
from tests.support.waiting import until

COUNT = "SELECT count(*) AS n FROM http_requests;"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, ["one", "two"], times=[NOON, NOON + 1_000_000_000])
    return store


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[Serving]:
    serving = Serving(store)
    yield serving
    serving.stop()


@pytest.fixture(params=["tables", "server"])
def chosen(
    request: pytest.FixtureRequest, store: Store, server: Serving, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Settings:
    """Of the tables themselves, and of a server: a prompt is the same."""
    monkeypatch.setattr(query, "opened", partial(query.opened, forks=forks()))
    monkeypatch.setattr(dataset, "load", lambda _: {"http_requests": SMALL})
    where = {"store_url": store.url} if request.param == "tables" else {"url": server.url, "token": ACME}
    return Settings(state_dir=tmp_path / "state", **where)


Typed = Callable[..., tuple[str, str]]


@pytest.fixture
def typed(chosen: Settings, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a text, to its end, and return what was printed."""

    def type(text: str, form: Form = Form.JSON, **more: Any) -> tuple[str, str]:
        with (
            create_pipe_input() as input,
            asking.opened(chosen, "" if chosen.url else "acme") as whom,
        ):
            input.send_text(text)
            asked = prompt.Asked("", "", 10_000, Output(form))
            prompt.run(whom, chosen, asked, input=input, screen=DummyOutput())
        printed = capsys.readouterr()
        return printed.out, printed.err

    return type


def test_queries_are_answered_one_after_another_until_the_end(typed: Typed) -> None:
    out, _ = typed(f"{COUNT}\rSELECT RayID FROM http_requests ORDER BY 1;\r\\q\r{COUNT}\r")
    assert out.splitlines() == ['{"n":2}', '{"RayID":"one"}', '{"RayID":"two"}']


def test_people_get_a_table_and_what_it_took(typed: Typed) -> None:
    out, err = typed(f"{COUNT}\r\\q\r", Form.TABLE)
    assert out.split() == ["n", "─", "2"]
    assert "1 row in" in err


def test_a_query_goes_on_over_lines_until_its_semicolon(typed: Typed) -> None:
    assert typed("SELECT\r1 AS a\r, 'x;\ry' AS b\r; -- so\r\\q\r")[0] == '{"a":1,"b":"x;\\ny"}\n'
    assert typed("SELECT 1 AS a; SELECT 2 AS a;\r\\q\r")[0] == '{"a":1}\n{"a":2}\n'


def test_what_goes_wrong_ends_the_query_and_not_the_prompt(typed: Typed) -> None:
    out, err = typed(f"SELECT nothing FROM http_requests;\rDROP TABLE http_requests;\r\\x\r\r;\r{COUNT}\r\\q\r")
    assert out == '{"n":2}\n'
    assert "No field named nothing" in err
    assert "refused: only SELECT may run here" in err
    assert "refused: there is no command \\x" in err


def test_a_time_range_holds_until_it_is_changed(typed: Typed) -> None:
    out, err = typed(f"\\since 2025-11-25T12:00:01Z\r{COUNT}\r\\since soon\r{COUNT}\r\\since\r{COUNT}\r\\q\r")
    assert out.splitlines() == ['{"n":1}', '{"n":1}', '{"n":2}']
    assert "since: 'soon' is no time" in err
    assert typed(f"\\until 2025-11-25T12:00:01Z\r{COUNT}\r\\q\r")[0] == '{"n":1}\n'


def test_tables_and_fields_are_listed(typed: Typed) -> None:
    assert "http_requests" in typed("\\d\r\\q\r")[0]
    out, err = typed("\\d http_requests\r\\d nothing\r\\?\r\\q\r")
    assert "EdgeStartTimestamp" in out
    assert "timestamp" in out
    assert "_received" in out
    assert "list a table's fields" in out
    assert "there is no table 'nothing'" in err


def test_an_interrupt_empties_the_line_and_ctrl_d_ends(typed: Typed) -> None:
    assert typed(f"SELECT nonsense\x03{COUNT}\r\x04")[0] == '{"n":2}\n'


ENDLESS = f"""WITH a AS (SELECT unnest(range(0, 10)) AS n)
SELECT a0.n FROM {", ".join(f"a AS a{n}" for n in range(12))} WHERE a0.n + a11.n > 100;"""


def test_an_interrupt_ends_the_query_and_not_the_prompt(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        until(whom.explorer.seen, 60, "the query")
        signal.pthread_kill(main, signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with create_pipe_input() as input, asking.opened(chosen, "" if chosen.url else "acme") as whom:
            input.send_text(f"{ENDLESS}\r{COUNT}\r\\q\r".replace("\nSELECT", " SELECT"))
            thread = threading.Thread(target=interrupt)
            thread.start()
            prompt.run(whom, chosen, prompt.Asked("", "", 10_000, Output(Form.JSON)), input=input, screen=DummyOutput())
            thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    printed = capsys.readouterr()
    assert printed.out == '{"n":2}\n'
    assert "cancelled" in printed.err


def test_the_history_is_kept_for_the_user_alone(typed: Typed, chosen: Settings) -> None:
    kept = chosen.state_dir / "query_history"
    kept.parent.mkdir()
    kept.touch(0o644)
    typed(f"{COUNT}\r\\q\r")
    assert COUNT in kept.read_text()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    up = "\x1b[A"
    assert typed(f"{up}{up}\r\\q\r")[0] == '{"n":2}\n'


def test_where_no_history_can_be_kept_there_is_a_prompt_still(
    typed: Typed, chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError("no")

    with monkeypatch.context() as given:
        given.setattr(os, "open", refuse)
        history = prompt._history(chosen.state_dir / "query_history")
    assert list(history.load_history_strings()) == []


def test_a_prompt_needs_a_terminal_and_writes_no_file(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, value in chosen.environment().items():
        monkeypatch.setenv(name, value)
    tenant = () if chosen.url else ("--tenant", "acme")
    assert run(["query", *tenant]) == WRONG_USE
    assert "needs a terminal" in capsys.readouterr().err
    with create_pipe_input() as input, asking.opened(chosen, "" if chosen.url else "acme") as whom:
        asked = prompt.Asked("", "", 1, Output(Form.PARQUET, tmp_path / "x"))
        with pytest.raises(Misconfigured, match="not of a prompt's"):
            prompt.run(whom, chosen, asked, input=input, screen=DummyOutput())


def proposed(text: str, whom: Asking | None = None, *, asked_for: bool = False) -> list[str]:
    known = whom or Asking(None, "acme", lambda: "acme", lambda: {"http_requests": SMALL}, 0.0)  # type: ignore[arg-type]
    event = CompleteEvent(completion_requested=asked_for)
    return [each.text for each in Completing(known).get_completions(Document(text), event)]


def test_names_are_proposed_where_they_may_stand() -> None:
    assert proposed("SELECT ray") == ["RayID"]
    assert proposed("SELECT Edge") == ["EdgeStartTimestamp", "EdgeResponseStatus"]
    assert proposed("SELECT * FROM ") == ["http_requests"]
    assert proposed("SELECT * FROM h") == ["http_requests"]
    assert proposed("SELECT _rec") == ["_received"]
    assert {"contains_text", "count", "coalesce"} <= set(proposed("SELECT co"))
    assert proposed("SELECT ") == []
    assert "RayID" in proposed("SELECT ", asked_for=True)
    assert proposed("\\s") == ["\\since"]
    assert proposed("\\d ") == ["http_requests"]


def test_whoever_cannot_be_asked_has_no_names_proposed() -> None:
    def away() -> Any:
        raise Retryable("away")

    assert proposed("SELECT ray", Asking(None, "", lambda: "", away, 0.0)) == []  # type: ignore[arg-type]
    assert "SELECT" in proposed("sel", Asking(None, "", lambda: "", away, 0.0))  # type: ignore[arg-type]


def test_what_ends_a_text_is_a_semicolon_that_is_one() -> None:
    assert [prompt.ended(text) for text in ("SELECT 1;", "SELECT 1; -- x", "\\d", "", "exit")] == [True] * 5
    assert [prompt.ended(text) for text in ("SELECT 1", "SELECT ';", "SELECT 1 -- ;", "SELECT 1; SELECT")] == [
        False
    ] * 4
    assert list(prompt.statements("SELECT ';' ; -- a\n;SELECT 2;")) == ["SELECT ';'", "-- a", "SELECT 2"]
    assert list(prompt.statements("SELECT 'open;")) == ["SELECT 'open;"]
