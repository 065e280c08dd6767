"""The fixtures themselves: what they promise to every other test."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from pyarrow import fs

from logflume.local.process import Process
from logflume.settings import Settings
from tests.support import java
from tests.support.services import S3, Kafka, Run
from tests.support.waiting import until


def names(bootstrap: str) -> set[str]:
    return set(AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=10).topics)


def test_a_topic_outlives_a_stopped_and_a_killed_broker(own_kafka: Kafka) -> None:
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap})
    admin.create_topics([NewTopic("kept", 1)])["kept"].result(10)
    own_kafka.restart()
    assert "kept" in names(own_kafka.bootstrap)
    own_kafka.kill()
    own_kafka.start()
    assert "kept" in names(own_kafka.bootstrap)
    assert "Kafka Server started" in own_kafka.log.read_text()


def test_a_broker_finds_kafkas_classes_as_a_first_one_left_them(own_kafka: Kafka) -> None:
    process = own_kafka.process
    assert process is not None
    assert str(java.classes()) in Path(f"/proc/{process.pid}/maps").read_text()


def test_a_broker_that_stands_still_for_a_moment_keeps_its_partitions(own_kafka: Kafka) -> None:
    """On a busy machine it does: with a session of two seconds it lost them, and tests failed by the dozen."""
    process = own_kafka.process
    assert process is not None
    process.signal(signal.SIGSTOP)
    time.sleep(3)
    process.signal(signal.SIGCONT)
    admin = AdminClient({"bootstrap.servers": own_kafka.bootstrap})
    admin.create_topics([NewTopic("new", 1)])["new"].result(30)
    time.sleep(1)  # the controller looks four times a second
    assert "Fencing broker" not in own_kafka.log.read_text()


def test_the_store_takes_objects_only_with_its_keys(s3: S3, settings: Settings) -> None:
    place = settings.store_url.removeprefix("s3://")
    files = fs.S3FileSystem(access_key=s3.access_key, secret_key=s3.secret_key, endpoint_override=s3.endpoint)
    with files.open_output_stream(f"{place}/object") as file:
        file.write(b"here")
    with files.open_input_stream(f"{place}/object") as file:
        assert file.read() == b"here"
    stranger = fs.S3FileSystem(access_key=s3.access_key, secret_key="wrong", endpoint_override=s3.endpoint)
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        stranger.open_input_stream(f"{place}/object")


def test_what_a_crashed_run_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    (tmp_path / "processes").mkdir()
    left = Run(tmp_path).start(sleeping, tmp_path / "left.log")
    other = Process.start(sleeping, tmp_path / "other.log")
    record = tmp_path / "processes" / "reused.json"
    record.write_text(f'{{"pid": {other.pid}, "started": {other.started - 1000}, "log": ""}}')
    Run(tmp_path).end()
    assert not left.alive()
    assert other.alive()
    other.signal(signal.SIGKILL)
    until(lambda: not other.alive())
    assert other.wait(5) == -signal.SIGKILL
