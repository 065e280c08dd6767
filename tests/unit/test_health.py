"""A worker's /metrics, /live and /ready."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from logflume import health, metrics
from logflume.errors import Misconfigured
from logflume.health import Server

Start = Callable[..., Server]


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[Server] = []

    def build(live: health.Check = lambda: None, ready: health.Check = lambda: None) -> Server:
        made.append(health.serve("127.0.0.1", 0, live, ready))
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
        health.serve(host, int(port), lambda: None, lambda: None)


def test_a_closed_server_frees_its_port_and_may_be_closed_again(start: Start) -> None:
    server = start()
    host, port = server.address.split(":")
    server.close()
    server.close()
    health.serve(host, int(port), lambda: None, lambda: None).close()
