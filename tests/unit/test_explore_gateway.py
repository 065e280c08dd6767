"""What the gateway hands over, and to whom (G1 to G3)."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import GenericError
from obstore.store import LocalStore, S3Store

from logflume.explore import gateway as gateways
from logflume.explore.gateway import Gateway, Object, Pass, Pieces
from logflume.table.store import Store
from tests.support import waiting

DATA = bytes(range(256)) * 4
SIZE = len(DATA)
SECRET = b"what nobody may read"
PATH = "tables/acme/logs/_date=2025-11-25/part-1.parquet"
NAME = "logs/_date=2025-11-25/part-1.parquet"


class Answered:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()


class Asking:
    """Requests as they are written, nothing made tidy on the way."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __call__(self, key: str | None, path: str, method: str = "GET", **headers: str) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self._gateway.port, timeout=10)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in ({"x-amz-security-token": key} if key is not None else {}).items():
                connection.putheader(name, value)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            body = b"x" if method in ("PUT", "POST") else b""
            connection.putheader("content-length", str(len(body)))
            connection.endheaders(body)
            return Answered(connection.getresponse())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    for path in (PATH, "tables/globex/logs/_date=2025-11-25/theirs.parquet"):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_bytes(DATA)
    (folder / "secret").write_bytes(SECRET)
    return Store(f"file://{folder}")


@pytest.fixture(scope="module")
def gateway(store: Store) -> Iterator[Gateway]:
    with Gateway(store) as gateway:
        yield gateway


@pytest.fixture
def ask(gateway: Gateway) -> Asking:
    return Asking(gateway)


@pytest.fixture
def made(gateway: Gateway) -> Iterator[Pass]:
    made = gateway.admit({NAME: Object(PATH, SIZE)})
    yield made
    gateway.dismiss(made)


def test_g1_a_key_opens_the_objects_of_its_pass(ask: Asking, made: Pass) -> None:
    for name in (NAME, NAME.replace("=", "%3D"), NAME.replace("/", "%2F")):
        found = ask(made.key, f"/q/{name}")
        assert (found.status, found.body) == (200, DATA)
    head = ask(made.key, f"/q/{NAME}", "HEAD")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(SIZE), b"")


def test_g1_without_its_key_nothing_is_opened_or_listed(ask: Asking, made: Pass) -> None:
    wrong = [None, "", made.key[:-1], made.key + "x", made.key.swapcase(), "x" * 5000, f" {made.key}x"]
    for key in wrong:
        for method, path in (
            ("GET", f"/q/{NAME}"),
            ("HEAD", f"/q/{NAME}"),
            ("GET", "/q?list-type=2"),
            ("PUT", f"/q/{NAME}"),
        ):
            assert ask(key, path, method).status == 403, (key, method, path)
    assert made.bytes == 0
    assert ask(None, f"/q/{NAME}?x-amz-security-token={made.key}").status == 403
    assert len(made.key) >= 43  # 256 bits


def test_g1_another_passes_objects_are_not_there(gateway: Gateway, ask: Asking, made: Pass) -> None:
    other = gateway.admit({"theirs.parquet": Object("tables/globex/logs/_date=2025-11-25/theirs.parquet", SIZE)})
    assert ask(other.key, "/q/theirs.parquet").status == 200
    assert ask(made.key, "/q/theirs.parquet").status == 404
    assert ask(other.key, f"/q/{NAME}").status == 404
    listed = ask(other.key, "/q?list-type=2").body.decode()
    assert re.findall("<Key>(.*?)</Key>", listed) == ["theirs.parquet"]
    gateway.dismiss(other)


def test_g1_after_its_dismissal_a_key_opens_nothing(gateway: Gateway, ask: Asking) -> None:
    made = gateway.admit({NAME: Object(PATH, SIZE)})
    assert ask(made.key, f"/q/{NAME}").status == 200
    gateway.dismiss(made)
    gateway.dismiss(made)
    assert ask(made.key, f"/q/{NAME}").status == 403
    assert ask(made.key, "/q").status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/q/../secret",
        "/q/logs/../../secret",
        "/q/%2e%2e/secret",
        "/q/%2e%2e%2fsecret",
        "/q/logs/%2e%2e/%2e%2e/secret",
        "/q/logs%5c..%5csecret",
        f"/q/{PATH}",
        "/q//etc/passwd",
        "/q/file:///etc/passwd",
        f"/other/{NAME}",
        f"/q/./{NAME}",
        f"/q//{NAME}",
        f"/q/{NAME}/",
        f"/q/{NAME}%00",
        f"/q/x/../{NAME}",
        "/",
        "/q/",
        "/secret",
    ],
)
def test_g1_no_spelling_of_a_path_leads_to_what_is_not_in_the_pass(ask: Asking, made: Pass, path: str) -> None:
    found = ask(made.key, path)
    assert found.status == 404 or (path == "/q/" and b"<ListBucketResult>" in found.body) or found.status == 400
    assert DATA not in found.body
    assert SECRET not in found.body
    assert made.bytes == 0


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS", "COPY"])
def test_g2_nothing_is_written(store: Store, ask: Asking, made: Pass, method: str) -> None:
    for path in (f"/q/{NAME}", "/q/new", "/q", "/q?delete", f"/q/{NAME}?uploads"):
        assert ask(made.key, path, method).status == 405
    assert Path(store.full(PATH)).read_bytes() == DATA
    assert not Path(store.full("new")).exists()


