"""Syslog messages as records: the RFCs' own examples, what senders really say, and anything at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from logflume import contract, model
from logflume.formats import JsonParser, syslog, to_records

RECEIVED = int(datetime(2025, 10, 12, 8, tzinfo=UTC).timestamp()) * 10**9 + 123_456_789
ARRIVED = "2025-10-12T08:00:00.123456789Z"
EVENTS = model.load(contract.find())["events"]


def _read(message: bytes, received_ns: int = RECEIVED, **more: Any) -> dict[str, Any]:
    return syslog.read(message, received_ns, "192.0.2.7", **more)


# --- RFC 5424, §6.5 ---------------------------------------------------------------------------------------------------


def test_rfc_5424_example_1_with_a_byte_order_mark() -> None:
    message = "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed on /dev/pts/8"
    assert _read(message.encode()) == {
        "time": "2003-10-11T22:14:15.003Z",
        "level": "CRITICAL",
        "logger": "auth",
        "host": "mymachine.example.com",
        "service": "su",
        "message": "'su root' failed on /dev/pts/8",
        "attributes": {"msgid": "ID47"},
    }


def test_rfc_5424_example_2_without_structured_data() -> None:
    record = _read(b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to do it.")
    assert record["time"] == "2003-08-24T05:14:15.000003-07:00"
    assert (record["level"], record["logger"], record["service"]) == ("NOTICE", "local4", "myproc")
    assert record["attributes"] == {"procid": "8710"}
    assert record["message"] == "%% It's time to do it."


def test_rfc_5424_examples_3_and_4_keep_structured_data_as_attributes() -> None:
    head = b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 "
    first = b'[exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"]'
    wanted = {
        "msgid": "ID47",
        "exampleSDID@32473.iut": "3",
        "exampleSDID@32473.eventSource": "Application",
        "exampleSDID@32473.eventID": "1011",
    }
    record = _read(head + first + b" \xef\xbb\xbfAn application event log entry...")
    assert (record["attributes"], record["message"]) == (wanted, "An application event log entry...")
    record = _read(head + first + b'[examplePriority@32473 class="high"]')
    assert record["attributes"] == wanted | {"examplePriority@32473.class": "high"}
    assert record["message"] == ""


def test_nil_values_are_absent_and_arrival_and_sender_stand_for_time_and_host() -> None:
    assert _read(b"<0>1 - - - - - -") == {
        "time": ARRIVED,
        "level": "EMERGENCY",
        "logger": "kern",
        "host": "192.0.2.7",
        "message": "",
        "attributes": {},
    }


def test_escapes_repeated_names_and_empty_elements_lose_nothing() -> None:
    record = _read(b'<1>1 - - - - - [e][o ip="1" ip="2" ip="3" ip.2="x" t="a\\"b\\]c\\\\d\\e ]"][e] m')
    assert record["attributes"] == {
        "e": "",
        "o.ip": "1",
        "o.ip.2": "2",
        "o.ip.3": "3",
        "o.ip.2.2": "x",
        "o.t": 'a"b]c\\d\\e ]',
        "e.2": "",
    }
    assert record["message"] == "m"


@pytest.mark.parametrize("data", ['[a b="c', "[a b=c]", "[]", '[a b= "c"]', "[a"])
def test_malformed_structured_data_stay_in_the_message(data: str) -> None:
    record = _read(f'<1>1 - h - - - [ok x="1"]{data} text'.encode())
    assert record["message"] == f"{data} text"
    assert record["attributes"] == {"ok.x": "1"}


def test_a_time_that_is_none_is_kept_and_arrival_stands_for_it() -> None:
    record = _read(b"<14>1 2016-12-31T23:59:60Z h a - - - leap")
    assert record["time"] == ARRIVED
    assert record["attributes"] == {"timestamp": "2016-12-31T23:59:60Z"}


# --- RFC 3164, §5.4, and what is sent in its name ---------------------------------------------------------------------


def test_rfc_3164_example_1() -> None:
    record = _read(b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8")
    assert record == {
        "time": "2025-10-11T22:14:15Z",
        "level": "CRITICAL",
        "logger": "auth",
        "host": "mymachine",
        "service": "su",
        "message": "'su root' failed for lonvick on /dev/pts/8",
        "attributes": {},
    }


def test_rfc_3164_example_2_is_a_text_without_priority() -> None:
    record = _read(b"Use the BFG!")
    assert record == {
        "time": ARRIVED,
        "level": "NOTICE",
        "logger": "user",
        "host": "192.0.2.7",
        "message": "Use the BFG!",
        "attributes": {},
    }


PARTS = [
    # message, time, host, service, procid, text
    (b"<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", "2026-02-05T17:32:18Z", "10.0.0.99", None, None, "Use the BFG!"),
    (b"<13>Oct  1 00:00:00 fe80::1 app[12]: x", "2025-10-01T00:00:00Z", "fe80::1", "app", "12", "x"),
    (b"<13>Oct 1 00:00:00 h app[12] x", "2025-10-01T00:00:00Z", "h", "app", "12", "x"),
    (b"<13>Oct 11 22:14:15 su[3]: no host", "2025-10-11T22:14:15Z", "192.0.2.7", "su", "3", "no host"),
    (b"<13>Oct 11 22:14:15 su: no host", "2025-10-11T22:14:15Z", "192.0.2.7", "su", None, "no host"),
    (b"<13>Oct 11 2019 22:14:15.25 h a/b: x", "2019-10-11T22:14:15.25Z", "h", "a/b", None, "x"),
    (b"<187>*Oct 11 22:14:15.123: %LINK-3: x", "2025-10-11T22:14:15.123Z", "192.0.2.7", "%LINK-3", None, "x"),
    (b"<30>2026-05-01T10:00:00.5+02:00 web1 sshd[1]: x", "2026-05-01T10:00:00.5+02:00", "web1", "sshd", "1", "x"),
    (b"<14>app: no time", ARRIVED, "192.0.2.7", "app", None, "no time"),
    (b"<14>no tag here: at all", ARRIVED, "192.0.2.7", None, None, "no tag here: at all"),
    (b"Oct 11 22:14:15 h app: no priority", "2025-10-11T22:14:15Z", "h", "app", None, "no priority"),
    (b"Error: no such file", ARRIVED, "192.0.2.7", None, None, "Error: no such file"),
    (b"<192>x: y", ARRIVED, "192.0.2.7", None, None, "<192>x: y"),
    (b"<13>Feb 30 00:00:00 h app: x", ARRIVED, "192.0.2.7", None, None, "Feb 30 00:00:00 h app: x"),
    (b"<13>Oct 11 25:00:00 h app: x", ARRIVED, "192.0.2.7", None, None, "Oct 11 25:00:00 h app: x"),
    (b"<14>a\nb\n\0\r\n", ARRIVED, "192.0.2.7", None, None, "a\nb"),
    (b"<34>2 2003-10-11T22:14:15Z h a - - - x", ARRIVED, "192.0.2.7", None, None, "2 2003-10-11T22:14:15Z h a - - - x"),
]


@pytest.mark.parametrize("parts", PARTS, ids=[repr(parts[0]) for parts in PARTS])
def test_what_is_sent_in_the_name_of_rfc_3164(parts: tuple[Any, ...]) -> None:
    message, time, host, service, procid, text = parts
    record = _read(message)
    assert (record["time"], record["host"], record.get("service")) == (time, host, service)
    assert (record["attributes"].get("procid"), record["message"]) == (procid, text)


@pytest.mark.parametrize(
    ("received", "stamp", "year"),
    [
        (datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC), "Dec 31 23:59:59", 2025),
        (datetime(2025, 12, 31, 23, 59, 55, tzinfo=UTC), "Jan  1 00:00:01", 2026),
        (datetime(2025, 3, 1, tzinfo=UTC), "Feb 29 12:00:00", 2024),
        (datetime(2025, 6, 1, tzinfo=UTC), "Jun  1 00:00:00", 2025),
    ],
)
def test_a_missing_year_is_the_one_nearest_to_arrival(received: datetime, stamp: str, year: int) -> None:
    record = _read(f"<13>{stamp} h a: x".encode(), int(received.timestamp()) * 10**9)
    assert record["time"].startswith(str(year))


def test_a_time_without_zone_is_read_in_the_zone_of_the_setting() -> None:
    record = _read(b"<13>Oct 11 22:14:15.5 h a: x", zone=ZoneInfo("Europe/Berlin"))
    assert record["time"] == "2025-10-11T20:14:15.5Z"


def test_bytes_that_are_no_utf_8_become_a_character_each_and_are_marked() -> None:
    record = _read(b"<13>Oct 11 22:14:15 h a: \xe4\xff")
    assert (record["message"], record["attributes"]) == ("äÿ", {"charset": "latin-1"})


def test_facilities_and_severities_are_all_named() -> None:
    levels = [_read(b"<%d>x" % number)["level"] for number in range(8)]
    assert levels == ["EMERGENCY", "ALERT", "CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"]
    loggers = [_read(b"<%d>x" % (8 * number))["logger"] for number in range(24)]
    assert (loggers[0], loggers[10], loggers[16], loggers[23], len(set(loggers))) == (
        *("kern", "authpriv", "local0", "local7"),
        24,
    )


# --- anything ---------------------------------------------------------------------------------------------------------

words = st.sampled_from(
    [
        *("<34>", "<999>", "1 ", "2003-10-11T22:14:15Z ", "Oct 11 22:14:15 ", "Feb 29 2023 ", "0001-01-01T00:00:00Z "),
        *("host ", "- ", "app", "[1]", ": ", "[a b=", '"c"', '"', "]", "\\", "[", "é", "\ufeff", "\0", "\n", " ", "x"),
    ]
)
texts = st.one_of(
    st.lists(words, max_size=20).map(lambda found: "".join(found).encode()),
    st.binary(max_size=80).map(lambda found: b"<34>1 " + found),
    st.binary(max_size=80),
)


@given(texts, st.integers(0, 2**62), st.sampled_from([UTC, ZoneInfo("Europe/Berlin")]))
@example(b"<13>Jan  1 0001 00:00:00 h a: x", 0, ZoneInfo("Asia/Tokyo"))
@example(b"<13>Dec 31 9999 23:59:59 h a: x", 0, ZoneInfo("America/New_York"))
def test_any_bytes_become_one_row_with_a_time_whose_text_is_whole(
    message: bytes, received: int, zone: ZoneInfo
) -> None:
    record = syslog.read(message, received, "192.0.2.7", zone)
    parsed = JsonParser(EVENTS).parse(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    assert not parsed.bad
    assert parsed.batch.column("time").null_count == 0
    assert parsed.batch.column("_extra").null_count == 1
    assert to_records(parsed.batch)[0]["message"] == record["message"]


@pytest.mark.parametrize(
    "message",
    [
        b"<1>1 - - - - - " + b"[a b=" * 20_000,
        b"<1>1 - - - - - [a" + b' b=""' * 20_000 + b"]",
        b"<1>1 - - - - - [a" + b' b=""' * 20_000 + b"!",
        b'<1>1 - - - - - [a b="' + b"\\" * 100_000,
        b"<1>1 - - - - - " + b"[a]" * 30_000,
        b"<1>Oct 11 22:14:15 " + b"a[" * 50_000,
        b"<1>Oct 11 22:14:15 " + b"a:" * 50_000,
        b"<1>" + b" " * 100_000,
        b"<1>1 " + b"a " * 50_000,
    ],
)
@pytest.mark.timeout(20)
def test_no_message_costs_more_than_its_length(message: bytes) -> None:
    """Each of them would take minutes, were its time to grow with the square."""
    record = _read(message)
    assert len(record["message"]) + sum(map(len, record["attributes"])) > 30_000
