"""The servers of an edge that has no configuration yet: HTTP says 503, syslog keeps what has its tenant and no more."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from logflume import metrics
from logflume.errors import Unconfigured
from logflume.model import Configuration
from logflume.settings import Settings
from tests.support.edge import rows
from tests.support.http_edge import DATASETS, HttpEdge, http_edge
from tests.support.listening import Listening
from tests.support.waiting import until

NDJSON = b'{"message":"one"}\n'
LINE = "<13>1 2026-05-01T12:00:00Z host app - - {} {}\n"


class Nothing:
    """A source that has none yet."""

    def current(self) -> Configuration:
        raise Unconfigured("there is none yet")


class Taking:
    """Takes lines as ``edge.Client`` does."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []

    def log_ndjson(self, tenant: str, dataset: str, data: bytes) -> None:
        self.taken.append((tenant, data))


@pytest.mark.parametrize(
    "path",
    ["/v1/ingest/events", "/v1/logs", "/_bulk", "/loki/api/v1/push", "/services/collector/event"],
)
def test_every_protocol_answers_503_with_a_time_to_come_back_and_takes_nothing(path: str) -> None:
    with http_edge() as edge:
        edge.gateway.source = Nothing()  # type: ignore[assignment]
        answer = edge.request("POST", path, content=NDJSON)
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) >= 1
        _afterwards(edge)


def _afterwards(edge: HttpEdge) -> None:
    assert rows(edge.producer.log, DATASETS) == []
    edge.gateway.source = edge.source
    assert edge.post(NDJSON).status_code == 200


def test_syslog_keeps_what_has_its_tenant_and_takes_no_token_that_it_cannot_check(tmp_path: Path) -> None:
    client = Taking()
    settings = Settings(
        state_dir=tmp_path, edge_syslog_listen="tcp://127.0.0.1:0?tenant=acme,tcp://127.0.0.1:0?by=token"
    )
    counted = metrics.EDGE_SYSLOG_REFUSED_MESSAGES.labels("unconfigured")
    before = counted._value.get()
    listening = Listening(settings, Nothing(), client)  # type: ignore[arg-type]
    try:
        for at, data in enumerate(("-", '[logflume@32473 token="lf_a_b"]')):
            with socket.create_connection(("127.0.0.1", listening.port(at)), timeout=10) as sender:
                sender.sendall(LINE.format(data, f"message {at}").encode())
                if at:
                    assert sender.recv(1) == b""  # the sender comes again
        until(lambda: client.taken and counted._value.get() == before + 1, what="both to be judged")
    finally:
        listening.stop()
    assert [tenant for tenant, _ in client.taken] == ["acme"]
    assert not listening.failures
