"""LogHandler: Python's log records as events, and never in the way of the application."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Iterator
from datetime import datetime

import pytest

from logflume import contract, model
from logflume.edge import Client, LogHandler
from logflume.errors import Unavailable
from logflume.settings import Settings
from tests.support.edge import rows
from tests.support.producer import FakeProducer

DATASETS = model.load(contract.find())


@pytest.fixture
def producer() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def client(producer: FakeProducer) -> Iterator[Client]:
    settings = Settings(kafka_bootstrap="nowhere:1", edge_memory_bytes=2_000)
    with Client(settings, datasets=DATASETS, make_producer=producer) as made:
        yield made
        producer.back()


@pytest.fixture
def logger(client: Client) -> Iterator[logging.Logger]:
    logger = logging.Logger("shop.cart")
    handler = LogHandler("acme", "checkout", client=client, timeout=0.1)
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_a_record_becomes_an_event_with_its_extras_as_attributes(
    logger: logging.Logger, client: Client, producer: FakeProducer
) -> None:
    logger.warning("paid %s", 12, extra={"order": 7, "trace_id": "abc"})
    client.flush()
    ((tenant, event),) = rows(producer.log, DATASETS)
    assert tenant == "acme"
    age = datetime.now().timestamp() - datetime.fromisoformat(event.pop("time")).timestamp()
    assert -1 < age < 60
    attributes = event.pop("attributes")
    assert event.pop("host")
    assert event == {
        "level": "WARNING",
        "service": "checkout",
        "logger": "shop.cart",
        "message": "paid 12",
        "trace_id": "abc",
    }
    assert attributes["order"] == "7"
    assert attributes["file"].endswith("test_log_handler.py")


def test_an_exception_goes_along(logger: logging.Logger, client: Client, producer: FakeProducer) -> None:
    try:
        raise ValueError("no stock")
    except ValueError:
        logger.exception("failed")
    client.flush()
    ((_, event),) = rows(producer.log, DATASETS)
    assert "ValueError: no stock" in event["attributes"]["exception"]


def test_when_kafka_is_away_and_memory_full_the_application_is_told_by_handle_error_and_goes_on(
    logger: logging.Logger, producer: FakeProducer, capsys: pytest.CaptureFixture[str]
) -> None:
    producer.away = True
    for _ in range(5):
        logger.info("%s", os.urandom(600).hex())
    producer.back()
    assert "NotAccepted" in capsys.readouterr().err


def test_when_kafka_is_away_at_exit_the_application_ends_with_a_message_and_no_traceback(
    client: Client, producer: FakeProducer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(timeout: float | None = None) -> None:
        raise Unavailable("Kafka did not take the records")

    monkeypatch.setattr(client, "flush", never)
    handler = LogHandler("acme", "checkout", client=client)
    logging.shutdown([weakref.ref(handler)])
    assert "log records of checkout may be lost: Kafka did not take" in capsys.readouterr().err
    monkeypatch.undo()


def test_a_record_with_wrong_arguments_goes_to_handle_error(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.info("%d items", "many")
    assert "TypeError" in capsys.readouterr().err


def test_logflumes_own_records_pass_a_handler_whose_lock_is_held(logger: logging.Logger) -> None:
    (handler,) = logger.handlers
    handler.acquire()  # as by a thread that waits inside emit for room, which only the client's threads can make
    try:
        done = threading.Event()

        def own() -> None:
            for name in ("logflume", "logflume.edge", "logflume.kafka"):
                handler.handle(logging.LogRecord(name, logging.ERROR, "f", 1, "trouble", (), None))
            done.set()

        threading.Thread(target=own, daemon=True).start()
        assert done.wait(10)
    finally:
        handler.release()


def test_a_handler_made_before_a_fork_works_in_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[FakeProducer] = []

    def make(settings: Settings | None) -> Client:
        made.append(FakeProducer())
        return Client(settings, datasets=DATASETS, make_producer=made[-1])

    monkeypatch.setattr("logflume.edge.handler.Client", make)
    handler = LogHandler("acme", "checkout", settings=Settings(kafka_bootstrap="nowhere:1"))
    record = logging.LogRecord("x", logging.INFO, "f", 1, "hello", (), None)
    handler.handle(record)
    child = os.fork()
    if child == 0:
        try:
            handler.handle(record)
            handler.close()
            os._exit(0 if [event["message"] for _, event in rows(made[1].log, DATASETS)] == ["hello"] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    handler.close()
    assert len(rows(made[0].log, DATASETS)) == 1