@pytest.mark.parametrize(
    ("range", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=1000-", 1000, SIZE),
        ("bytes=-8", SIZE - 8, SIZE),
        ("bytes=-99999", 0, SIZE),
        ("bytes=1000-99999", 1000, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        # What is not understood asks for all of it.
        ("bytes=-", 0, SIZE),
        ("bytes=x-1", 0, SIZE),
        ("bytes=0-1,3-4", 0, SIZE),
        ("rows=0-1", 0, SIZE),
        ("bytes=\xb2-5", 0, SIZE),
        ("bytes=" + "9" * 5000 + "-", 0, SIZE),
    ],
)
def test_a_range_gives_those_bytes(ask: Asking, made: Pass, range: str, start: int, end: int) -> None:
    found = ask(made.key, f"/q/{NAME}", range=range)
    assert (found.status, found.body) == (206, DATA[start:end])
    assert found.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert made.bytes == end - start


@pytest.mark.parametrize("range", [f"bytes={SIZE}-", "bytes=5-4", "bytes=-0", "bytes=99999-100000"])
def test_a_range_of_nothing_is_416(ask: Asking, made: Pass, range: str) -> None:
    assert ask(made.key, f"/q/{NAME}", range=range).status == 416


def test_a_listing_names_what_is_below_its_prefix_with_its_size(gateway: Gateway, ask: Asking) -> None:
    made = gateway.admit({"a/x&<y>": Object("p", 7), "a/z": Object("p", 8), "b/z": Object("p", 9)})
    listed = ask(made.key, "/q?list-type=2&prefix=a%2F").body.decode()
    assert re.findall("<Key>(.*?)</Key>.*?<Size>(.*?)</Size>", listed) == [("a/x&amp;&lt;y&gt;", "7"), ("a/z", "8")]
    assert "<Contents>" not in ask(made.key, "/q?prefix=c").body.decode()
    gateway.dismiss(made)


def test_g3_it_counts_what_each_pass_has_read(gateway: Gateway, ask: Asking, made: Pass) -> None:
    other = gateway.admit({NAME: Object(PATH, SIZE), "unread": Object(PATH, SIZE)})
    ask(made.key, f"/q/{NAME}", range="bytes=0-9")
    ask(made.key, f"/q/{NAME}", range="bytes=0-9")  # kept by the gateway, and read all the same
    ask(other.key, f"/q/{NAME}")
    ask(other.key, "/q/unread", "HEAD")
    assert (made.bytes, made.opened) == (20, {NAME})
    assert (other.bytes, other.opened) == (SIZE, {NAME})
    gateway.dismiss(other)


def test_an_object_that_the_store_has_no_more_is_told_by_its_path(gateway: Gateway, ask: Asking) -> None:
    made = gateway.admit({"gone": Object("tables/acme/gone.parquet", 10)})
    assert ask(made.key, "/q/gone").status == 404
    assert made.lacking == "tables/acme/gone.parquet"
    gateway.dismiss(made)


class AwayStore(Store):
    """Nobody listens where it should be."""

    @cached_property
    def objects(self) -> Any:
        return S3Store(
            "b",
            endpoint="http://127.0.0.1:9",
            skip_signature=True,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0},
        )


def test_a_store_that_fails_is_told_without_its_address(store: Store) -> None:
    with Gateway(AwayStore(store.url)) as gateway:
        made = gateway.admit({NAME: Object(PATH, SIZE)})
        found = Asking(gateway)(made.key, f"/q/{NAME}")
        assert found.status == 400  # object_store would try a 500 again for minutes
        assert b"127.0.0.1:9" not in found.body
        assert "127.0.0.1:9" in made.failed


def test_a_large_object_is_read_part_by_part(ask: Asking, made: Pass, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "_PART_BYTES", 100)
    assert ask(made.key, f"/q/{NAME}").body == DATA
    assert ask(made.key, f"/q/{NAME}", range="bytes=50-349").body == DATA[50:350]
    assert made.bytes == SIZE + 300


