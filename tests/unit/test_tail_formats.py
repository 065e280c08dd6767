"""The formats that only files have: logfmt, Kubernetes' container lines, text with traces; and how lines are cut."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from logflume.edge.tail.reading import FORMATS, About, Until, reading
from logflume.errors import Misconfigured
from logflume.formats import JsonParser, cri, logfmt, text, to_records
from logflume.formats.text import Group, Multiline
from tests.support.tail import DATASETS

EVENTS = DATASETS["events"]
FIELDS = [field.name for field in EVENTS.fields]
ABOUT = About("/var/log/pods/shop_web-1_u-1/app/0.log", "node-1")


def records(format: str, data: bytes, until: Until = Until.END, start: str = "") -> list[dict[str, Any]]:
    """What the table will hold of ``data``."""
    taken = reading(format, EVENTS, Multiline(start), 256_000).take(data, until, ABOUT)
    parsed = JsonParser(EVENTS).parse(taken.lines.data)
    assert not parsed.bad, parsed.bad
    return to_records(parsed.batch)


# --- logfmt -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "pairs"),
    [
        ("a=1 b=two", [("a", "1"), ("b", "two")]),
        ('a="x y" b=', [("a", "x y"), ("b", "")]),
        (r'a="say \"hi\"\n\u00e9\ud800"', [("a", 'say "hi"\né\\ud800')]),
        ("a=1 debug b=2", [("a", "1"), ("debug", "true"), ("b", "2")]),
        ("  a=1\t", [("a", "1")]),
        ("just a sentence", None),
        ("a sentence with x=1", None),
        ('a="not closed', None),
        ('a="x"y', None),
        ("uri=/x?a=b", [("uri", "/x?a=b")]),
        ("", None),
    ],
)
def test_logfmt_is_read_pair_by_pair_or_not_at_all(line: str, pairs: list[tuple[str, str]] | None) -> None:
    assert logfmt.pairs(line) == pairs


def test_logfmt_fills_the_fields_of_events_and_keeps_the_rest_as_attributes() -> None:
    line = b'ts=2024-05-01T08:00:00Z lvl=info msg="it began" user=7 trace_id=abc\nno logfmt\n'
    first, second = records("logfmt", line)
    assert first["time"].startswith("2024-05-01T08:00:00")
    assert (first["level"], first["message"], first["trace_id"], first["host"]) == ("info", "it began", "abc", "node-1")
    assert first["attributes"] == {"file": ABOUT.path, "user": "7"}
    assert second["message"] == "no logfmt"


def test_a_number_as_time_is_an_instant() -> None:
    [record] = records("logfmt", b"ts=1714550400.25 msg=x\n")
    assert record["time"].startswith("2024-05-01T08:00:00.25")


def test_a_name_that_stands_twice_in_logfmt_loses_nothing() -> None:
    found = logfmt.record("a=1 a=2 msg=x message=y", FIELDS, "attributes")
    assert found["line"] == "a=1 a=2 msg=x message=y"
    assert found["message"] == "y"


def test_logfmt_for_a_dataset_without_a_map_keeps_its_names() -> None:
    assert logfmt.record("a=1 level=x", ["level"]) == {"a": "1", "level": "x"}


# --- Kubernetes -------------------------------------------------------------------------------------------------------


def test_container_lines_carry_what_their_path_says() -> None:
    [record] = records("cri", b"2024-05-01T08:00:00.123456789Z stderr F it began\n")
    assert record["time"].startswith("2024-05-01T08:00:00.123456")
    assert (record["message"], record["service"], record["host"]) == ("it began", "app", "node-1")
    assert record["attributes"] == {
        "namespace": "shop",
        "pod": "web-1",
        "pod_uid": "u-1",
        "container": "app",
        "stream": "stderr",
    }


def test_both_paths_of_the_kubelet_are_understood_and_any_other_says_nothing() -> None:
    id = "0f" * 32
    assert cri.origin(f"/var/log/containers/web-1_shop_my-app-{id}.log") == {
        "namespace": "shop",
        "pod": "web-1",
        "container": "my-app",
        "container_id": id,
    }
    assert cri.origin("/var/log/pods/shop_web-1_u-1/app/0.log.20240501-080000")["container"] == "app"
    assert cri.origin("/var/log/syslog") == {}


def test_the_parts_of_a_long_line_are_joined_beside_those_of_the_other_stream() -> None:
    data = (
        b"2024-05-01T08:00:00Z stdout P one \n"
        b"2024-05-01T08:00:01Z stderr F other\n"
        b"2024-05-01T08:00:02Z stdout P two \n"
        b"2024-05-01T08:00:03Z stdout F three\n"
    )
    assert [record["message"] for record in records("cri", data)] == ["one two three", "other"]


def test_a_record_whose_end_has_not_come_holds_back_what_follows_it() -> None:
    shape = reading("cri", EVENTS, Multiline(), 256_000)
    whole = b"2024-05-01T08:00:00Z stderr F before\n"
    data = whole + b"2024-05-01T08:00:00Z stdout P one \n2024-05-01T08:00:01Z stderr F after\n"
    assert shape.take(data, Until.RECORD, ABOUT).consumed == len(whole)
    taken = shape.take(data, Until.LINE, ABOUT)
    assert (taken.consumed, taken.rows) == (len(data), 3)


def test_json_of_a_container_keeps_its_fields_and_every_number() -> None:
    big = "123456789012345678901234567890"
    line = (
        f'2024-05-01T08:00:00Z stdout F {{"msg": "x", "level": "warn", "n": {big}, "time": "2020-01-01T00:00:00Z"}}\n'
    )
    [record] = records("cri", line.encode())
    assert record["time"].startswith("2020-01-01")
    assert record["level"] == "warn"
    assert record["n"] == int(big)
    [record] = records("cri", b'2024-05-01T08:00:00Z stdout F {"msg": "x", "lvl": "warn", "ts": 1714550400}\n')
    assert (record["message"], record["level"]) == ("x", "warn")
    assert record["time"].startswith("2024-05-01T08:00:00")
    [record] = records("cri", b'2024-05-01T08:00:00Z stdout F {"attributes": {"a": "b"}, "message": "x"}\n')
    assert record["attributes"] == {"a": "b"}
    assert record["kubernetes"]["pod"] == "web-1"
    [record] = records("cri", b"2024-05-01T08:00:00Z stdout F {} \n")
    assert record["service"] == "app"


@pytest.mark.parametrize("text", [b"[1, 2]", b'{"a": ', b'"x"', b"", b"{\xff}"])
def test_what_is_no_json_object_is_the_message(text: bytes) -> None:
    [record] = records("cri", b"2024-05-01T08:00:00Z stdout F " + text + b"\n")
    assert record.get("message", "") == text.decode("utf-8", "backslashreplace")


def test_a_line_that_is_not_the_runtimes_is_kept_as_it_stands() -> None:
    [record] = records("cri", b"rpc error: log rotated\n")
    assert record["message"] == "rpc error: log rotated"


# --- text -------------------------------------------------------------------------------------------------------------

TRACE = b"""2024-05-01T08:00:00.5Z ERROR boom
java.lang.IllegalStateException: boom
\tat a.B.c(B.java:1)
Caused by: java.io.IOException: disk
\tat a.B.d(B.java:2)
\t... 7 more

