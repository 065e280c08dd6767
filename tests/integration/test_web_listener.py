"""What holds for every listener, by either event loop: TLS handshakes (HS1 to HS3), and who does not read (CO6)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from tests.support.waiting import until
from tests.support.web import LOOPS, Keys, keys, web

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def status(connection: socket.socket) -> int:
    """Of an answer to the end of its JSON."""
    data = b""
    while b"}" not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    return int(data[9:12])


def is_cut_off(connection: socket.socket, seconds: float = 30.0) -> bool:
    """Whether the other side ends it in this time."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@contextlib.contextmanager
def dripping(connection: socket.socket, data: bytes) -> Iterator[threading.Event]:
    """Within the block its bytes go one by one; the event tells that the other side would have no more."""
    refused, stop = threading.Event(), threading.Event()

    def drip() -> None:
        for byte in data:
            if stop.wait(0.05):
                return
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                refused.set()
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield refused
    finally:
        stop.set()
        thread.join()


def hello() -> bytes:
    """The first bytes of an honest handshake, as many as it takes to drip for a minute."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols([letter * 200 for letter in "abcdef"])
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="x").do_handshake()
    return outgoing.read()


def test_hs1_who_says_nothing_or_drips_is_cut_off_while_others_shake_hands(loop: str, tls: Keys) -> None:
    with (
        web(loop, tls, header_seconds=1.0) as server,
        server.bare() as silent,
        server.bare() as slow,
        dripping(slow, hello()) as refused,
    ):
        with server.connect() as honest:
            honest.sendall(GET)
            assert status(honest) == 200
        assert is_cut_off(silent)
        until(refused.is_set, 30, "the slow one is refused")


def test_hs2_handshakes_count_and_the_oldest_gives_way(loop: str, tls: Keys) -> None:
    with web(loop, tls, connections=4) as server, contextlib.ExitStack() as held:
        waiting = [held.enter_context(server.bare()) for _ in range(10)]
        for oldest in waiting[:6]:
            assert is_cut_off(oldest)
        honest = held.enter_context(server.connect())
        honest.sendall(GET)
        assert status(honest) == 200
        assert is_cut_off(waiting[6])
        assert not any(is_cut_off(each, 0.1) for each in waiting[7:])


def test_hs2_where_all_places_are_taken_one_newcomer_at_a_time_is_told(loop: str, tls: Keys) -> None:
    with web(loop, tls, connections=2) as server, contextlib.ExitStack() as held:
        for _ in range(2):
            taken = held.enter_context(server.connect())
            taken.sendall(GET)
            assert status(taken) == 200
        told = held.enter_context(server.connect())
        assert status(told) == 503
        with server.bare() as another:  # the one before has its answer, and has not said goodbye
            assert is_cut_off(another)
        assert server.connections <= 3
        taken.sendall(GET)
        assert status(taken) == 200


def test_hs3_a_stop_cuts_handshakes_off_and_accepts_nobody(loop: str, tls: Keys) -> None:
    with web(loop, tls) as server, server.bare() as shaking:
        assert not is_cut_off(shaking, 0.2)
        server.stop()
        assert is_cut_off(shaking)
        with pytest.raises(OSError, match="refused"):
            server.bare()


def test_a_heads_time_and_size_are_bounded_within_tls_as_without(loop: str, tls: Keys) -> None:
    with web(loop, tls, header_seconds=3.0) as server, server.connect() as flood, server.connect() as slow:
        flood.sendall(b"GET / HTTP/1.1\r\nX: " + b"y" * 40_000)
        assert status(flood) == 431
        with dripping(slow, GET[:-2] + b"X: y\r\n" * 500):
            assert status(slow) == 408


@pytest.mark.parametrize("secured", [False, True], ids=["plain", "tls"])
def test_co6_an_answer_that_nobody_reads_is_cut_off(loop: str, tls: Keys, secured: bool) -> None:
    with web(loop, tls if secured else None, idle_seconds=1) as server, server.connect() as deaf:
        deaf.sendall(GET.replace(b"/ ", b"/endless ", 1))
        until(lambda: server.endless == 1, 30, "it is being answered")
        until(lambda: server.endless == 0, 30, "nobody is answered any more")
        until(lambda: server.connections == 0, 30, "the connection is gone")


def test_co6_who_asks_on_and_never_reads_is_cut_off(loop: str) -> None:
    with web(loop, idle_seconds=1) as server, server.connect() as deaf:
        deaf.setblocking(False)

        def cut_off() -> bool:
            try:
                deaf.send(GET * 1000)
            except BlockingIOError:
                return False
            except OSError:
                return True
            return False

        until(cut_off, 60, "who asks on and on is cut off")
        until(lambda: server.connections == 0, 30, "the connection is gone")
