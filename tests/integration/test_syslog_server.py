"""The syslog listeners over loopback: who is listened to, what becomes of each message, and what nobody can hold up."""

from __future__ import annotations

import logging
import logging.handlers
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
import pytest
import trustme

from logflume import metrics
from logflume.edge.intake import NotAccepted
from logflume.errors import Fatal, Misconfigured
from logflume.model import Configuration, Tenant, TenantDataset, Token
from logflume.model.token import digest, text_of
from logflume.settings import Settings
from tests.support.listening import Listening
from tests.support.waiting import until

ACME, GLOBEX = text_of("a1", b"a" * 32), text_of("g1", b"g" * 32)
Row = tuple[str, dict[str, Any]]


class Client:
    """Takes lines as ``edge.Client`` does, or has no room, or fails."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.room = threading.Event()
        self.room.set()
        self.failure: Exception | None = None

    def log_ndjson(self, tenant: str, dataset: str, data: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        lines = data.splitlines()
        if not self.room.wait(0.05):
            self.rows.append((tenant, orjson.loads(lines[0])))
            raise NotAccepted("no room", 1)
        self.rows += [(tenant, orjson.loads(line)) for line in lines]

    def messages(self) -> list[str]:
        return [record["message"] for _, record in self.rows]


class Tenants:
    """Three tenants; ``initech`` does not want ``events``."""

    def current(self) -> Configuration:
        events = MappingProxyType({"events": TenantDataset("events", 30)})
        found = {
            "acme": Tenant("acme", events, tokens=(Token("a1", digest(ACME)),)),
            "globex": Tenant("globex", events, tokens=(Token("g1", digest(GLOBEX)),)),
            "initech": Tenant("initech", MappingProxyType({})),
        }
        return Configuration(1, "", MappingProxyType(found))


Start = Callable[..., Listening]


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def start(client: Client) -> Iterator[Start]:
    started: list[Listening] = []

    def begin(listen: str, **more: Any) -> Listening:
        settings = Settings(edge_syslog_listen=listen, edge_timeout_seconds=1, **more)
        started.append(Listening(settings, Tenants(), client))
        return started[-1]

    yield begin
    client.room.set()
    for each in started:
        each.stop()


def _connect(listener: Listening, at: int = 0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", listener.port(at)), timeout=10)


def _count(metric: Any) -> float:
    return float(metric._value.get())


# --- clients that others wrote ----------------------------------------------------------------------------------------


def test_logger_is_heard_by_tcp_and_udp_in_both_formats(client: Client, start: Start) -> None:
    listener = start("tcp://127.0.0.1:0?tenant=acme,udp://127.0.0.1:0?tenant=globex")
    tcp, udp = str(listener.port()), str(listener.port(1))
    logger = ["logger", "--server", "127.0.0.1", "-t", "checkout", "-p", "auth.warning"]
    data = ["--sd-id", "order@32473", "--sd-param", 'id="7"', "--msgid", "PAID"]
    subprocess.run([*logger, "--tcp", "-P", tcp, "--octet-count", "--rfc5424", *data, "five\nlines"], check=True)
    subprocess.run([*logger, "--tcp", "-P", tcp, "--rfc3164", "three"], check=True)
    subprocess.run([*logger, "--udp", "-P", udp, "--rfc5424=notime", "udp five"], check=True)
    subprocess.run([*logger, "--udp", "-P", udp, "--rfc3164", "udp three"], check=True)
    until(lambda: len(client.rows) == 4, 10, "four messages")
    tenants = {record["message"]: tenant for tenant, record in client.rows}
    assert tenants == {"five\nlines": "acme", "three": "acme", "udp five": "globex", "udp three": "globex"}
    for _, record in client.rows:
        assert (record["service"], record["level"], record["logger"]) == ("checkout", "WARNING", "auth")
        assert record["host"] == socket.gethostname().split(".")[0] or record["host"] == socket.gethostname()
    attributes = next(record["attributes"] for _, record in client.rows if record["message"] == "five\nlines")
    assert (attributes["order@32473.id"], attributes["msgid"]) == ("7", "PAID")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_pythons_syslog_handler_is_heard(client: Client, start: Start, kind: socket.SocketKind) -> None:
    scheme = "tcp" if kind == socket.SOCK_STREAM else "udp"
    listener = start(f"{scheme}://127.0.0.1:0?tenant=acme")
    handler = logging.handlers.SysLogHandler(("127.0.0.1", listener.port()), socktype=kind)
    handler.ident = "checkout[7]: "
    for level in (logging.ERROR, logging.INFO):
        handler.emit(logging.LogRecord("x", level, "", 0, "grüße %s", ("und küsse",), None))
    handler.close()
    until(lambda: len(client.rows) == 2, 10, "two messages")
    assert client.messages() == ["grüße und küsse"] * 2
    assert [record["level"] for _, record in client.rows] == ["ERROR", "INFO"]
    assert client.rows[0][1] | {"time": ""} == {
        "time": "",
        "level": "ERROR",
        "logger": "user",
        "host": "127.0.0.1",
        "service": "checkout",
        "message": "grüße und küsse",
        "attributes": {"procid": "7"},
    }


# --- whose messages they are ------------------------------------------------------------------------------------------


def test_a_token_in_structured_data_tells_the_tenant_and_is_never_stored(client: Client, start: Start) -> None:
    listener = start("udp://127.0.0.1:0?by=token")
    refused = metrics.EDGE_SYSLOG_REFUSED_MESSAGES
    before = {reason: _count(refused.labels(reason)) for reason in ("token", "no-token")}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", listener.port()))
        for data in (
            f'[logflume@32473 token="{ACME}" x="1"]',
            f'[logflume@32473 token="{GLOBEX}"]',
            f'[logflume@32473 token="{ACME[:-1]}x"]',
            f'[logflume@1 token="{ACME}"][logflume@2 token="{GLOBEX}"]',  # two tenants': no guess
            "-",
            f'[logflume@1 token="{ACME}" token="{ACME}"]',
        ):
            sender.send(f"<14>1 - - app - - {data} {len(data)}".encode())
    until(lambda: len(client.rows) == 3, 10, "three messages")
    found: dict[str, list[Any]] = {}
    for tenant, record in client.rows:
        found.setdefault(tenant, []).append(record["attributes"])
    assert found == {"acme": [{"logflume@32473.x": "1"}, {}], "globex": [{}]}
    assert "lf_" not in str(client.rows)
    assert _count(refused.labels("token")) - before["token"] == 2
    assert _count(refused.labels("no-token")) - before["no-token"] == 1


def test_a_connection_without_a_token_that_is_known_is_ended(client: Client, start: Start) -> None:
    listener = start("tcp://127.0.0.1:0?by=token")
    with _connect(listener) as sender:
        sender.sendall(f'<14>1 - - - - - [logflume@1 token="{ACME}"] good\n<14>1 - - - - - - bad\n'.encode())
        assert sender.recv(1) == b""
    until(lambda: client.messages() == ["good"], 10, "the good message")


def test_a_listener_for_a_tenant_that_does_not_want_the_dataset_is_refused(start: Start) -> None:
    for listen in ("udp://127.0.0.1:0?tenant=initech", "tcp://127.0.0.1:0?tenant=nobody"):
        with pytest.raises(Misconfigured, match="wants events"):
            start(listen)


@pytest.mark.parametrize(
    ("listen", "why"),
    [
        ("127.0.0.1:514?tenant=acme", "begins with"),
        ("udp://127.0.0.1?tenant=acme", "host and port"),
        ("udp://127.0.0.1:0", "whose messages"),
        ("udp://127.0.0.1:0?tenant=acme&by=token", "whose messages"),
        ("tcp://127.0.0.1:0?by=certificate", "only a client of tls"),
        ("tls://127.0.0.1:0?tenant=acme", "EDGE_SYSLOG_CERTIFICATE"),
        ("tcp://127.0.0.1:99999?tenant=acme", "range"),
        ("tcp://192.0.2.1:5140?tenant=acme", "can't listen"),
    ],
)
def test_a_mistake_in_the_setting_is_told_with_its_address(start: Start, listen: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        start(listen)


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def _tls_settings(authority: trustme.CA, folder: Path) -> dict[str, str]:
    server = authority.issue_cert("127.0.0.1")
    server.private_key_pem.write_to_path(folder / "key.pem")
    for blob in server.cert_chain_pems:
        blob.write_to_path(folder / "chain.pem", append=True)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return {
        "edge_syslog_certificate": str(folder / "chain.pem"),
        "edge_syslog_key": str(folder / "key.pem"),
        "edge_syslog_client_ca": str(folder / "ca.pem"),
    }


def _tls_send(listener: Listening, authority: trustme.CA, name: str | None, data: bytes) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if name is not None:
        authority.issue_cert(common_name=name).configure_cert(context)
    with _connect(listener) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
        secure.sendall(data)
        secure.unwrap().close()


def test_a_client_certificate_names_the_tenant(
    client: Client, start: Start, authority: trustme.CA, tmp_path: Path
) -> None:
    listener = start("tls://127.0.0.1:0?by=certificate", **_tls_settings(authority, tmp_path))
    _tls_send(listener, authority, "acme", b"17 <14>1 - - - - - a")
    until(lambda: len(client.rows) == 1, 10, "a message")
    assert client.rows[0][0] == "acme"
    refused = metrics.EDGE_SYSLOG_REFUSED_CONNECTIONS
    before = _count(refused.labels("certificate"))
    for name in ("initech", "nobody"):
        with pytest.raises(OSError):
            _tls_send(listener, authority, name, b"17 <14>1 - - - - - b")
    assert _count(refused.labels("certificate")) - before == 2
    before = _count(refused.labels("handshake"))
    with pytest.raises(OSError):
        _tls_send(listener, authority, None, b"17 <14>1 - - - - - c")
    with _connect(listener) as plain:
        plain.sendall(b"<14>in clear text\n")
        plain.settimeout(10)
        while plain.recv(1000):
            pass
    until(lambda: _count(refused.labels("handshake")) - before == 2, 10, "two refusals")
    assert len(client.rows) == 1


def test_a_handshake_that_does_not_come_is_not_waited_for(
    start: Start, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logflume.edge.syslog.server._HANDSHAKE_SECONDS", 0.2)
    listener = start("tls://127.0.0.1:0?tenant=acme", edge_syslog_connections=1, **_tls_settings(authority, tmp_path))
    with _connect(listener) as silent:
        until(lambda: listener.server._handshakes == 1, 10, "a handshake that counts")
        with _connect(listener) as second:
            assert second.recv(1) == b""  # SY1
        assert silent.recv(1) == b""
    until(lambda: listener.server._handshakes == 0, 10, "its end")


# --- pressure, limits, the end ----------------------------------------------------------------------------------------


def test_while_the_client_has_no_room_nothing_is_read_and_afterwards_nothing_is_missing(
    client: Client, start: Start
) -> None:
    listener = start("tcp://127.0.0.1:0?tenant=acme", edge_syslog_memory_bytes=100_000)
    client.room.clear()
    sent = threading.Event()
    total = 30_000

    def send() -> None:
        with _connect(listener) as sender:
            sender.settimeout(60)
            for number in range(total):
                sender.sendall(b"<14>%d %s\n" % (number, b"x" * 500))
        sent.set()

    thread = threading.Thread(target=send)
    thread.start()
    feed = listener.server._feed
    assert feed is not None
    until(lambda: listener.server._paused, 10, "a pause")
    until(lambda: len(client.rows) > 3, 10, "some tries without room")
    # One piece more than the limit: what was read at once, 256 kB, and what Python takes for its messages.
    assert feed.size < 100_000 + 2 * 262_144
    assert not sent.is_set()
    # A resume that a later pause overtook must not count, or nothing would bound what waits from then on.
    listener.server._resume()
    assert listener.server._paused
    client.room.set()
    thread.join()
    until(lambda: len(client.rows) >= total, 60, "all messages")
    assert [int(text.split()[0]) for text in client.messages()] == list(range(total))


def test_a_client_that_fails_is_told_so_that_the_process_can_end(client: Client, start: Start) -> None:
    listener = start("udp://127.0.0.1:0?tenant=acme")
    client.failure = Fatal("the producer is gone")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"<14>x", ("127.0.0.1", listener.port()))
        until(lambda: listener.failures, 10, "the failure")
    assert "the producer is gone" in str(listener.failures[0])


def test_too_many_connections_are_refused_and_a_quiet_one_gives_way(client: Client, start: Start) -> None:
    listener = start("tcp://127.0.0.1:0?tenant=acme", edge_syslog_connections=2)
    first, second = _connect(listener), _connect(listener)
    until(lambda: len(listener.server._streams) == 2, 10, "two connections")
    with _connect(listener) as third:
        assert third.recv(1) == b""
    min(listener.server._streams, key=lambda stream: stream.heard).heard -= 61
    with _connect(listener) as fourth:
        fourth.sendall(b"<14>heard\n")
        until(lambda: client.messages() == ["heard"], 10, "the fourth's message")
        assert first.recv(1) == b""
    first.close()
    second.close()


def test_an_idle_connection_is_ended(start: Start) -> None:
    listener = start("tcp://127.0.0.1:0?tenant=acme", edge_syslog_idle_seconds=0.2)
    with _connect(listener) as sender:
        assert sender.recv(1) == b""


def test_a_message_beyond_the_limit_is_cut_and_says_so(client: Client, start: Start) -> None:
    listener = start("tcp://127.0.0.1:0?tenant=acme,udp://127.0.0.1:0?tenant=acme", edge_syslog_message_bytes=2048)
    with _connect(listener) as sender:
        sender.sendall(b"<14>" + b"x" * 5000 + b"\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"<14>" + b"y" * 3000, ("127.0.0.1", listener.port(1)))
    until(lambda: len(client.rows) == 2, 10, "both messages")
    found = {record["message"][0]: record for _, record in client.rows}
    assert {key: record["attributes"] for key, record in found.items()} == {
        "x": {"missing_bytes": "2956"},
        "y": {"missing_bytes": "956"},
    }
    assert {len(record["message"]) for record in found.values()} == {2044}


def test_a_stop_hands_on_what_was_read_and_what_the_end_cut_off(client: Client, start: Start) -> None:
    listener = start("tcp://127.0.0.1:0?tenant=acme,udp://127.0.0.1:0?tenant=acme")
    with _connect(listener) as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        stream.sendall(b"<14>whole\n<14>without an end")
        for number in range(300):
            sender.sendto(b"<14>%d" % number, ("127.0.0.1", listener.port(1)))
        until(lambda: len(listener.server._streams) == 1, 10, "the connection")
        listener.stop()
    assert sorted(client.messages()) == sorted(["whole", "without an end", *map(str, range(300))])


def test_datagrams_that_the_kernel_dropped_are_counted(client: Client, start: Start) -> None:
    listener = start("udp://127.0.0.1:0?tenant=acme", edge_syslog_memory_bytes=1, edge_syslog_socket_bytes=1)
    lost = metrics.EDGE_SYSLOG_LOST_MESSAGES
    before = _count(lost)
    client.room.clear()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", listener.port()))
        sender.send(b"<14>first")
        until(lambda: listener.server._paused, 10, "a pause")
        for number in range(50):
            sender.send(b"<14>%d %s" % (number, b"x" * 500))
        client.room.set()
        until(lambda: not listener.server._paused and len(client.rows) > 1, 10, "the end of the pause")
        sender.send(b"<14>last")
        until(lambda: "last" in client.messages(), 10, "the last")
    dropped = _count(lost) - before
    assert dropped > 0
    assert dropped + len(client.rows) == 52


def test_what_a_stop_could_not_hand_on_is_counted(client: Client, start: Start) -> None:
    listener = start("tcp://127.0.0.1:0?tenant=acme")
    refused = metrics.EDGE_SYSLOG_REFUSED_MESSAGES.labels("stopped")
    before = _count(refused)
    client.room.clear()
    with _connect(listener) as sender:
        sender.sendall(b"".join(b"<14>%d\n" % number for number in range(500)))
        until(lambda: client.rows, 10, "a first try")
        listener.stop()
    assert _count(refused) - before >= 500 - len(client.rows) > 0
    assert "syslog messages were not handed on" in str(listener.failures[0])