@pytest.mark.parametrize("ends", ["store", "pass"])
def test_an_answer_that_can_not_go_on_ends_short(
    gateway: Gateway, store: Store, ask: Asking, made: Pass, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    whole = obstore.get_range_async

    async def once(objects: LocalStore, path: str, *, start: int, end: int) -> Any:
        if start:
            if ends == "store":
                raise GenericError("away")
            gateway.dismiss(made)
        return await whole(objects, path, start=start, end=end)

    monkeypatch.setattr(gateways, "_PART_BYTES", 300_000)  # no small pieces, which are kept
    monkeypatch.setattr(obstore, "get_range_async", once)
    Path(store.full(PATH)).with_name("large").write_bytes(bytes(700_000))
    made.objects = {"large": Object(f"{PATH.rpartition('/')[0]}/large", 700_000)}
    with pytest.raises(http.client.IncompleteRead):
        ask(made.key, "/q/large")
    assert made.failed == ("away" if ends == "store" else "")


def test_pieces_are_small_and_those_used_last() -> None:
    pieces = Pieces(most_bytes=250)
    for n in range(3):
        pieces.put(("a", n, n + 1), bytes(100))
        pieces.get(("a", 0, 1))
    assert [pieces.get(("a", n, n + 1)) is not None for n in range(3)] == [True, False, True]
    pieces.put(("a", 9, 10), bytes(256_001))
    assert pieces.get(("a", 9, 10)) is None


def test_what_lies_within_a_kept_end_comes_out_of_it_for_as_long_as_it_is_kept() -> None:
    pieces = Pieces(most_bytes=250)
    pieces.put(("a", 20, 40), bytes(range(20)))
    pieces.put(("a", 100, 200), bytes(range(100)), last=True)
    assert pieces.get(("a", 190, 200)) == bytes(range(90, 100))
    assert pieces.get(("a", 100, 103)) == bytes(range(3))
    assert [pieces.get(other) for other in (("a", 99, 110), ("a", 25, 30), ("b", 190, 200))] == [None] * 3
    pieces.put(("b", 0, 240), bytes(240), last=True)
    assert pieces.get(("a", 190, 200)) is None
    assert pieces.get(("b", 239, 240)) == bytes(1)


def test_a_piece_is_read_once_and_what_lies_in_a_files_end_not_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    whole = obstore.get_range_async

    async def counted(objects: LocalStore, path: str, *, start: int, end: int) -> Any:
        asked.append((start, end))
        return await whole(objects, path, start=start, end=end)

    monkeypatch.setattr(obstore, "get_range_async", counted)
    with Gateway(store) as gateway:
        for _ in range(2):
            made = gateway.admit({NAME: Object(PATH, SIZE)})
            assert Asking(gateway)(made.key, f"/q/{NAME}", range="bytes=8-15").body == DATA[8:16]
            assert Asking(gateway)(made.key, f"/q/{NAME}", range="bytes=-64").body == DATA[-64:]
            assert Asking(gateway)(made.key, f"/q/{NAME}", range="bytes=1000-1003").body == DATA[1000:1004]
            assert made.bytes == 8 + 64 + 4
    assert asked == [(8, 16), (SIZE - 64, SIZE)]


def test_what_is_read_ahead_is_read_whole_and_once_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    whole = obstore.get_range_async

    async def counted(objects: LocalStore, path: str, *, start: int, end: int) -> Any:
        asked.append((start, end))
        return await whole(objects, path, start=start, end=end)

    monkeypatch.setattr(obstore, "get_range_async", counted)
    monkeypatch.setattr(gateways, "_AHEAD_BYTES", 500)
    with Gateway(store) as gateway:
        made = gateway.admit({NAME: Object(PATH, SIZE)})
        gateway.read_ahead(made)
        waiting.until(lambda: made.ahead, 10)
        for wanted, data in (("bytes=8-15", DATA[8:16]), ("bytes=-64", DATA[-64:]), ("bytes=400-1100", DATA[400:1101])):
            assert Asking(gateway)(made.key, f"/q/{NAME}", range=wanted).body == data
        assert made.bytes == 8 + 64 + (SIZE - 400)  # what the query read
        gateway.dismiss(made)
        waiting.until(lambda: not made.ahead, 10)
        assert Asking(gateway)(made.key, f"/q/{NAME}").status == 403
        gateway.read_ahead(made)  # too late
        other = gateway.admit({NAME: Object(PATH, SIZE)})
        assert Asking(gateway)(other.key, f"/q/{NAME}").body == DATA
        assert not made.ahead
    assert asked == [(start, min(SIZE, start + 500)) for start in range(0, SIZE, 500)] + [(0, SIZE)]


def test_what_can_not_be_read_ahead_is_told_by_who_asks_for_it(gateway: Gateway, ask: Asking) -> None:
    made = gateway.admit({"gone": Object("tables/acme/gone.parquet", 10)})
    gateway.read_ahead(made)
    waiting.until(lambda: made.ahead, 10)
    assert ask(made.key, "/q/gone").status == 404
    assert made.lacking == "tables/acme/gone.parquet"
    gateway.dismiss(made)