next
"""


def test_a_stack_trace_is_one_record() -> None:
    found = records("text", TRACE)
    assert [record["message"].count("\n") for record in found] == [0, 4, 0]
    assert found[0]["time"].startswith("2024-05-01T08:00:00.5")
    assert found[2]["message"] == "next"


def test_a_rule_of_ones_own_says_where_records_begin() -> None:
    found = records("text", b"[1] a\nb\nc\n[2] d\n", start=r"\[\d+\]")
    assert [record["message"] for record in found] == ["[1] a\nb\nc", "[2] d"]


def test_a_rule_that_is_no_expression_is_a_mistake() -> None:
    with pytest.raises(Misconfigured, match="first line"):
        Multiline("(")


def test_the_last_record_waits_for_what_may_follow() -> None:
    shape = reading("text", EVENTS, Multiline(), 256_000)
    assert shape.take(b"a\nb\n", Until.RECORD, ABOUT).consumed == 2
    assert shape.take(b"a\nb\n", Until.LINE, ABOUT).consumed == 4
    assert shape.take(b"a\nb\nc", Until.LINE, ABOUT).consumed == 4
    assert shape.take(b"a\nb\nc", Until.END, ABOUT).consumed == 5


def test_a_record_is_bounded_in_lines_and_in_bytes() -> None:
    lines = [b" x"] * (text.MOST_LINES + 1)
    assert Multiline().groups(lines, 10**9) == ([Group(0, text.MOST_LINES), Group(text.MOST_LINES, len(lines))], True)
    groups, _ = Multiline().groups([b" " * 60] * 4, 130)
    assert groups == [Group(0, 2), Group(2, 4)]


def test_bytes_that_are_no_utf8_are_spelled_and_said_to_be() -> None:
    [record] = records("text", b"M\xfcller\n")
    assert record["message"] == "M\\xfcller"
    assert record["attributes"]["undecoded"] == "true"


@pytest.mark.parametrize(
    ("line", "instant"),
    [
        ("2024-05-01T08:00:00Z x", "2024-05-01T08:00:00Z"),
        ("[2024-05-01 08:00:00,123+02:00] x", "2024-05-01T08:00:00.123+02:00"),
        ("2024-05-01 08:00:00 x", None),
        ("x 2024-05-01T08:00:00Z", None),
    ],
)
def test_an_instant_at_the_beginning_is_the_records_time(line: str, instant: str | None) -> None:
    assert text.instant(line) == instant


# --- all --------------------------------------------------------------------------------------------------------------

_BITS = st.sampled_from(
    [
        b"\n",
        b"\0",
        b"\0\0\0\n",
        b" ",
        b"\r\n",
        b'a="',
        b"x=1 ",
        b"\\",
        b"{",
        b'{"a": 1}',
        b"at x",
        b"\xc3\xa9",
        b"\xff",
        b"2024-05-01T08:00:00Z stdout P ",
        b"2024-05-01T08:00:00Z stderr F ",
        b'2024-05-01T08:00:00Z stdout F {"msg": "x"}\n',
        b"y" * 40,
        b"z" * 700,
    ]
)


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.lists(_BITS | st.binary(max_size=20), max_size=60).map(b"".join), until=st.sampled_from(Until))
@settings(max_examples=60)
@example(data=b"\0" * 5000, until=Until.RECORD)
@example(data=b"z" * 5000 + b"\nx", until=Until.LINE)
def test_whatever_a_file_holds_is_read_within_bounds(format: str, data: bytes, until: Until) -> None:
    shape = reading(format, DATASETS["http_requests" if format == "combined" else "events"], Multiline(), 1000)
    taken = shape.take(data, until, ABOUT)
    assert 0 <= taken.consumed <= len(data)
    assert taken.rows == len(taken.lines)
    if len(data) > 3000 and data.strip(b"\0"):
        assert taken.consumed or shape.take(data, Until.LINE, ABOUT).consumed
    if until is Until.RECORD:  # R2: in two readings the same as in one
        rest = shape.take(data[taken.consumed :], Until.END, ABOUT)
        whole = shape.take(data, Until.END, ABOUT)
        assert taken.lines.data + rest.lines.data == whole.lines.data
    if format in ("logfmt", "cri", "text"):
        for line in taken.lines.data.splitlines():
            orjson.loads(line)
