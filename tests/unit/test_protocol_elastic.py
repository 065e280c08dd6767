"""Elasticsearch's bulk: what becomes of actions and sources, and results action by action."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from starlette.responses import Response

from logflume.edge.http.portion import LineError, Taken
from logflume.edge.http.protocols import elastic, elastic_about
from logflume.edge.http.refusal import Refusal
from tests.support.protocols import TARGETS, limits, numbers, records

AT = "2026-07-01T12:00:00.123Z"


def decode(text: str | bytes, index: str | None = None, **more: Any) -> elastic.Bulk:
    body = text.encode() if isinstance(text, str) else text
    return elastic.decode(body, index, TARGETS, limits(), **more)


def content(response: Response) -> Any:
    return orjson.loads(response.body)


def test_an_index_that_is_a_dataset_picks_it_and_any_other_is_kept_in_the_record() -> None:
    found = decode(
        '{"create":{"_index":"http_requests"}}\n{"a":1}\n'
        '{"index":{"_index":"filebeat-9","_id":"x1"}}\n{"message":"hello"}\n'
        '{"create":{}}\n{ }\n',
        "shop",
    )
    assert records(found.portions) == {
        "http_requests": [{"a": 1}],
        "events": [{"_index": "filebeat-9", "_id": "x1", "message": "hello"}, {"_index": "shop"}],
    }
    assert numbers(found.portions) == {"http_requests": [1], "events": [2, 3]}


@pytest.mark.parametrize(
    ("source", "record"),
    [
        (f'{{"@timestamp":"{AT}","message":"m"}}', {"time": AT, "message": "m"}),
        (f'{{"message":"m","@timestamp":"{AT}"}}', {"time": AT, "message": "m"}),
        (f'{{"@timestamp":"{AT}","time":"{AT[:-4]}999Z"}}', {"@timestamp": AT, "time": AT[:-4] + "999Z"}),
        (f'{{"@timestamp":"{AT}","time":"noon"}}', {"time": AT, "own_time": "noon"}),
        (f'{{"in":{{"@timestamp":"{AT}"}}}}', {"in": {"@timestamp": AT}}),
        ('{"@timestamp":"x","n":123456789012345678901234}', {"time": "x", "n": 123456789012345678901234}),
    ],
)
def test_the_timestamp_is_the_time_unless_the_record_has_one(source: str, record: dict[str, Any]) -> None:
    """P4."""
    (portion,) = decode('{"create":{"_index":"events"}}\n' + source + "\n").portions
    found = elastic.record.loader(portion.lines, lambda size: None)(portion.lines)
    assert {name: value for name, value in found.items() if value is not None} == record


def test_an_index_of_a_long_name_is_refused_since_each_result_would_repeat_it() -> None:
    assert decode('{"create":{}}\n{}\n', "x" * 255).portions
    for path, named in (("x" * 256, ""), (None, "ü" * 128)):
        action = {"_index": named} if named else {}
        with pytest.raises(Refusal) as refused:
            decode(orjson.dumps({"delete": action}) + b"\n", path)
        assert refused.value.status == 400


def test_updates_and_deletes_fail_one_by_one_and_others_are_taken() -> None:
    found = decode(
        '{"update":{"_index":"events","_id":"1"}}\n{"doc":{}}\n'
        '{"delete":{"_index":"events","_id":"2"}}\n'
        '{"create":{"_index":"events"}}\n{"message":"good"}\n'
    )
    assert numbers(found.portions) == {"events": [3]}
    answer = content(found.answer(Taken(1), 7))
    assert (answer["took"], answer["errors"]) == (7, True)
    results = [(kind, result["status"]) for item in answer["items"] for kind, result in item.items()]
    assert results == [("update", 400), ("delete", 400), ("create", 201)]
    assert answer["items"][0]["update"]["_id"] == "1"
    assert answer["items"][0]["update"]["error"]["type"] == "illegal_argument_exception"


def test_a_bad_source_costs_only_itself_and_goes_on_to_the_dead_letters() -> None:
    """P2."""
    action = '{"create":{"_index":"events"}}\n'
    found = decode(action + '{"message":1}\n' + action + "nonsense\n" + action + "\n" + action + '{"message":2}')
    assert numbers(found.portions) == {"events": [1, 2, 4]}
    assert found.portions[0].lines.splitlines()[1] == b"nonsense"
    answer = content(found.answer(Taken(2, (LineError(2, "not-json", "why"),)), 0))
    assert [item["create"]["status"] for item in answer["items"]] == [201, 400, 400, 201]
    assert answer["items"][1]["create"]["error"] == {
        "type": "document_parsing_exception",
        "reason": "not-json: why",
    }


def test_a_dataset_that_is_not_wanted_fails_only_its_own_actions() -> None:
    def unwanted(dataset: str) -> Refusal | None:
        return Refusal(403, "not yours") if dataset == "dns_logs" else None

    found = decode(
        '{"create":{"_index":"dns_logs"}}\n{}\n{"create":{"_index":"events"}}\n{}\n',
        unwanted=unwanted,
    )
    assert numbers(found.portions) == {"events": [2]}
    failed, good = content(found.answer(Taken(1), 0))["items"]
    assert (failed["create"]["status"], failed["create"]["error"]["type"]) == (403, "security_exception")
    assert good["create"]["status"] == 201


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n\n",
        b"[]\n{}\n",
        b'{"create":1}\n{}\n',
        b'{"create":{},"index":{}}\n{}\n',
        b'{"create":{}}\n{}\n',  # no index at all
        b'{"create":{"_index":7}}\n{}\n',
        b'{"upsert":{"_index":"events"}}\n{}\n',
        b'{"create":{"_index":"events"}}\n{}\nnonsense\n{}\n',
    ],
)
def test_a_line_that_is_no_action_refuses_all(body: bytes) -> None:
    """P1."""
    with pytest.raises(Refusal) as caught:
        decode(body)
    assert caught.value.status == 400


def test_too_many_actions_are_refused() -> None:
    """P3."""
    with pytest.raises(Refusal) as caught:
        elastic.decode(b'{"delete":{"_index":"events"}}\n' * 11, None, TARGETS, limits(most_records=10))
    assert caught.value.status == 413


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_full_says_so_in_elasticsearchs_words(status: int) -> None:
    response = elastic.refused(Refusal(status, "later", retry_seconds=2))
    assert (response.status_code, response.headers["retry-after"]) == (status, "2")
    assert content(response)["error"]["type"] == "es_rejected_execution_exception"
    assert response.headers["x-elastic-product"] == "Elasticsearch"


def test_who_asks_is_told_that_it_is_elasticsearch() -> None:
    for response in (elastic_about.about(), elastic_about.license(), elastic_about.xpack(), elastic_about.health()):
        assert response.headers["x-elastic-product"] == "Elasticsearch"
    assert content(elastic_about.about())["version"]["number"] == elastic_about.VERSION
