"""A worker's /metrics, /live and /ready."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from logflume import health, metrics
from logflume.errors import Misconfigured
from logflume.health import Server
from logflume.settings import Settings
from tests.support.waiting import until

Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[Server] = []

    def build(live: health.Check = lambda: None, ready: health.Check = lambda: None) -> Server:
        made.append(health.serve(Settings(http_port=0), live, ready))
        return made[-1]

    yield build
    for server in made:
        server.close()


def get(server: Server, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{server.address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_worker_that_is_well_says_so(start: Start) -> None:
    server = start()
    assert get(server, "/live") == (200, "ok\n")
    assert get(server, "/ready?verbose=1") == (200, "ok\n")


def test_the_reason_is_told_with_503_and_each_answer_is_asked_anew(start: Start) -> None:
    reasons: list[str | None] = ["no commit for 130 s", None]
    server = start(ready=lambda: reasons.pop(0))
    assert get(server, "/ready") == (503, "no commit for 130 s\n")
    assert get(server, "/ready") == (200, "ok\n")
    assert get(server, "/live") == (200, "ok\n")


def test_a_check_that_fails_is_not_ready_and_the_server_lives_on(start: Start) -> None:
    def broken() -> str | None:
        raise RuntimeError("boom")

    server = start(ready=broken)
    status, text = get(server, "/ready")
    assert (status, "boom" in text) == (503, True)
    assert get(server, "/live") == (200, "ok\n")


def test_metrics_are_served_with_their_values(start: Start) -> None:
    server = start()
    metrics.CONFIG_PAIRS.set(42)
    status, text = get(server, "/metrics")
    assert status == 200
    assert "logflume_config_active_pairs 42.0" in text
    assert "process_cpu_seconds_total" in text


def test_an_answer_names_no_versions(start: Start) -> None:
    with urllib.request.urlopen(f"http://{start().address}/metrics", timeout=10) as answer:
        assert answer.headers["Server"] == "logflume"


def test_other_paths_are_not_found(start: Start) -> None:
    assert get(start(), "/")[0] == 404


def test_a_silent_client_does_not_keep_others_waiting(start: Start) -> None:
    server = start()
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port))):
        assert get(server, "/live") == (200, "ok\n")


def test_a_taken_port_is_a_mistake_in_the_settings(start: Start) -> None:
    host, port = start().address.split(":")
    with pytest.raises(Misconfigured, match=f"http_port: cannot listen on {host}:{port}(.|\n)*LOGFLUME_HTTP_PORT"):
        health.serve(Settings(http_port=int(port)), lambda: None, lambda: None)


def test_a_closed_server_frees_its_port_and_may_be_closed_again(start: Start) -> None:
    server = start()
    port = server.address.split(":")[1]
    server.close()
    server.close()
    health.serve(Settings(http_port=int(port)), lambda: None, lambda: None).close()


def connected(server: Server) -> socket.socket:
    host, port = server.address.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def test_h1_a_client_that_drips_is_let_go(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_CLIENT_SECONDS", 0.5)
    server = start()
    with connected(server) as slow:
        slow.sendall(b"GET /live HTTP/1.1\r\nX: ")

        def cut_off() -> bool:
            try:
                slow.sendall(b"y")
                slow.settimeout(0.05)
                return slow.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        until(cut_off, 30, "the slow client cut off")
    assert get(server, "/live") == (200, "ok\n")


def test_h2_who_holds_many_connections_keeps_nobody_from_an_answer(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_CLIENT_SECONDS", 300.0)
    monkeypatch.setattr(health._Handler, "timeout", 300.0)
    server = start()
    held = [connected(server) for _ in range(health._MOST_CONNECTIONS * 2)]
    try:
        assert get(server, "/live") == (200, "ok\n")
        for oldest in held[: health._MOST_CONNECTIONS]:
            oldest.settimeout(30)
            assert oldest.recv(1) == b""
        assert len(server._http._open) <= health._MOST_CONNECTIONS
    finally:
        for each in held:
            each.close()


def test_h2_a_burst_of_connections_waits_its_turn_and_none_has_to_ask_again(start: Start) -> None:
    server = start()
    with contextlib.ExitStack() as opened:
        with server._http._lock:  # it takes none
            for _ in range(health._MOST_CONNECTIONS):
                opened.enter_context(connected(server))
        assert get(server, "/live") == (200, "ok\n")


def test_h1_who_does_not_read_the_answer_is_let_go(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_CLIENT_SECONDS", 0.5)
    monkeypatch.setattr(health, "_answer", lambda path, checks: (200, "text/plain", bytes(64 << 20)))
    server = start()
    with connected(server) as deaf:
        deaf.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        until(lambda: not answering(), 30, "the answer is given up")
    assert not server._http._open


def answering() -> list[str]:
    """The threads that talk to somebody."""
    return [thread.name for thread in threading.enumerate() if "process_request_thread" in thread.name]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /live HTTP/1.1\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /live HTTP/1.1\r\n" + b"".join(b"X%d: %s\r\n" % (at, b"y" * 500) for at in range(90)) + b"\r\n",
        b"GET /live HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n",
    ],
    ids=["the path", "one field", "many bytes", "many fields"],
)
def test_h4_a_head_is_bounded(start: Start, head: bytes) -> None:
    with connected(start()) as flood:
        answer = b""
        with contextlib.suppress(ConnectionError):  # what it does not read makes its end a reset
            flood.sendall(head)
            answer = flood.recv(1000)
        assert not answer or b" 431" in answer


def test_a_body_is_not_read(start: Start) -> None:
    server = start()
    with connected(server) as posting:
        posting.sendall(b"POST /metrics HTTP/1.1\r\nContent-Length: 900000000000\r\n\r\n")
        assert posting.recv(1000).startswith(b"HTTP/1.0 501")
        until(lambda: not server._http._open, 30, "the connection is closed")


def keys(folder: Path) -> tuple[trustme.CA, dict[str, str]]:
    """An authority, and settings with a certificate of its."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    (folder / "crt").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    (folder / "key").write_bytes(issued.private_key_pem.bytes())
    return authority, {"http_certificate": str(folder / "crt"), "http_key": str(folder / "key")}


def test_h1_a_handshake_that_does_not_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_CLIENT_SECONDS", 0.5)
    monkeypatch.setattr(health._Handler, "timeout", 300.0)
    server = health.serve(Settings(http_port=0, **keys(tmp_path)[1]), lambda: None, lambda: None)
    try:
        with connected(server) as silent:
            until(lambda: len(server._http._open) == 1, 30, "it counts")
            assert silent.recv(1) == b""
            until(lambda: not server._http._open, 30, "it is gone")
    finally:
        server.close()


def test_h3_with_a_certificate_it_speaks_tls_alone(tmp_path: Path) -> None:
    authority, tls = keys(tmp_path)
    server = health.serve(Settings(http_port=0, **tls), lambda: None, lambda: "not yet")
    try:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        with connected(server), urllib.request.urlopen(f"https://{server.address}/live", context=context) as answer:
            assert answer.read() == b"ok\n"
        with connected(server) as bare:
            bare.sendall(b"GET /live HTTP/1.0\r\n\r\n")
            assert b"ok" not in bare.recv(100)
    finally:
        server.close()
    with pytest.raises(Misconfigured, match="http_certificate, http_key: "):
        health.serve(Settings(http_port=0, http_certificate=tls["http_certificate"]), lambda: None, lambda: None)
