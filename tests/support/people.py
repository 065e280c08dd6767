"""People before a watched stack: applications that send by HTTP and to Kafka, and somebody who asks."""

from __future__ import annotations

import json
import secrets
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

from confluent_kafka import Producer

from logflume.clock import SystemClock
from logflume.config import token_changes
from logflume.config.amend import amend
from logflume.model.owner import Owner
from logflume.model.token import SECRET_BYTES, Scope, Token, digest, text_of
from tests.support.watched import Watched


@contextmanager
def people(watched: Watched) -> Iterator[None]:
    """Within the block applications send by HTTP and to Kafka, some of it bad, and somebody asks."""
    addresses = watched.addresses()
    token = token_of(watched)
    producer = Producer({"bootstrap.servers": watched.settings.kafka_bootstrap})
    numbers = count(1)

    def act() -> None:
        number = next(numbers)
        watched.produce(producer, b"{no json")
        producer.flush(10)
        body = "\n".join([*(json.dumps({"message": f"e{number} {n}"}) for n in range(20)), "{bad"])
        _post(f"{addresses['edge-1']}/v1/ingest/events", body, "application/x-ndjson", token)
        _post(f"{addresses['explore-1']}/api/v1/query", "SELECT count(*) FROM events", "application/sql", token)

    with repeated(act, 0.5):
        yield


@contextmanager
def repeated(act: Callable[[], object], pause_seconds: float = 0.2) -> Iterator[None]:
    """Within the block somebody does this again and again."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.wait(pause_seconds):
            act()

    thread = threading.Thread(target=busy, name="repeated", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def token_of(watched: Watched) -> str:
    """A new token of the tenant acme, which is a new generation of the configuration; it may send and ask."""
    id, clock = secrets.token_hex(4), SystemClock()
    text = text_of(id, secrets.token_bytes(SECRET_BYTES))
    token = Token(id, digest(text), "", frozenset({Scope.INGEST, Scope.QUERY}), clock.now_ns(), 0, Owner.API)
    amend(
        watched.settings,
        lambda tenants: token_changes.created(tenants, "acme", token),
        who="people",
        why="they send and ask",
        clock=clock,
    )
    return text


def _post(address: str, body: str, kind: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
    try:
        urllib.request.urlopen(urllib.request.Request(address, body.encode(), headers), timeout=30).close()
    except urllib.error.HTTPError as error:
        error.close()  # the table is not there yet
