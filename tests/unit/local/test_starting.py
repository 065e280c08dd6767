"""What is told when a tool is missing, and what is read back of a stack."""

from __future__ import annotations

import contextlib
import socket
import stat
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from logflume.errors import Misconfigured, Retryable
from logflume.local import kafka
from logflume.local import process as processes
from logflume.local.process import Process, free_ports, is_free
from logflume.local.record import Record
from logflume.local.stack import Stack
from logflume.local.supervisor import Program, Supervisor
from logflume.settings import GivenSettings, Settings


def tools(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """A path on which there are only these tools."""
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin" if scripts.get("mvn") else str(folder))


def test_missing_java_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(tmp_path, monkeypatch)
    with pytest.raises(Misconfigured, match="apt-get install -y maven"):
        kafka.jars(tmp_path)


def test_an_old_java_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools(tmp_path, monkeypatch, java="""echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    with pytest.raises(Misconfigured, match="needs Java 17"):
        kafka.jars(tmp_path)


JAVA = """echo 'openjdk version "21" 2023-09-19' >&2"""


def test_missing_maven_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(tmp_path, monkeypatch, java=JAVA)
    with pytest.raises(Misconfigured, match="apt-get install -y maven"):
        kafka.jars(tmp_path)


def test_a_failed_fetch_leaves_no_half_cache_and_the_next_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(tmp_path, monkeypatch, java=JAVA, mvn="echo no network; exit 1")
    cache = tmp_path / "cache"
    with pytest.raises(Retryable, match="no network"):
        kafka.jars(cache)
    # The last argument is -DoutputDirectory=<folder>.
    fetch = 'for last; do :; done; out="${last#-DoutputDirectory=}"; mkdir -p "$out"; touch "$out/kafka_2.13-4.1.0.jar"'
    tools(tmp_path, monkeypatch, java=JAVA, mvn=fetch)
    assert [jar.name for jar in kafka.jars(cache).iterdir()] == ["kafka_2.13-4.1.0.jar"]
    tools(tmp_path, monkeypatch, java=JAVA, mvn="exit 1")
    assert kafka.jars(cache).is_dir()


def test_a_folder_that_kafka_would_split_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools(tmp_path, monkeypatch, java=JAVA)
    (tmp_path / f"kafka-{kafka.VERSION}" / "libs").mkdir(parents=True)
    with pytest.raises(Misconfigured, match="no comma"):
        kafka.Broker.new(tmp_path / "one,two", tmp_path).prepare()


def test_free_ports_differ_and_a_taken_one_is_seen() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    with socket.create_server(("127.0.0.1", 0)) as given:  # as the system gives ports to clients
        assert max(ports) < given.getsockname()[1]
    with socket.socket() as server:
        server.bind(("127.0.0.1", ports[0]))
        server.listen()
        assert not is_free(ports[0])
    assert is_free(ports[0])


def test_no_port_is_given_twice_and_a_test_says_among_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_given", set())
    monkeypatch.setenv("LOGFLUME_TEST_PORTS", "20000-20040")
    given = [port for _ in range(10) for port in free_ports(3)]
    assert len({*given}) == 30
    assert 20000 <= min(given) < max(given) < 20040
    assert len({*free_ports(15)}) == 15, "of those that were given before"
    with pytest.raises(Retryable, match="no 41 free ports between 20000 and 20040"):
        free_ports(41)


def test_a_pid_that_passed_to_another_is_not_signalled(tmp_path: Path) -> None:
    process = Process.start([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    stranger = Process(process.pid, process.started - 60, process.log)
    assert not stranger.alive()
    stranger.stop()
    stranger.kill()
    assert process.alive()
    process.kill()
    assert not process.alive()


def test_a_process_tells_its_exit_code_and_its_last_words(tmp_path: Path) -> None:
    process = Process.start([sys.executable, "-c", "print('bye'); raise SystemExit(3)"], tmp_path / "deep" / "log")
    assert process.wait(20) == 3
    assert process.tail() == "bye"


def test_a_record_is_read_back_as_written_and_is_for_the_user_only(tmp_path: Path) -> None:
    assert Record.read(tmp_path) is None
    record = Record("t", "p", 1, (2, 3), (), {"sort-1": 4}, "a", "s", {"store_url": "file:///x"})
    record.write(tmp_path)
    assert Record.read(tmp_path) == record
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [0o600]


def test_restarts_are_counted_from_what_supervisord_logs(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, 1, "secret")
    assert supervisor.restarts() == {}
    supervisor.configure([Program("sort-1", ["x"], 90, worker=True)])
    line = "2026-01-01 00:00:00,000 INFO spawned: '{}' with pid 1\n"
    supervisor.log.write_text(line.format("sort-1") * 3 + line.format("kafka"))
    assert supervisor.restarts() == {"sort-1": 2, "kafka": 0}
    assert "secret" not in repr(supervisor)
    assert stat.S_IMODE((tmp_path / "supervisord.conf").stat().st_mode) == 0o600


def _answering(status: int, body: bytes) -> HTTPServer:
    """Something else at the port of a supervisord that is gone."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, b"", "HTTP 401"),
        (200, b"<html>", "ExpatError"),
        (200, b"", "Expat"),
        (404, b"no", "HTTP 404"),
    ],
)
def test_another_program_at_supervisords_port_is_not_it_and_learns_of_no_password(
    tmp_path: Path, status: int, body: bytes, told: str
) -> None:
    with _answering(status, body) as server:
        supervisor = Supervisor(tmp_path, server.server_port, "SECRET")
        assert not supervisor.answers()
        with pytest.raises(Retryable, match=told) as failed:
            supervisor.states()
        assert "SECRET" not in "".join(traceback.format_exception(failed.value))
        server.shutdown()
    assert not supervisor.answers(), "nobody is there now"


