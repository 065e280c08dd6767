"""The API's questions about one dataset, over a table whose rows share times and have hostile values."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from logflume.api.coordinates import Coordinates, read
from logflume.table.schema import DATE, file_schema
from logflume.table.store import Store
from tests.support.api import GLOBEX, Client, problem
from tests.support.tables import DAY, NOON, SMALL, append, held

HOUR = DAY // 24
TOPIC = "-aB3_x9-kKq0ZzTt-w1_2A"  # Kafka's ids are base64 for URLs
HOSTILE = "' OR '1'='1' --"
HOSTS: list[str | None] = ["a.example", HOSTILE, None, "日本\u202e\x00\\", "other", '"<script>"'] + [
    f"h{n}.example" for n in range(6)
]
BASE = "/datasets/http_requests"


def _rows(count: int, partition: int, first: int) -> dict[str, Any]:
    return {
        "_src_topic": [TOPIC] * count,
        "_src_partition": [partition] * count,
        "_src_offset": [first + n // 3 for n in range(count)],
        "_src_row": [n % 3 for n in range(count)],
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A day of 24 rows an hour apart; 12 at one time, from two partitions; 2 rows without a time; a row of globex."""
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(
        store,
        [f"day-{n}" for n in range(24)],
        upto=24,
        times=[NOON + n * HOUR for n in range(24)],
        ClientRequestHost=[HOSTS[n % 12] for n in range(24)],
        EdgeResponseStatus=[200 + n % 2 for n in range(24)],
        **_rows(24, 0, 100),
    )
    same: dict[str, Any] = {"times": [NOON + DAY] * 6, "ClientRequestHost": HOSTS[:6]}
    for partition in (1, 0):
        ids = [f"same-{partition}-{n}" for n in range(6)]
        append(store, ids, f"app{partition}", **same, **_rows(6, partition, 9 + partition))
    late = {"_received": [NOON + 2 * DAY] * 2, "_extra": ['{"a":"100%_Straße"}', None]}
    append(store, ["late-0", "late-1"], "late", times=[None, None], **_rows(2, 7, 2**40), **late)
    append(store, ["theirs"], tenant="globex", **_rows(1, 3, 5))
    return store


@pytest.fixture(scope="module")
def api(store: Store) -> Iterator[Client]:
    with asyncio.Runner() as runner:
        client = Client(store, runner)
        yield client
        client.close()


def get(api: Client, path: str, **parameters: Any) -> Any:
    answer = api("GET", BASE + path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def stored(store: Store, tenant: str = "acme") -> list[dict[str, Any]]:
    """All records, by time, then coordinates."""
    return sorted(held(store, tenant).to_pylist(), key=lambda row: (_when(row), *_coordinates(row)))


def _when(row: dict[str, Any]) -> datetime:
    at: datetime = row["EdgeStartTimestamp"] or row["_received"]
    return at


def _coordinates(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["_src_topic"], row["_src_partition"], row["_src_offset"], row["_src_row"]


# --- fields -----------------------------------------------------------------------------------------------------------


def test_the_fields_are_told_with_their_types_and_own_columns_too(api: Client) -> None:
    told = {field["name"]: field["type"] for field in get(api, "/fields")["fields"]}
    assert (told["RayID"], told["RequestHeaders"], told["BotTags"]) == ("string", "map", "array[string]")
    assert (told["_received"], told["_src_offset"], told["_date"]) == ("timestamp", "int", "date")
    assert [*told] == [*file_schema(SMALL).names, DATE]


def test_the_top_values_are_counted_within_time_filter_and_text(api: Client, store: Store) -> None:
    told = get(api, "/fields", values="ClientRequestHost")
    expected = Counter(row["ClientRequestHost"] for row in stored(store))
    assert {each["value"]: each["count"] for each in told["values"]} == expected
    assert [each["count"] for each in told["values"]] == sorted(expected.values(), reverse=True)
    assert (told["distinct"], told["row_count"], told["type"]) == (len(expected), 38, "string")
    where = json.dumps({"key": "ClientRequestHost", "operator": "in", "value": [HOSTILE, "other"]})
    told = get(api, "/fields", values="ClientRequestHost", where=where, since="2025-11-26T12:00Z", q="SAME-1")
    assert told["values"] == [{"value": HOSTILE, "count": 1}, {"value": "other", "count": 1}]
    assert told["query"]["scanned"]["files"] < told["query"]["scanned"]["of_files"]
    assert get(api, "/fields", values="EdgeResponseStatus", q="no such")["values"] == []


def test_values_beyond_the_twentieth_are_counted_but_not_told(api: Client) -> None:
    told = get(api, "/fields", values="RayID")
    assert (len(told["values"]), told["distinct"], told["row_count"]) == (20, 38, 38)


# --- free text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (HOSTILE, 4),
        ("日本\u202e\x00\\", 4),
        ("100%_stra", 1),  # in _extra; % and _ are themselves
        ("%", 1),
        ("') OR true --", 0),
        ("contains_text('x')", 0),
    ],
)
def test_free_text_is_itself_whatever_stands_in_it(api: Client, text: str, count: int) -> None:
    assert sum(get(api, "/histogram", q=text)["counts"]) == count
    told = api("POST", "/query", json={"dataset": "http_requests", "q": text}).json()
    assert told["row_count"] == count


