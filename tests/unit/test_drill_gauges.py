"""What a worker says of itself is read from one that answers, and from one that is killed while it does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from logflume.drill import gauges
from logflume.local import stack


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Somebody who says this once, whatever is asked, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def say() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=say)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_a_metric_is_the_sum_over_its_labels_and_a_ratio_the_greatest() -> None:
    told = b'logflume_rows_total{a="1"} 2\nlogflume_rows_total{a="2"} 3\nlogflume_used_ratio{a="1"} 0.5\n'
    told += b'logflume_used_ratio{a="2"} 0.25\n# HELP logflume_rows_total 9\n'
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told)) as port:
        assert gauges.read(f"http://127.0.0.1:{port}") == {"logflume_rows_total": 5.0, "logflume_used_ratio": 0.5}


@pytest.mark.parametrize(
    "cut", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nlogflume_rows_total 1\n", b"no HTTP at all\r\n"]
)
def test_one_that_is_killed_while_it_answers_has_told_nothing(cut: bytes) -> None:
    with answering(cut) as port:
        assert gauges.read(f"http://127.0.0.1:{port}") == {}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 503 Not Ready\r\nContent-Length: 9\r\n\r\nno broker", "no broker"),
        (b"HTTP/1.1 503 Not Ready\r\nContent-Length: 1000\r\n\r\nno bro", "HTTP Error 503: Not Ready"),
        (b"no HTTP at all\r\n", "no HTTP at all"),
    ],
)
def test_why_a_worker_is_not_ready_is_told_whatever_comes_of_its_answer(answer: bytes, why: str) -> None:
    with answering(answer) as port:
        assert why in (gauges.trouble(f"http://127.0.0.1:{port}") or "")
    with answering(answer) as port:
        assert why in (stack._not_ready(port) or "")
