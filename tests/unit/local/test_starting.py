"""What is told when a tool is missing, and what is read back of a stack."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from logflume.errors import Misconfigured, Retryable
from logflume.local import kafka
from logflume.local.process import Process, free_ports, is_free
from logflume.local.record import Record
from logflume.local.supervisor import Program, Supervisor


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
    import socket

    ports = free_ports(20)
    assert len(set(ports)) == 20
    with socket.socket() as server:
        server.bind(("127.0.0.1", ports[0]))
        server.listen()
        assert not is_free(ports[0])
    assert is_free(ports[0])


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