def test_free_text_and_a_filter_must_both_hold(api: Client) -> None:
    where = {"or": [{"key": "RayID", "operator": "startsWith", "value": p} for p in ("same-0", "day-")]}
    asked = {"dataset": "http_requests", "where": where, "q": "same", "fields": ["RayID"], "order": "RayID"}
    told = api("POST", "/query", json=asked).json()
    assert [row["RayID"] for row in told["rows"]] == [f"same-0-{n}" for n in range(6)]
    assert problem(api("POST", "/query", json={"sql": "SELECT 1", "q": "x"})) == (400, "not-read")
    assert problem(api("POST", "/query", json=asked | {"q": ["x"]})) == (400, "not-read")
    assert problem(api("POST", "/query", json=asked | {"q": "x" * 1_001})) == (400, "not-read")


# --- histogram --------------------------------------------------------------------------------------------------------


def test_buckets_without_rows_are_there_as_nought(api: Client) -> None:
    told = get(api, "/histogram", since="2025-11-25T11:30Z", until="2025-11-25T14:00Z", width="30m")
    assert told["starts"][:2] == ["2025-11-25T11:30:00Z", "2025-11-25T12:00:00Z"]
    assert told["counts"] == [0, 1, 0, 1, 0]
    assert (told["width"], told["width_seconds"]) == ("30m", 1800)


def test_the_first_bucket_may_begin_before_the_range_and_counts_what_is_in_it(api: Client) -> None:
    told = get(api, "/histogram", since="2025-11-25T12:00:00.000001Z", until="2025-11-25T14:00:00.000001Z", width="1h")
    assert (told["starts"][0], told["counts"]) == ("2025-11-25T12:00:00Z", [0, 1, 1])


def test_without_a_range_all_rows_are_counted_those_without_a_time_by_their_arrival(api: Client) -> None:
    told = get(api, "/histogram")
    assert (told["since"], told["until"]) == ("2025-11-25T12:00:00Z", "2025-11-27T12:00:00.000001Z")
    assert (told["width"], len(told["counts"]), sum(told["counts"])) == ("30m", 97, 38)
    assert (told["counts"][48], told["counts"][96]) == (12, 2)
    assert get(api, "/histogram", since="36h")["until"] == "2025-11-28T12:00:00Z"  # now
    assert get(api, "/histogram", until="2025-11-25T13:30Z", width="1h")["counts"] == [1, 1]
    assert get(api, "/histogram", q="nowhere")["counts"] == []


def test_a_field_stacks_by_its_eight_most_frequent_values_and_the_rest(api: Client, store: Store) -> None:
    told = get(api, "/histogram", by="ClientRequestHost", width="1d")
    expected = Counter(row["ClientRequestHost"] for row in stored(store))
    first = [each["value"] for each in told["values"]]
    assert len(first) == 8
    assert [sum(each["counts"]) for each in told["values"]] == sorted(expected.values(), reverse=True)[:8]
    assert all(sum(each["counts"]) == expected[each["value"]] for each in told["values"])
    assert {None, HOSTILE, "other"} < set(first)
    stacks = [each["counts"] for each in told["values"]] + [told["other"]]
    assert [sum(counts) for counts in zip(*stacks, strict=True)] == told["counts"]
    assert sum(told["other"]) == 38 - sum(expected[value] for value in first) > 0


@pytest.mark.parametrize("by", ["EdgeResponseStatus", "EdgeStartTimestamp", "_date", "_src_partition", "_extra"])
def test_a_field_of_any_plain_type_stacks(api: Client, by: str) -> None:
    told = get(api, "/histogram", by=by)
    assert sum(sum(each["counts"]) for each in told["values"]) + sum(told["other"]) == 38


# --- records ----------------------------------------------------------------------------------------------------------


