"""Splunk's HEC: events and raw lines, and its codes."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from logflume.edge.http.portion import LineError, Taken
from logflume.edge.http.protocols import splunk, splunk_events
from logflume.edge.http.refusal import Refusal
from tests.support.protocols import TARGETS, Reserved, limits, numbers, records

NS = 1_426_279_439_123_000_000


def decode(body: bytes, **query: str) -> splunk.Events:
    return splunk.decode_events(body, query, TARGETS, limits())


def one(**event: Any) -> dict[str, Any]:
    (found,) = records(decode(orjson.dumps(event)).portions)["events"]
    return found


@pytest.mark.parametrize("time", [1426279439.123, "1426279439.123", "1426279439.123000", 1426279439123])
def test_an_event_of_text_is_a_message_and_what_is_beside_it_fills_fields_and_attributes(time: object) -> None:
    event = {
        "time": time,
        "host": "web-1",
        "source": "/var/log/x",
        "sourcetype": "syslog",
        "index": "main",
        "event": "Hello world!",
        "fields": {"level": "info", "n": 1, "tags": ["a"]},
    }
    assert one(**event) == {
        "time": NS,
        "host": "web-1",
        "level": "info",
        "message": "Hello world!",
        "attributes": {"source": "/var/log/x", "sourcetype": "syslog", "index": "main"},
        "typed_attributes": {"n": 1, "tags": ["a"]},
    }


def test_an_event_that_is_an_object_is_the_record_also_inside_a_text() -> None:
    for event in ({"message": "m", "host": "own"}, '{"message": "m", "host": "own"}'):
        assert one(event=event, host="web-1") == {"message": "m", "host": "own", "attributes": {"host": "web-1"}}


def test_events_of_other_kinds_and_odd_members_are_kept() -> None:
    """P4."""
    assert one(event=[1, 2], time="yesterday", more=True) == {
        "event": [1, 2],
        "attributes": {"time": "yesterday"},
        "typed_attributes": {"more": True},
    }


def test_an_index_that_is_a_dataset_picks_it_and_the_query_gives_what_an_event_lacks() -> None:
    found = decode(
        b'{"event":{"status":200}}{"event":"x","index":"events","source":"own"}', index="http_requests", source="q"
    )
    assert records(found.portions) == {
        "http_requests": [{"status": 200, "splunk": {"attributes": {"source": "q"}}}],
        "events": [{"message": "x", "attributes": {"source": "own"}}],
    }


@pytest.mark.parametrize("between", ["", "\n", " ", "\r\n\n"])
def test_events_may_follow_one_another_in_any_way(between: str) -> None:
    body = between.join(['{"event":"a}{b"}', '{"event":\n"c"}', '{"event":"d"}']).encode()
    found = decode(body)
    assert [record["message"] for record in records(found.portions)["events"]] == ["a}{b", "c", "d"]
    assert orjson.loads(found.answer(Taken(3)).body) == {"text": "Success", "code": 0}


def test_an_integer_past_64_bits_survives() -> None:
    """P4."""
    (portion,) = decode(b'{"event":{"n":123456789012345678901234}}').portions
    assert b'"n":123456789012345678901234' in portion.lines.replace(b" ", b"")


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ('{"time":1}', splunk.EVENT_REQUIRED),
        ('{"event":""}', splunk.EVENT_BLANK),
        ('{"event":null}', splunk.EVENT_BLANK),
        ('{"event":"x","fields":[1]}', splunk.BAD_FIELDS),
        ("nonsense", splunk.INVALID_DATA),
        ("[1]", splunk.INVALID_DATA),
        ('{"event":"torn', splunk.INVALID_DATA),
        ('{"event":' + "[" * 100 + "]" * 100 + "}", splunk.INVALID_DATA),
        ('{"event":' + "[" * 100_000, splunk.INVALID_DATA),
    ],
)
def test_a_bad_event_costs_only_itself(bad: str, code: int) -> None:
    """P2."""
    found = decode(f'{{"event":"first"}}\n{bad}\n{{"event":"third"}}{{"event":"fourth"}}\n{{"event":"fifth"}}'.encode())
    assert numbers(found.portions) == {"events": [1, 3, 4, 5]}
    answer = found.answer(Taken(4))
    told = orjson.loads(answer.body)
    assert (answer.status_code, told["code"], told["invalid-event-number"]) == (400, code, 1)


def test_the_first_bad_event_is_told_whoever_found_it() -> None:
    found = decode(b'{"event":"a"}\n{"event":""}')
    told = orjson.loads(found.answer(Taken(0, (LineError(1, "too-large", "why"),))).body)
    assert (told["code"], told["invalid-event-number"]) == (splunk.INVALID_DATA, 0)


def test_invalid_utf8_costs_only_its_event() -> None:
    """P2."""
    found = decode(b'{"event":"a"}\n{"event":"\xff"}\n{"event":"c"}')
    assert numbers(found.portions) == {"events": [1, 3]}


def test_raw_lines_are_messages_or_records() -> None:
    query = {"host": "web-1", "sourcetype": "app", "time": "1426279439"}
    found = splunk.decode_raw(b'one\r\n\n{"level":"warn"}\n\xff\nlast', query, TARGETS, limits())
    beside = {"time": NS - 123_000_000, "host": "web-1", "attributes": {"sourcetype": "app"}}
    assert records(found.portions)["events"] == [
        beside | {"message": "one"},
        beside | {"level": "warn"},
        beside | {"message": "last"},
    ]
    assert numbers(found.portions) == {"events": [1, 2, 4]}
    assert found.answer(Taken(3)).status_code == 400


def test_a_body_without_events_has_a_code_of_its_own() -> None:
    for read in (splunk.decode_events, splunk.decode_raw):
        with pytest.raises(splunk.NoData) as caught:
            read(b" \n", {}, TARGETS, limits())
        answer = splunk.refused(caught.value, with_token=True)
        assert (answer.status_code, orjson.loads(answer.body)) == (400, {"text": "No data", "code": 5})


@pytest.mark.parametrize(
    ("status", "with_token", "answered", "code"),
    [
        (401, False, 401, splunk.TOKEN_REQUIRED),
        (401, True, 403, splunk.INVALID_TOKEN),
        (403, True, 400, splunk.INCORRECT_INDEX),
        (429, True, 429, splunk.BUSY),
        (503, True, 503, splunk.BUSY),
        (500, True, 500, splunk.SERVER_ERROR),
        (413, True, 413, splunk.INVALID_DATA),
    ],
)
def test_refusals_have_hecs_codes(status: int, with_token: bool, answered: int, code: int) -> None:
    answer = splunk.refused(Refusal(status, "why", retry_seconds=3), with_token=with_token)
    assert (answer.status_code, orjson.loads(answer.body)["code"]) == (answered, code)
    if status in (429, 503):
        assert answer.headers["retry-after"] == "3"


def test_memory_is_reserved_for_what_is_not_one_event_a_line() -> None:
    """P3."""
    reserved = Reserved()
    body = b'{"event":[' + b"[]," * 100_000 + b"[]]}"
    splunk.decode_events(body, {}, TARGETS, limits(reserve=reserved))
    assert reserved.size > 10_000_000


def test_lines_that_each_begin_an_object_without_an_end_are_not_read_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """P3: the second mistake and all after it end with their line."""
    given = 0

    def counting(text: str, at: int) -> tuple[Any, int]:
        nonlocal given
        given += len(text) - at
        return json.JSONDecoder().raw_decode(text, at)

    monkeypatch.setattr(splunk_events, "_FIND_END", counting)
    body = b'{"a":[1,\n' * 4000
    assert not splunk.decode_events(body, {}, TARGETS, limits()).portions
    assert len(body) <= given <= 2 * len(body)
