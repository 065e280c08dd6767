"""Connections that senders can't hold: CO1 to CO6, B2, SE1 and SE2, by raw sockets on a real port."""

from __future__ import annotations

import inspect
import json
import socket
import ssl
import threading
from pathlib import Path

import httpx
import pytest
import trustme
from uvicorn.protocols.http import httptools_impl

from logflume.errors import Misconfigured
from logflume.web.connection import Connection
from tests.support.edge import rows
from tests.support.http_edge import DATASETS, TOKEN, serving
from tests.support.producer import FakeProducer
from tests.support.waiting import until

BODY = b'{"message":"one"}\n'
HEAD = f"POST /v1/ingest/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """The status of all that comes until the server closes, and all of it; 0 when nothing comes."""
    data = b""
    while part := connection.recv(65536):
        data += part
    return int(data[9:12] or b"0"), data


def one(connection: socket.socket) -> int:
    """The status of one answer, on a connection that stays open."""
    data = b""
    while b"}" not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    return int(data[9:12])


def test_what_is_overridden_is_still_there_and_called_as_it_was() -> None:
    theirs, ours = httptools_impl.HttpToolsProtocol, Connection
    for name in vars(ours):
        if inspect.isfunction(getattr(ours, name)) and name in vars(theirs) and name != "__init__":
            assert list(inspect.signature(getattr(ours, name)).parameters) == list(
                inspect.signature(getattr(theirs, name)).parameters
            ), name
    used = ("cycle.response_complete", "self.connections", "self.timeout_keep_alive_task", "self.headers", "self.loop")
    source = inspect.getsource(theirs)
    assert all(name in source for name in used)
    assert "self.on_response_complete" in inspect.getsource(theirs.on_headers_complete)
    assert httptools_impl.STATUS_LINE[431].startswith(b"HTTP/1.1 431")


def test_a_connection_is_used_again_and_closed_when_it_is_idle() -> None:
    with serving(edge_http_idle_seconds=1) as server, server.connect() as sender:
        for _ in range(3):
            sender.sendall(WHOLE)
            assert one(sender) == 200
        assert sender.recv(1) == b""
        assert len(rows(server.producer.log, DATASETS)) == 3


def test_co1_a_head_that_does_not_come_to_its_end_is_answered_408_however_it_drips() -> None:
    with serving(edge_http_header_seconds=0.5) as server, server.connect() as sender:
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.05):
                try:
                    sender.sendall(b"X: y\r\n")
                except OSError:
                    return

        sender.sendall(HEAD)
        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            status = one(sender)
        finally:
            stop.set()
            dripping.join()
        assert status == 408


def test_co1_a_second_head_on_a_connection_is_bounded_too() -> None:
    with serving(edge_http_header_seconds=0.3) as server, server.connect() as sender:
        sender.sendall(WHOLE)
        assert one(sender) == 200
        sender.sendall(b"POST /v1")
        assert answer(sender)[0] == 408


def test_co1_a_connection_that_never_speaks_is_closed() -> None:
    with serving(edge_http_header_seconds=0.2) as server, server.connect() as sender:
        assert answer(sender) == (0, b"")


@pytest.mark.parametrize(
    "head",
    [
        HEAD + b"X: " + b"y" * 40_000,
        b"POST /" + b"y" * 40_000,
        HEAD + b"X: y\r\n" * 150 + b"\r\n",
        HEAD + b"".join(b"X%d: %s\r\n" % (number, b"y" * 500) for number in range(90)) + b"\r\n",
    ],
    ids=["one field", "the path", "many fields", "many bytes"],
)
def test_co2_a_head_is_bounded(head: bytes) -> None:
    with serving(edge_http_header_bytes=32_000) as server, server.connect() as sender:
        sender.sendall(head)
        assert answer(sender)[0] == 431


def test_co3_trailers_and_chunk_sizes_are_bounded() -> None:
    with serving(edge_http_header_bytes=2000) as server:
        for flood in (b"0\r\n" + b"X: " + b"y" * 5000, b"1;" + b"x" * 5000):
            with server.connect() as sender:
                sender.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
                until(lambda: server.listener.gateway.work.requests, 20, "the head is read")
                sender.sendall(flood)
                assert answer(sender)[0] == 400
            until(lambda: not server.listener.gateway.work.requests, 20, "the request has ended")
        with server.connect() as sender:
            chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY * 200) + b"0\r\nX: y\r\n\r\n"
            sender.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
            assert one(sender) == 200


def test_co4_a_sender_that_goes_on_after_its_answer_reads_it_and_is_cut_off() -> None:
    with serving(edge_http_body_bytes=1000) as server, server.connect() as sender:
        sender.sendall(HEAD + b"Content-Length: 900000000000\r\n\r\n")
        assert one(sender) == 413

        def cut_off() -> bool:
            try:
                sender.sendall(b" " * 1000)
            except OSError:
                return True
            return False

        until(cut_off, 20, "the connection is cut")


def test_co4_who_ends_the_refused_body_keeps_the_connection() -> None:
    with serving(edge_http_body_bytes=1000) as server, server.connect() as sender:
        sender.sendall(HEAD + b"Content-Length: 2000\r\n\r\n" + b" " * 500)
        assert one(sender) == 413
        sender.sendall(b" " * 1500 + WHOLE)
        assert one(sender) == 200


def test_co5_connections_are_bounded_and_the_newest_is_told() -> None:
    with serving(edge_http_connections=1) as server, server.connect() as first:
        first.sendall(WHOLE)
        assert one(first) == 200
        with server.connect() as second:
            status, text = answer(second)
            assert (status, b"retry-after: 2" in text) == (503, True)
        first.sendall(WHOLE)
        assert one(first) == 200


def test_b2_a_body_that_drips_is_answered_408_and_its_memory_given_back() -> None:
    with serving(edge_http_body_seconds=0.3, edge_http_body_rate=1000) as server, server.connect() as sender:
        sender.sendall(HEAD + b"Content-Length: 5000\r\n\r\n")
        for _ in range(3):
            sender.sendall(b" ")
        assert one(sender) == 408
        until(lambda: server.listener.gateway.work.used == 0, 20, "memory is given back")


def test_a_hundred_slow_senders_do_not_hold_up_one_that_is_quick() -> None:
    with serving(edge_http_header_seconds=20, edge_http_body_seconds=20) as server:
        slow = [server.connect() for _ in range(100)]
        try:
            for number, sender in enumerate(slow):
                sender.sendall(HEAD if number % 2 else HEAD + b"Content-Length: 5000\r\n\r\n {")
            with server.connect() as quick:
                quick.sendall(WHOLE)
                assert one(quick) == 200
        finally:
            for sender in slow:
                sender.close()


def test_se2_a_stop_lets_a_request_in_work_end() -> None:
    with serving(FakeProducer(away=True)) as server, server.connect() as sender, server.connect() as idle:
        sender.sendall(WHOLE)
        until(lambda: server.producer._waiting, 20, "it is in work")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert idle.recv(1) == b""
        with pytest.raises(OSError, match="refused"):
            server.connect()
        server.producer.back()
        assert answer(sender)[0] == 200
        stopping.join()


def test_nonsense_is_no_request() -> None:
    with serving() as server, server.connect() as sender:
        sender.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert answer(sender)[0] == 400


def test_se1_a_taken_port_is_misconfigured() -> None:
    with serving() as server, pytest.raises(Misconfigured, match="edge_http_port"), serving(edge_http_port=server.port):
        pass


def test_tls_by_certificate_and_key(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "chain.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    files = {
        "edge_http_certificate": str(tmp_path / "chain.pem"),
        "edge_http_key": str(tmp_path / "key.pem"),
    }
    with serving(**files) as server, httpx.Client(verify=trusting) as sender:
        assert server.url.startswith("https://")
        headers = {"Authorization": f"Bearer {TOKEN}"}
        found = sender.post(f"{server.url}/v1/ingest/events", content=BODY, headers=headers)
        assert json.loads(found.content)["rows"] == 1
    with pytest.raises(Misconfigured, match="edge_http_certificate"), serving(**files | {"edge_http_key": "/none"}):
        pass