def test_each_row_of_an_answer_is_a_record_by_its_coordinates(api: Client) -> None:
    rows = api("POST", "/query", json={"dataset": "http_requests", "q": "same-1"}).json()["rows"]
    assert len(rows) == 6
    for row in rows[:2]:
        at = "{_src_topic}.{_src_partition}.{_src_offset}.{_src_row}".format(**row)
        told = get(api, f"/records/{at}")
        assert (told["record"], told["coordinates"]) == (row, at)


def test_a_record_is_found_in_one_read_of_the_files_whose_bounds_hold_it(api: Client) -> None:
    told = get(api, f"/records/{TOPIC}.7.{2**40}.1")
    assert told["record"]["RayID"] == "late-1"
    assert (told["query"]["scanned"]["files"], told["query"]["scanned"]["of_files"]) == (1, 5)


def test_anothers_coordinates_are_those_of_no_record(api: Client) -> None:
    theirs = f"{BASE}/records/{TOPIC}.3.5.0"
    assert api("GET", theirs, GLOBEX).json()["record"]["RayID"] == "theirs"
    assert problem(api("GET", theirs)) == (404, "not-found")
    assert problem(api("GET", theirs.replace("records", "around"))) == (404, "not-found")


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "topic.0.1",
        "topic.0.1.2.3",
        "topic.-1.1.0",
        "topic.00.1.0",
        "topic.0.٣.0",
        "topic.4294967296.1.0",
        "topic.0.9223372036854775808.0",
        "topic.0.1.2147483648",
        "t'opic.0.1.0",
        "..0.1.0",
        "topic.0.1.0 OR 1=1",
        "\x00.0.1.0",
        "t" * 5_000,
    ],
)
def test_what_is_no_coordinates_is_told(api: Client, text: str) -> None:
    for kind in ("records", "around"):
        assert problem(api("GET", f"{BASE}/{kind}/{quote(text, safe='')}")) == (400, "not-read")


def test_the_greatest_coordinates_there_can_be_are_looked_for(api: Client) -> None:
    at = f"topic.{2**31 - 1}.{2**63 - 1}.{2**31 - 1}"
    assert str(read(at)) == at
    assert problem(api("GET", f"{BASE}/records/{at}")) == (404, "not-found")


@pytest.mark.parametrize(
    ("id", "before", "after"),
    [
        ("day-5", 2, 3),
        ("day-23", 0, 7),
        ("same-0-0", 1, 8),
        ("same-0-5", 50, 0),
        ("same-1-2", 8, 4),
        ("late-0", 3, 1),
        ("late-1", 1, 50),
    ],
)
def test_the_records_around_one_are_its_neighbours_by_time_and_coordinates(
    api: Client, store: Store, id: str, before: int, after: int
) -> None:
    rows = stored(store)
    [place] = [at for at, row in enumerate(rows) if row["RayID"] == id]
    told = get(api, f"/around/{Coordinates.of(rows[place])}", before=before, after=after)
    ids = [row["RayID"] for row in rows]
    assert told["record"]["RayID"] == id
    assert [row["RayID"] for row in told["before"]] == ids[max(0, place - before) : place]
    assert [row["RayID"] for row in told["after"]] == ids[place + 1 : place + 1 + after]


def test_twenty_are_told_on_each_side_when_nothing_is_said(api: Client, store: Store) -> None:
    told = get(api, f"/around/{Coordinates.of(stored(store)[21])}")
    assert (len(told["before"]), len(told["after"])) == (20, 16)


def test_neighbours_that_are_near_are_found_in_the_files_that_hold_them(api: Client) -> None:
    get(api, f"/around/{TOPIC}.7.{2**40}.1", before=1, after=0)
    [query, *_] = api("GET", "/queries").json()["queries"]
    assert (query["scanned"]["files"], query["scanned"]["of_files"]) == (1, 5)


def test_topics_partitions_offsets_and_rows_are_compared_in_this_order() -> None:
    places = [Coordinates(t, p, o, r) for t in "ab" for p in (0, 1) for o in (0, 1) for r in (0, 1)]
    for place in places:
        for sign, expected in (("<", places[: places.index(place)]), (">", places[places.index(place) + 1 :])):
            text = place.beyond(sign).replace("OR", "or").replace("AND", "and").replace(" = ", " == ")
            for column, name in zip(("topic", "partition", "offset", "row"), "tpor", strict=True):
                text = text.replace(f'"_src_{column}"', f"_{name}")
            found = [
                each
                for each in places
                if eval(text, {"_t": each.topic, "_p": each.partition, "_o": each.offset, "_r": each.row})
            ]
            assert found == expected


# --- wrong questions --------------------------------------------------------------------------------------------------

QUOTED = 'RayID" = "RayID'


