"""Requests by aiokafka's connection: bounded, told, and nothing of them is left open."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka.protocol.admin import DescribeClientQuotasRequest

from logflume.errors import Retryable
from logflume.kafka.requests import Send, asked
from logflume.settings import Settings
from tests.support.web import keys

GOODBYE_SECONDS = 0.3


class Silent:
    """It shakes hands, reads and says nothing; told goodbye, it is slow to answer."""

    def __init__(self, folder: Path) -> None:
        made = keys(folder)
        self.trusting = made.trusting
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(made.certificate, made.key)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.spoken_to = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                bare, _ = self._listening.accept()
            except OSError:
                return
            with self._context.wrap_socket(bare, server_side=True) as connection:
                while connection.recv(65536):
                    self.spoken_to += 1
                time.sleep(GOODBYE_SECONDS)

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[Silent]:
    made = Silent(tmp_path)
    yield made
    made.stop()


async def quotas(send: Send) -> Any:
    return await send(DescribeClientQuotasRequest([], True))


def test_who_shakes_hands_and_says_nothing_is_told_in_time_and_no_socket_is_left(
    silent: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logflume.kafka.requests.Security.aiokafka", lambda _: way(silent))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(Retryable, match=r"did not answer about quotas within 0\.5 s"):
            asked(Settings(kafka_bootstrap=f"127.0.0.1:{silent.port}"), "quotas", quotas, 0.5)
        gc.collect()
    assert silent.spoken_to == 1
    assert [str(each.message) for each in told] == []


def way(silent: Silent) -> dict[str, Any]:
    return {"security_protocol": "SSL", "ssl_context": silent.trusting}


def test_each_broker_has_its_share_of_the_time(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are the same one here: who never answers leaves time for the next."""
    monkeypatch.setattr("logflume.kafka.requests.Security.aiokafka", lambda _: way(silent))
    both = ",".join([f"127.0.0.1:{silent.port}"] * 2)
    with pytest.raises(Retryable, match="did not answer about quotas"):
        asked(Settings(kafka_bootstrap=both), "quotas", quotas, 2.0)
    assert silent.spoken_to == 2


def test_where_nobody_listens_it_is_told_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Retryable, match=r"Kafka's quotas: .*Connect call failed"):
        asked(Settings(kafka_bootstrap=f"127.0.0.1:{port}"), "quotas", quotas, 5.0)
