"""The combined log format: each line comes back as it was, and a line of another format costs only itself."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

import pytest

from logflume import contract
from logflume.block import reasons
from logflume.errors import Misconfigured
from logflume.formats import combined, to_records
from logflume.model import Dataset, load

DATA = Path(__file__).parents[2] / os.environ.get("LOGFLUME_TEST_DATA", "../shared/data")
DATASETS = load(contract.find())
HTTP = DATASETS["http_requests"]
EXAMPLE = (
    '203.0.113.9 - - [17/May/2015:10:05:03 +0000] "GET /a/b.html?q=1 HTTP/1.1" 200 2326 '
    '"http://example.com/" "Mozilla/5.0 (X11; Linux)"'
)


def lines_back(data: bytes, ds: Dataset = HTTP) -> list[str]:
    parsed = combined.parse(data, ds)
    assert parsed.bad == []
    return combined.to_combined(to_records(parsed.batch))


def test_all_lines_of_a_real_log_come_back_equal() -> None:
    data = gzip.decompress((DATA / "apache_access.log.gz").read_bytes())
    lines = data.decode().splitlines()
    assert len(lines) == 10_000
    assert lines_back(data) == lines


def test_all_lines_of_a_made_up_log_come_back_equal() -> None:
    rng = random.Random(7)
    ips = ["192.0.2.7", "2001:db8::1", "host.example"]
    months = ["Jan", "Feb", "Apr", "May", "Sep", "Dec"]
    requests = [
        "GET / HTTP/1.1",
        "POST /é?a=%20 HTTP/2.0",
        "-",
        "",
        "\\x16\\x03\\x01",
        'GET /"q\\" HTTP/1.1',
        "GET /old",
    ]
    requests = [request.replace('/"', '/\\"') for request in requests]
    agents = ["-", "", "curl/8", 'a \\"quoted\\" one', "back\\\\slash", "日本"]
    lines = [
        f"{rng.choice(ips)} {rng.choice(['-', 'id'])} {rng.choice(['-', 'bob', 'bob smith', '[x]'])} "
        f"[{rng.randint(1, 28):02}/{rng.choice(months)}/{rng.randint(1971, 2261)}:{rng.randint(0, 23):02}:59:00 "
        f'{rng.choice(["+0000", "-0330", "+1400", "-0000"])}] "{rng.choice(requests)}" '
        f"{rng.choice(['200', '404', '-', '000'])} {rng.choice(['-', '0', '17', str(10**17)])} "
        f'"{rng.choice(agents)}" "{rng.choice(agents)}{rng.choice(["", *[chr(34)] * 5])}'
        for _ in range(2_000)
    ]
    lines = [line + rng.choice(["", ' "192.0.2.1"', " 0.004"]) if line.endswith('"') else line for line in lines]
    assert lines_back("\n".join(lines).encode()) == lines


def test_the_fields_stand_in_their_columns() -> None:
    parsed = combined.parse(EXAMPLE.encode(), HTTP)
    assert parsed.batch.schema.names == [*HTTP.schema.names, "_extra"]
    assert to_records(parsed.batch) == [
        {
            "EdgeStartTimestamp": "2015-05-17T10:05:03Z",
            "ClientIP": "203.0.113.9",
            "ClientRequestMethod": "GET",
            "ClientRequestURI": "/a/b.html?q=1",
            "ClientRequestPath": "/a/b.html",
            "ClientRequestProtocol": "HTTP/1.1",
            "ClientRequestReferer": "http://example.com/",
            "ClientRequestUserAgent": "Mozilla/5.0 (X11; Linux)",
            "EdgeResponseStatus": 200,
            "EdgeResponseBytes": 2326,
        }
    ]


def test_a_dash_is_no_value_and_what_has_no_field_is_in_extra() -> None:
    line = '192.0.2.7 ident bob [17/May/2015:10:05:03 +0200] "-" 408 - "-" "-" "tail"'
    assert to_records(combined.parse(line.encode(), HTTP).batch) == [
        {
            "EdgeStartTimestamp": "2015-05-17T08:05:03Z",
            "ClientIP": "192.0.2.7",
            "EdgeResponseStatus": 408,
            "ident": "ident",
            "user": "bob",
            "zone": "+0200",
            "request": "-",
            "rest": ' "tail"',
        }
    ]


def test_an_application_log_takes_the_line_as_its_message() -> None:
    parsed = combined.parse(EXAMPLE.encode(), DATASETS["events"])
    assert to_records(parsed.batch) == [{"time": "2015-05-17T10:05:03Z", "message": EXAMPLE}]


def test_another_dataset_is_told_that_the_format_can_not_fill_it() -> None:
    with pytest.raises(Misconfigured, match="dns_logs"):
        combined.parse(EXAMPLE.encode(), DATASETS["dns_logs"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nonsense", reasons.NOT_COMBINED),
        (EXAMPLE.replace("17/May", "31/Feb").encode(), reasons.NOT_COMBINED),
        (EXAMPLE.replace("May", "Mai").encode(), reasons.NOT_COMBINED),
        (EXAMPLE.replace("10:05", "24:05").encode(), reasons.NOT_COMBINED),
        (EXAMPLE.replace("2326", "many").encode(), reasons.NOT_COMBINED),
        (EXAMPLE.replace("2015", "1600").encode(), reasons.NOT_COMBINED),
        (EXAMPLE.encode().replace(b"X11", b"\xff"), reasons.NOT_UTF8),
    ],
)
def test_a_line_of_another_format_costs_only_itself(line: bytes, reason: str) -> None:
    parsed = combined.parse(b"\n".join([EXAMPLE.encode(), b"", line + b"\r", EXAMPLE.encode(), b""]), HTTP)
    assert parsed.rows.tolist() == [0, 2]
    assert [(bad.row, bad.raw, bad.reason) for bad in parsed.bad] == [(1, line, reason)]


def test_an_empty_log_has_no_rows() -> None:
    assert combined.parse(b"\n\n", HTTP).batch.num_rows == 0
