"""An application's client whose certificate or password is renewed goes on with the new one, at a real broker."""

from __future__ import annotations

import itertools
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from logflume import contract, model
from logflume.clock import SystemClock
from logflume.edge import Client
from logflume.kafka import rights, status, topics
from logflume.settings import Settings
from tests.conftest import SettingsFor
from tests.support.edge import rows
from tests.support.secured import SecuredKafka
from tests.support.topic import ingested
from tests.support.waiting import until
from tests.support.ways import binding

DATASETS = model.load(contract.find())


@dataclass
class Kafka:
    """The topics of a test, and principals that may do what an edge must."""

    secured: SecuredKafka
    operator: Settings
    folder: Path

    def principal(self) -> str:
        return f"app-{secrets.token_hex(4)}"

    def edge(self, given: dict[str, Any], **more: Any) -> Settings:
        """Settings of an application, which looks often for new certificates."""
        told = {"status_seconds": 0.3, "worker_id": "app", "tenants_dir": "", "kafka_reload_seconds": 0.1}
        return self.operator.model_copy(update={**given, **told, **more})

    def allow(self, user: str, settings: Settings) -> list[Any]:
        bindings = [binding(acl, user) for acl in rights.acls(settings, ["edge"])]
        self.secured.allow(bindings)
        return bindings

    def told_since(self, time_ms: int) -> bool:
        """Whether the application has told its status since."""
        seen = status.read(self.operator, SystemClock()).workers()
        return any(each.status.worker.id == "app" and each.status.time_ms > time_ms for each in seen)

    def messages(self) -> list[str]:
        return sorted(record["message"] for _, record in rows(ingested(self.operator), DATASETS))


@pytest.fixture
def kafka(secured: SecuredKafka, settings_for: SettingsFor, tmp_path: Path) -> Kafka:
    operator = settings_for(secured)
    topics.apply(operator)
    return Kafka(secured, operator, tmp_path)


@contextmanager
def logging_on(client: Client) -> Iterator[Callable[[], int]]:
    """Within the block an application logs all the time; the call tells how many records it has logged."""
    logged, stop = itertools.count(1), threading.Event()
    last = [0]

    def log() -> None:
        while not stop.wait(0.01):
            last[0] = next(logged)
            client.log("acme", "events", {"message": f"m{last[0]:06}"})

    thread = threading.Thread(target=log)
    thread.start()
    try:
        yield lambda: last[0]
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("spooled", [False, True], ids=["in memory", "with a spool"])
def test_a_client_goes_on_with_a_renewed_certificate_and_loses_nothing(
    kafka: Kafka, spooled: bool, tmp_path: Path
) -> None:
    before, after = kafka.principal(), kafka.principal()
    more = {"edge_spool_dir": str(tmp_path / "spool")} if spooled else {}
    settings = kafka.edge(kafka.secured.mtls(before, tmp_path), **more)
    rights_before = kafka.allow(before, settings)
    kafka.allow(after, settings)
    with Client(settings) as client:
        with logging_on(client) as logged:
            until(lambda: logged() > 50, 60, "some records")
            client.flush(60)
            kafka.secured.certify(after, tmp_path)
            for kind in ("crt", "key"):  # in between they don't fit together
                (tmp_path / f"{after}.{kind}").replace(tmp_path / f"{before}.{kind}")
            until(lambda: client._publisher._producers.renewals == 1, 60, "the renewal")  # type: ignore[union-attr]
            until(lambda: not client._publisher._producers._before, 60, "the end of the old one")  # type: ignore[union-attr]
            kafka.secured.take(rights_before)
            reached = logged()
            until(lambda: logged() > reached + 50, 60, "more records")
        client.flush(60)
        client.log("acme", "events", {"message": "the last"})
        client.flush(60)
        now_ms = SystemClock().now_ns() // 1_000_000
        until(lambda: kafka.told_since(now_ms), 60, "its status, by the new certificate")
        every = [*(f"m{number:06}" for number in range(1, logged() + 1)), "the last"]
        until(lambda: len(kafka.messages()) >= len(every), 120, "what waited in the spool", pause=1.0)
    assert kafka.messages() == every


def test_a_client_goes_on_with_a_renewed_password(kafka: Kafka, tmp_path: Path) -> None:
    user = kafka.principal()
    given = kafka.secured.scram(user, tmp_path)
    settings = kafka.edge(given)
    kafka.allow(user, settings)
    with Client(settings) as client:
        client.log("acme", "events", {"message": "before"})
        client.flush(60)
        new = secrets.token_urlsafe(12)
        kafka.secured.set_password(user, new)
        Path(given["kafka_sasl_password"].removeprefix("file:")).write_text(new)
        until(lambda: client._publisher._producers.renewals == 1, 60, "the renewal")  # type: ignore[union-attr]
        client.log("acme", "events", {"message": "behind"})
        client.flush(60)
        now_ms = SystemClock().now_ns() // 1_000_000
        until(lambda: kafka.told_since(now_ms), 60, "its status, by the new password")
    assert kafka.messages() == ["before", "behind"]
