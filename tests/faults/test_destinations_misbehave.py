"""What networks and services do to a job's objects: each is there whole once, or a typed error says so in time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from logflume.destinations import Destination
from logflume.errors import Misconfigured, Retryable
from tests.support import places
from tests.support.s3_proxy import CUT_ANSWER, CUT_BODY, DROP_ANSWER, HANG, Fault, Held, S3Proxy, answer, s3_proxy, slow
from tests.support.services import S3
from tests.support.waiting import until

PART = 5 << 20
SMALL = bytes(range(256)) * 400
LARGE = bytes(range(256)) * (2 * PART // 256 + 100)  # three parts
TIMEOUT = 1.0
SLACK = 12.0  # a busy machine, and the abort of an upload

MANY = math.inf
PART_UP, COMPLETE, ABORT = "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload"


@dataclass
class Way:
    """A destination behind a proxy, and the server behind it."""

    proxy: S3Proxy
    destination: Destination
    s3: S3
    url: str

    def objects(self) -> dict[str, bytes]:
        return places.objects(self.s3, self.url)


@pytest.fixture
def way(s3: S3, tmp_path: Path) -> Iterator[Way]:
    url = s3.new_bucket()
    with s3_proxy(s3.endpoint) as proxy:
        place = places.bucket(
            url,
            proxy.endpoint,
            (s3.access_key, s3.secret_key),
            tmp_path,
            destination_part_bytes=PART,
            destination_timeout_seconds=TIMEOUT,
        )
        yield Way(proxy, place.open(), s3, url)


def _written(way: Way, data: bytes) -> bool:
    """Write once. Either the whole object is there, or ``Retryable`` came in time and at most a whole one is there."""
    begun, failure = time.monotonic(), ""
    try:
        way.destination.write("a/1", data)
    except Retryable as error:
        failure = str(error)
    assert time.monotonic() - begun < TIMEOUT + len(data) / 50_000 + SLACK
    assert way.objects() in ([{}, {"a/1": data}] if failure else [{"a/1": data}])
    assert not failure or f"{way.url}: a/1 can't be stored: " in failure
    assert way.s3.secret_key not in failure
    return not failure


@pytest.mark.parametrize(
    ("fault", "times", "stored"),
    [
        (answer(503, "SlowDown"), MANY, False),
        (answer(429, "TooManyRequests"), MANY, False),
        (CUT_BODY, 1, None),
        (CUT_BODY, MANY, False),
        (HANG, MANY, False),
        (slow(1000), MANY, False),
        (DROP_ANSWER, 1, None),
        (DROP_ANSWER, MANY, False),
        (CUT_ANSWER, 1, None),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else str(value),
)
def test_a_put_ends_whole_or_retryable_and_the_next_one_succeeds(
    way: Way, fault: Fault, times: float, stored: bool | None
) -> None:
    way.proxy.on("PutObject", fault, times)
    expected = [True, False] if stored is None else [stored]
    assert _written(way, SMALL) in expected
    while ("PutObject", fault.name) not in way.proxy.operations():  # too busy a machine to ask within the time-out
        assert _written(way, SMALL) in expected
    way.proxy.heal()
    assert _written(way, SMALL)


@pytest.mark.parametrize(
    ("operation", "fault", "times"),
    [
        (PART_UP, CUT_BODY, MANY),
        (COMPLETE, answer(500), MANY),
        (COMPLETE, DROP_ANSWER, 1),
        (COMPLETE, HANG, MANY),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else str(value),
)
def test_parts_become_a_whole_object_or_nothing_and_no_upload_stays_open(
    way: Way, operation: str, fault: Fault, times: float
) -> None:
    way.proxy.on(operation, fault, times)
    stored = _written(way, LARGE)
    asked = [name for name, _ in way.proxy.operations()]
    assert (operation, fault.name) in way.proxy.operations()
    assert stored or ABORT in asked
    way.proxy.heal()
    assert _written(way, LARGE)
    assert not places.uploads(way.s3, way.url)


def test_an_upload_whose_time_is_over_is_aborted_and_leaves_nothing(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logflume.destinations.bucket._LEAST_BYTES_PER_SECOND", 10_000_000)
    way.proxy.on(PART_UP, slow(100_000), MANY)
    with pytest.raises(Retryable, match="not done within 2 s"):
        way.destination.write("a/1", LARGE)
    assert (ABORT, "passed") in way.proxy.operations()
    assert way.objects() == {}
    assert not places.uploads(way.s3, way.url)


def test_a_late_put_of_one_who_gave_up_changes_nothing(way: Way) -> None:
    held = Held()
    way.proxy.on("PutObject", held)
    way.proxy.on("PutObject", answer(503), MANY)
    with pytest.raises(Retryable):
        way.destination.write("a/1", SMALL)
    way.proxy.heal()
    assert way.destination.write("a/1", SMALL).made
    held.release()
    assert held.done.wait(30)
    assert way.objects() == {"a/1": SMALL}
    assert not way.destination.write("a/1", SMALL).made


@pytest.mark.parametrize(
    ("status", "code"),
    [(404, "NoSuchBucket"), (403, "AccessDenied"), (400, "InvalidToken")],
)
def test_what_no_retry_mends_is_misconfigured_and_asked_once(way: Way, status: int, code: str) -> None:
    way.proxy.on("PutObject", answer(status, code), MANY)
    with pytest.raises(Misconfigured, match=f"a/1 can't be stored: PutObject was answered {status} {code}"):
        way.destination.write("a/1", SMALL)
    assert len(way.proxy.operations()) == 1


def test_nobody_listening_is_retryable(way: Way, tmp_path: Path) -> None:
    place = places.bucket("s3://b", "http://127.0.0.1:9", ("k", "s"), tmp_path / "other", destination_timeout_seconds=1)
    with pytest.raises(Retryable, match="s3://b: a can't be stored"):
        place.open().write("a", b"x")
    until(lambda: not way.proxy.operations())