def test_a_port_that_speaks_no_http_is_not_supervisord(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_babble, args=(server,), daemon=True).start()
        assert not Supervisor(tmp_path, server.getsockname()[1], "SECRET").answers()


def _babble(server: socket.socket) -> None:
    for _ in range(2):  # its client tries once again
        with contextlib.suppress(OSError), server.accept()[0] as client:
            client.recv(65536)
            client.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


GIVEN = {"kafka_bootstrap": "k:9092", "store_url": "s3://b", "store_endpoint": "http://s", "store_secret_key": "SECRET"}


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Settings]]:
    """``up`` in one folder with the settings given, where the processes are thought to run."""
    monkeypatch.setattr(Supervisor, "answers", lambda _: True)
    monkeypatch.setattr(Stack, "_launch", lambda *_: None)
    monkeypatch.setattr(Stack, "_bring_up", lambda stack, record, _, declare: stack._settings(record))

    def up(**given: object) -> Settings:
        return Stack(GivenSettings(state_dir=tmp_path, **given)).up()

    yield up
    assert "SECRET" not in (tmp_path / "stack.json").read_text()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store_endpoint", "http://other"),
        ("store_access_key", "other"),
        ("store_secret_key", "OTHER"),
        ("kafka_options", {"client.id": "OTHER"}),
        ("kafka_security_protocol", "SSL"),
        ("topic_prefix", "other."),
    ],
)
def test_an_up_that_is_given_other_services_or_keys_does_not_join(
    running: Callable[..., Settings], name: str, value: object
) -> None:
    running(**GIVEN)
    running(**GIVEN)
    with pytest.raises(Misconfigured, match=f"started with another LOGFLUME_{name.upper()} than") as refused:
        running(**GIVEN | {name: value})
    assert not {"SECRET", "OTHER"} & set(str(refused.value).split())


def test_a_stack_with_its_own_services_is_joined_whatever_store_keys_are_given(
    running: Callable[..., Settings],
) -> None:
    assert running() == running()
    assert running(store_access_key="unused").store_access_key == running().store_access_key
    with pytest.raises(Misconfigured, match="now given is"):
        running(**GIVEN)
