"""``LOGFLUME_URL``: a server answers as the tables do, and what it says of mistakes is told as here."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from logflume.cli import remote
from logflume.cli.main import DONE, FAILED, INTERRUPTED, REFUSED, WRONG_USE, run
from logflume.errors import Retryable
from logflume.explore import query
from logflume.explore.engine.engine import TooLong
from logflume.model import dataset
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.api import ACME, SENDER
from tests.support.asking import forks
from tests.support.serving import Serving
from tests.support.tables import DAY, NOON, SMALL, append
from tests.support.waiting import until

BIG = '{"big":18446744073709551616,"deep":["\\\\ud800"]}'
TENS = "WITH a AS (SELECT unnest(range(0, 10)) AS n)"
ENDLESS = f"{TENS} SELECT a0.n FROM {', '.join(f'a AS a{n}' for n in range(12))} LIMIT 100000000"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    for day in range(3):
        append(
            store,
            [f"{day}-{n}" for n in range(4)],
            upto=4 * day + 4,
            times=[NOON + day * DAY + 1000 * n for n in range(4)],
            EdgeResponseStatus=[200, 403, 200, None],
            ClientRequestHost=["a.example", "=1+1", "\x1b[2J", None],
            RequestHeaders=[[("k", "v")], None, None, []],
            _extra=[BIG, None, None, None],
        )
    append(store, ["theirs"], tenant="globex")
    return store


@pytest.fixture(scope="module")
def server(store: Store) -> Iterator[Serving]:
    serving = Serving(store, explore_rows=100_000_000)
    yield serving
    serving.stop()


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setattr(query, "opened", partial(query.opened, forks=forks()))

    def call(*arguments: str, url: str = "", token: str = ACME) -> tuple[int, str, str]:
        with monkeypatch.context() as given:
            if url:
                given.setenv("LOGFLUME_URL", url)
                given.setenv("LOGFLUME_TOKEN", token)
            else:
                given.setenv("LOGFLUME_STORE_URL", store.url)
            code = run(arguments)
        printed = capsys.readouterr()
        return code, printed.out, re.sub(r"in [0-9.]+ s", "in a moment", printed.err)

    return call


ALL = "SELECT * FROM http_requests ORDER BY RayID"


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", ALL),
        ("query", ALL, "--json"),
        ("query", ALL, "--csv"),
        ("query", ALL, "--json", "--limit", "5"),
        ("query", ALL, "--json", "--since", "2025-11-26", "--until", "2025-11-27T12:00:00.000002Z"),
        ("query", "SELECT 1 AS a, 2 AS a", "--json"),
        ("query", "SELECT 1 AS a WHERE false"),
        ("query", "SELECT 1 AS a WHERE false", "--csv"),
        ("find", "1-0"),
        ("find", "1-0", "--json"),
        ("find", "theirs"),
        ("find", "x' OR '1'='1"),
        ("query", "SELECT * FROM other"),
        ("query", "SELECT 1 AS a FROM"),
        ("query", "SELECT nothing FROM http_requests"),
        ("query", "COPY http_requests TO '/tmp/x'"),
        ("query", ALL, "--since", "soon"),
        ("query", ALL, "--json", "--csv"),
    ],
    ids=" ".join,
)
def test_a_server_answers_as_the_tables_do(
    command: Command, server: Serving, store: Store, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tables are asked with the datasets that this server has.
    monkeypatch.setattr(dataset, "load", lambda _: {"http_requests": SMALL})
    here = command(*arguments, "--tenant", "acme")
    assert command(*arguments, url=server.url) == here


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    serving = Serving(Store(f"file://{tmp_path_factory.mktemp('empty')}"))
    yield serving
    serving.stop()


def test_nothing_at_rest_is_told_as_here(command: Command, empty: Serving) -> None:
    code, _, err = command("query", "SELECT * FROM http_requests", url=empty.url)
    assert (code, err) == (FAILED, "failed: nothing of this tenant has come to rest in this dataset yet\n")
    assert command("find", "x", url=empty.url)[2] == "failed: no record of the tenant 'acme' has the id 'x'\n"


@pytest.fixture(scope="module")
def recently(store: Store) -> Iterator[Serving]:
    serving = Serving(store, explore_recent_sql="on")
    yield serving
    serving.stop()


def test_what_is_recent_is_for_the_server_to_say(
    command: Command, recently: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql = ("query", "SELECT count(*) AS n FROM http_requests", "--json")
    there = command(*sql, url=recently.url)
    assert command(*sql, "--since", "beginning", url=recently.url) == (DONE, '{"n":12}\n', "")
    monkeypatch.setattr(dataset, "load", lambda _: {"http_requests": SMALL})
    monkeypatch.setenv("LOGFLUME_EXPLORE_RECENT_SQL", "on")
    here = command(*sql, "--tenant", "acme")
    assert there == here
    assert here[1] == '{"n":4}\n'
    assert "the last 15 minutes that there are" in here[2]


def test_rows_that_wait_are_asked_for_there(command: Command, server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = command("query", ALL, "--live", url=server.url)  # this one has no Kafka
    assert (code, err) == (REFUSED, "refused: there is no Kafka here whose waiting rows could be added\n")
    ask = remote.Server.ask
    told = {"live": {"rows": 2, "bytes": 9, "partial": "too many"}}
    monkeypatch.setattr(remote.Server, "ask", lambda self, path: ask(self, path) | told)
    err = command("query", ALL, "--json", url=server.url)[2]
    assert err == "2 rows waited in Kafka\nMore rows may wait in Kafka: too many\n"


def test_the_token_says_whose_tables_these_are(command: Command, server: Serving) -> None:
    sql = "SELECT count(*) AS n FROM http_requests"
    assert json.loads(command("query", sql, "--json", "--tenant", "acme", url=server.url)[1]) == {"n": 12}
    code, out, err = command("query", sql, "--tenant", "globex", url=server.url)
    assert (code, out) == (WRONG_USE, "")
    assert "LOGFLUME_TOKEN is one of the tenant 'acme', not of 'globex'" in err
    assert command("query", sql)[0] == WRONG_USE


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "LOGFLUME_TOKEN is not set"),
        ("lf one\ntwo", "LOGFLUME_TOKEN is no token"),
        ("lf_wrong_" + "A" * 43, "LOGFLUME_TOKEN: this token is no tenant's, or has expired"),
        (SENDER, "LOGFLUME_TOKEN: this token lacks the scope query"),
    ],
)
def test_a_token_that_opens_nothing_is_told_and_never_shown(
    command: Command, server: Serving, token: str, why: str
) -> None:
    code, out, err = command("query", ALL, url=server.url, token=token)
    assert (code, out) == (WRONG_USE, "")
    assert why in err
    assert not token or token not in err
    assert not token or token not in repr(Settings(url=server.url, token=token))


@pytest.mark.parametrize(
    "url", ["logs.example", "ftp://logs.example", "https://", "https://user:pw@logs.example", "::"]
)
def test_an_address_that_is_none_is_told(command: Command, url: str) -> None:
    code, _, err = command("query", ALL, url=url)
    assert (code, err) == (
        WRONG_USE,
        "misconfigured: LOGFLUME_URL is no address such as https://logs.example:8090\n",
    )


class _Odd(BaseHTTPRequestHandler):
    """Answers that ``logflume serve`` does not give."""

    status, body, length = 200, b"", 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.send_header("Content-Length", str(self.length or len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "body", "length", "why"),
    [
        (502, b"<h1>Bad gateway</h1>", 0, "answered 502, and not as `logflume serve` does"),
        (302, b"", 0, "answered 302"),
        (200, b"<h1>Hello</h1>", 0, "gave no answer that can be read"),
        (200, b"\xff\xff\xff\xff", 900, "can't be reached"),
    ],
)
def test_what_is_no_such_server_is_told(command: Command, status: int, body: bytes, length: int, why: str) -> None:
    handler = type("Handler", (_Odd,), {"status": status, "body": body, "length": length})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as odd:
        threading.Thread(target=odd.serve_forever, daemon=True).start()
        code, _, err = command("query", ALL, url=f"http://127.0.0.1:{odd.server_address[1]}/")
        odd.shutdown()
    assert code == FAILED
    assert why in err


def test_nobody_there_is_told(command: Command) -> None:
    code, _, err = command("query", ALL, url="http://127.0.0.1:1")
    assert code == FAILED
    assert "http://127.0.0.1:1 can't be reached" in err


def asked(server: Serving) -> AbstractContextManager[remote.Server]:
    return remote.opened(Settings(url=server.url, token=ACME))


def queries(server: Serving) -> list[dict[str, Any]]:
    """The newest first."""
    with asked(server) as mine:
        found: list[dict[str, Any]] = mine.ask("/queries")["queries"]
        return found


def test_whoever_interrupts_ends_the_query_at_the_server(
    command: Command, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[str] = []
    end = remote.Server._end

    def noted(self: remote.Server, id: str) -> None:
        deleted.append(id)
        end(self, id)

    def interrupt(*_: Any) -> int:
        seen.append(queries(server)[0])
        raise KeyboardInterrupt

    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(remote.Server, "_end", noted)
    monkeypatch.setattr("logflume.cli.answer._show_json", interrupt)
    assert command("query", ENDLESS, "--json", url=server.url)[0] == INTERRUPTED
    assert seen[0]["state"] == "running"
    assert deleted == [seen[0]["id"]]
    until(lambda: queries(server)[0]["state"] == "cancelled", 10, "its end")


def test_how_far_a_query_is_can_be_seen_meanwhile(server: Serving) -> None:
    with asked(server) as mine:
        with mine.query("", ENDLESS) as result:
            next(result.batches)
            seen = until(mine.seen, 10, "something seen")
            assert seen.rows > 0
            assert seen.scanned.of_files == 0
        until(lambda: queries(server)[0]["state"] == "cancelled", 10, "its end")
        assert mine.seen() is None


def test_an_answer_that_breaks_off_is_told_with_the_servers_reason(store: Store) -> None:
    hasty = Serving(store, explore_seconds=3.0, explore_rows=100_000_000)
    try:
        with asked(hasty) as mine, mine.query("", ENDLESS) as result:
            sizes: list[int] = []
            with pytest.raises(TooLong, match="longer than 3 s"):
                sizes.extend(batch.num_rows for batch in result.batches)
            assert sum(sizes) > 100_000  # more than the network hands over at once
    finally:
        hasty.stop()


def test_a_part_is_not_taken_for_the_whole(server: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    with asked(server) as mine:
        ask = mine.ask
        monkeypatch.setattr(mine, "ask", lambda path: ask(path) | {"row_count": 13})
        with mine.query("", ALL) as result, pytest.raises(Retryable, match="broke off after 12 rows"):
            result.read_all()


def test_a_query_that_was_read_is_not_ended_once_more(
    command: Command, server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote.Server, "_end", lambda self, id: pytest.fail("it was ended"))
    assert command("query", ALL, "--json", url=server.url + "/")[0] == DONE
    assert queries(server)[0]["state"] == "done"