@pytest.mark.parametrize(
    ("path", "parameters", "expected"),
    [
        ("/fields", {"values": "Nothing"}, (400, "not-read")),
        ("/fields", {"values": QUOTED}, (400, "not-read")),
        ("/fields", {"values": "rayid"}, (400, "not-read")),
        ("/fields", {"values": "RequestHeaders"}, (422, "refused")),
        ("/fields", {"values": "BotTags"}, (422, "refused")),
        ("/fields", {"q": "x"}, (400, "not-read")),
        ("/fields", {"values": "RayID", "limit": "1"}, (400, "not-read")),
        ("/fields", {"values": "RayID", "since": "yesterday"}, (422, "refused")),
        ("/fields", {"values": "RayID", "where": "{"}, (400, "not-read")),
        ("/fields", {"values": "RayID", "where": "[" * 5_000}, (400, "not-read")),
        ("/fields", {"values": "RayID", "where": '"x"'}, (422, "refused")),
        ("/fields", {"values": "RayID", "where": '{"key":"x","operator":"eq","value":1}'}, (422, "refused")),
        ("/histogram", {"by": "RequestHeaders"}, (422, "refused")),
        ("/histogram", {"by": "BotTags"}, (422, "refused")),
        ("/histogram", {"by": QUOTED}, (400, "not-read")),
        ("/histogram", {"by": "日本"}, (400, "not-read")),
        ("/histogram", {"width": "0s"}, (400, "not-read")),
        ("/histogram", {"width": "' OR 1"}, (400, "not-read")),
        ("/histogram", {"width": "1ms"}, (422, "refused")),
        ("/histogram", {"since": "0001-01-01"}, (422, "refused")),
        ("/histogram", {"since": "2025-01-01", "until": "9999-12-31"}, (422, "refused")),
        ("/histogram", {"since": "2030-01-01"}, (422, "refused")),
        ("/histogram", {"until": "0001-01-01T00:00:00+12:00"}, (422, "refused")),
        ("/histogram", {"q": "x" * 1_001}, (400, "not-read")),
        ("/histogram", {"tenant": "globex"}, (400, "not-read")),
        ("/records/t.0.0.0", {"since": "1h"}, (400, "not-read")),
        ("/around/t.0.0.0", {"before": "501"}, (400, "not-read")),
        ("/around/t.0.0.0", {"after": "-1"}, (400, "not-read")),
        ("/around/t.0.0.0", {"after": "٣"}, (400, "not-read")),
        ("/around/t.0.0.0", {"after": "9" * 5_000}, (400, "not-read")),
    ],
)
def test_a_wrong_question_is_a_problem(
    api: Client, path: str, parameters: dict[str, str], expected: tuple[int, str]
) -> None:
    assert problem(api("GET", BASE + path, params=parameters)) == expected


@pytest.mark.parametrize("name", ["HTTP_REQUESTS", "http_requests; SELECT 1", '"http_requests"', "..", "日本"])
def test_a_dataset_that_does_not_exist_is_told(api: Client, name: str) -> None:
    for rest in ("fields", "histogram", "records/t.0.0.0", "around/t.0.0.0"):
        path = f"/datasets/{quote(name, safe='').replace('..', '%2E%2E')}/{rest}"
        assert problem(api("GET", path)) == (404, "not-found")


def test_an_answer_that_is_too_large_to_hold_is_a_problem(api: Client, store: Store, monkeypatch: Any) -> None:
    monkeypatch.setattr("logflume.api.running._MOST_BYTES", 100)
    assert problem(api("GET", f"{BASE}/records/{TOPIC}.7.{2**40}.1")) == (422, "too-large")
    [query, *_] = api("GET", "/queries").json()["queries"]
    assert query["problem"]["type"] == "urn:logflume:too-large"
    assert api.engine.turns.running == 0


def test_questions_that_are_too_slow_are_problems(store: Store) -> None:
    with asyncio.Runner() as runner:
        hasty = Client(store, runner, explore_seconds=0.001)
        records = (f"records/{TOPIC}.0.100.0", f"around/{TOPIC}.0.100.0")
        for path in ("fields?values=RayID", "histogram?by=RayID", *records):
            assert problem(hasty("GET", f"{BASE}/{path}")) == (422, "too-long")
        assert hasty.engine.turns.running == 0
        runner.run(hasty.engine.close())


def test_an_answer_that_is_cut_is_a_problem_not_a_wrong_count(store: Store) -> None:
    with asyncio.Runner() as runner:
        small = Client(store, runner, explore_rows=5)
        assert problem(small("GET", f"{BASE}/histogram")) == (422, "too-large")
        runner.run(small.engine.close())
