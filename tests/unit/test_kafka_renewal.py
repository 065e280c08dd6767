"""Changed certificates and passwords are noticed when they can be used (``kafka.renewal``)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trustme

from logflume.errors import Misconfigured
from logflume.kafka.renewal import Renewal
from logflume.settings import Settings


def write(folder: Path, *, certificate: bool = True, key: bool = True) -> None:
    issued = trustme.CA().issue_cert("client.test")
    if certificate:
        (folder / "crt").write_bytes(issued.cert_chain_pems[0].bytes())
    if key:
        (folder / "key").write_bytes(issued.private_key_pem.bytes())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write(tmp_path)
    return Settings(
        kafka_bootstrap="127.0.0.1:1",
        kafka_security_protocol="SSL",
        kafka_tls_certificate=str(tmp_path / "crt"),
        kafka_tls_key=str(tmp_path / "key"),
        kafka_reload_seconds=0.01,
    )


def test_n1_the_same_bytes_are_no_change(settings: Settings, tmp_path: Path) -> None:
    renewal = Renewal(settings)
    assert not renewal.look()
    same = (tmp_path / "crt").read_bytes()
    (tmp_path / "crt").unlink()
    (tmp_path / "crt").write_bytes(same)
    assert not renewal.look()
    write(tmp_path)
    assert renewal.look()


def test_n2_what_can_not_be_used_yet_is_waited_for(settings: Settings, tmp_path: Path) -> None:
    renewal = Renewal(settings)
    write(tmp_path, key=False)
    assert not renewal.look()
    (tmp_path / "crt").unlink()
    assert not renewal.look()
    write(tmp_path)
    assert renewal.look()


def test_a_change_is_told_once(settings: Settings, tmp_path: Path) -> None:
    told = threading.Semaphore(0)
    renewal = Renewal(settings, told.release, seed=1).start()
    write(tmp_path)
    assert told.acquire(timeout=30)
    renewal.close()
    assert not told.acquire(timeout=0.1)


def test_each_change_is_told_to_who_goes_on(settings: Settings, tmp_path: Path) -> None:
    told = threading.Semaphore(0)
    renewal = Renewal(settings, told.release, spread=0).start()
    for _ in range(3):
        write(tmp_path)
        assert told.acquire(timeout=30)
    renewal.close()


def test_n4_what_could_not_be_done_about_a_change_is_tried_again(settings: Settings, tmp_path: Path) -> None:
    turns, done = [Misconfigured("it changed again"), Misconfigured("and again"), None], threading.Event()

    def change() -> None:
        if (failure := turns.pop(0)) is not None:
            raise failure
        done.set()

    renewal = Renewal(settings, change, spread=0).start()
    write(tmp_path)
    assert done.wait(30)
    renewal.close()
    assert not renewal.look()


def test_after_its_end_no_change_is_told(settings: Settings, tmp_path: Path) -> None:
    told = threading.Semaphore(0)
    renewal = Renewal(settings, told.release, spread=0).start()
    renewal.close()
    write(tmp_path)
    assert not told.acquire(timeout=0.1)


def test_a_worker_without_files_looks_at_nothing() -> None:
    Renewal(Settings(kafka_reload_seconds=0.01)).start()
    assert "kafka-renewal" not in [thread.name for thread in threading.enumerate()]
