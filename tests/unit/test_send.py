"""``logflume send``: every record of a file, whatever its format; what is bad is told by its line and stops nothing."""

from __future__ import annotations

import gzip
import io
import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from logflume import contract, model
from logflume.cli import main, send
from logflume.config.feed import Feed
from logflume.config.follow import Follower
from logflume.edge import BadRecord, Client
from logflume.errors import Retryable
from tests.support.edge import letters, rows
from tests.support.producer import FakeProducer

DATASETS = model.load(contract.find())
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
TO = ["--tenant", "acme", "--dataset", "events"]


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    producer = FakeProducer()
    monkeypatch.setattr(send, "Client", partial(Client, datasets=DATASETS, make_producer=producer))
    monkeypatch.setenv("LOGFLUME_KAFKA_BOOTSTRAP", "nowhere:1")
    monkeypatch.setattr(send, "_PATIENCE_SECONDS", 0.0)  # nobody has a configuration there
    monkeypatch.setattr(send, "Follower", lambda settings, clock: Follower(settings, clock, make_feed=_no_kafka))
    return producer


def _no_kafka() -> Feed:
    raise Retryable("nobody there")


def test_a_send_without_any_configuration_warns_and_sends(
    producer: FakeProducer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text('{"message": "1"}\n')
    assert main.run(["send", str(file), *TO]) == 0
    assert "warning: there is no configuration yet" in capsys.readouterr().err
    assert _messages(producer) == ["1"]


def _messages(producer: FakeProducer) -> list[str]:
    return sorted(record["message"] for _, record in rows(producer.log, DATASETS))


@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_json_are_sent_packed_or_not(
    producer: FakeProducer, tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "_CHUNK_BYTES", 100)  # lines lie across chunks, and one chunk holds no whole line
    lines = [json.dumps({"message": f"{n:04}" + "x" * (300 if n == 50 else 0)}) for n in range(100)]
    data = "\n".join(lines).encode()
    file = tmp_path / "file.of.any.name"
    file.write_bytes(gzip.compress(data) if packed else data)
    assert main.run(["send", str(file), *TO]) == 0
    assert [message[:4] for message in _messages(producer)] == [f"{n:04}" for n in range(100)]


def test_bad_lines_are_shown_by_number_and_counted_and_the_exit_code_says_so(
    producer: FakeProducer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(send, "_CHUNK_BYTES", 64)
    file = tmp_path / "file"
    good = b'{"message":"good"}\n'
    file.write_bytes(good + b"\n" + b"bad\x1b[31m\n" + good * 20 + b"[1]\n" + b"x\n" * 30)
    assert main.run(["send", str(file), *TO]) == 1
    printed = capsys.readouterr()
    assert "line 3: not-json" in printed.err
    assert "bad\\x1b[31m" in printed.err  # no escape sequence of a record reaches the terminal
    assert "line 24: not-object" in printed.err
    assert printed.err.count("\nline ") + printed.err.startswith("line ") == 20
    assert "and 12 more" in printed.err
    assert "21 records sent, 32 bad ones" in printed.out
    assert len(rows(producer.log, DATASETS)) == 21
    assert len(letters(producer.log, "logflume.deadletter")) == 32


def test_the_reason_of_a_bad_line_may_quote_it_and_is_spelt_out_too(capsys: pytest.CaptureFixture[str]) -> None:
    bad = BadRecord("acme", "events", "not-json", "at \x1b]0;owned\x07", b"x", 1)
    send._report(1, send.Tally(1, [bad]), 1.0, as_json=False)
    assert "at \\x1b]0;owned\\x07: x" in capsys.readouterr().err


def test_json_gives_programs_a_summary(
    producer: FakeProducer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b'{"message":"good"}\nbad\n')
    assert main.run(["send", str(file), *TO, "--json"]) == 1
    summary = json.loads(capsys.readouterr().out)
    assert (summary["sent"], summary["bad"]) == (1, 1)
    (bad,) = summary["bad_lines"]
    assert (bad["line"], bad["reason"], bad["text"]) == (2, "not-json", "bad")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ('{"message": "one",\n "n": 18446744073709551617}', [{"message": "one", "n": 2**64 + 1}]),
        ('[{"message": "a\\nb"}, {"message": "c"}]', [{"message": "a\nb"}, {"message": "c"}]),
        ("[]", []),
    ],
)
def test_a_json_document_is_one_record_or_an_array_of_them(
    producer: FakeProducer, tmp_path: Path, document: str, expected: list[dict[str, object]]
) -> None:
    file = tmp_path / "file.json"
    file.write_text(document)
    assert main.run(["send", str(file), *TO, "--format", "json"]) == 0
    assert [record for _, record in rows(producer.log, DATASETS)] == expected


def test_an_element_that_is_no_record_is_told_by_its_place_in_the_array(
    producer: FakeProducer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.json"
    file.write_text('[{"message": "a"}, 7, {"message": "b"}]')
    assert main.run(["send", str(file), *TO, "--format", "json"]) == 1
    assert "line 2: not-object" in capsys.readouterr().err
    assert _messages(producer) == ["a", "b"]


@pytest.mark.parametrize("document", ["{", '{"a": NaN}', '{"a":1}\n{"a":2}', ""])
def test_what_is_no_json_document_sends_nothing(
    producer: FakeProducer, tmp_path: Path, document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.json"
    file.write_text(document)
    assert main.run(["send", str(file), *TO, "--format", "json"]) == 1
    assert "not one JSON document" in capsys.readouterr().err
    assert producer.log == []


def test_a_torn_gzip_file_is_told(producer: FakeProducer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file.gz"
    file.write_bytes(gzip.compress(b'{"message":"1"}\n' * 1000)[:-12])
    assert main.run(["send", str(file), *TO]) == 1
    assert "can't be read to its end" in capsys.readouterr().err


def test_standard_input_is_a_file_too(producer: FakeProducer, monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO(gzip.compress(b'{"message":"piped"}\n'))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(data)))  # type: ignore[arg-type]
    assert main.run(["send", "-", *TO]) == 0
    assert _messages(producer) == ["piped"]


def test_a_web_servers_log_is_sent(producer: FakeProducer, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_bytes(b'1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "GET /a?b HTTP/1.0" 200 2326 "-" "curl/8"\n')
    assert main.run(["send", str(file), "--tenant", "acme", "--dataset", "http_requests", "--format", "combined"]) == 0
    ((_, record),) = rows(producer.log, DATASETS)
    assert record["ClientRequestURI"] == "/a?b"


def _csv(bad: bool) -> bytes:
    return b"time,level,message\n" + b"".join(
        b"%d,INFO,%d\n" % (1_777_636_800 + n, n) if n != 7 or not bad else b"only two,values\n" for n in range(50)
    )


def _avro(bad: bool) -> bytes:
    names = {"message": "string", "time": {"type": "long", "logicalType": "timestamp-millis"}, "share": "double"}
    schema = {"type": "record", "name": "R", "fields": [{"name": n, "type": t} for n, t in names.items()]}
    file = io.BytesIO()
    share = [math.nan if n == 7 and bad else 0.5 for n in range(50)]
    fastavro.writer(file, schema, [{"message": str(n), "time": NOON, "share": share[n]} for n in range(50)])
    return file.getvalue()


def _parquet(bad: bool) -> bytes:
    columns = {
        "message": [str(n) for n in range(50)],
        "time": [NOON] * 50,
        "share": [math.nan if n == 7 and bad else 0.5 for n in range(50)],
        **({"raw": [b"a\xff"] * 50} if bad else {}),
    }
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize("way", ["file", "stdin"])
@pytest.mark.parametrize("bad", [False, True], ids=["good", "bad-row"])
@pytest.mark.parametrize(("format", "make"), [("csv", _csv), ("avro", _avro), ("parquet", _parquet)])
def test_tables_and_containers_are_sent_and_a_bad_row_costs_only_itself(
    producer: FakeProducer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    format: str,
    make: Callable[[bool], bytes],
    bad: bool,
    way: str,
) -> None:
    monkeypatch.setattr(send, "_BATCH_ROWS", 20)
    file = tmp_path / "file"
    file.write_bytes(gzip.compress(make(bad)) if format != "parquet" else make(bad))
    if way == "stdin":
        data = _Pipe(file.read_bytes())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(data)))
    name = "-" if way == "stdin" else str(file)
    assert main.run(["send", name, *TO, "--format", format]) == int(bad)
    assert _messages(producer) == sorted(str(n) for n in range(50) if n != 7 or not bad)
    records = [record for _, record in rows(producer.log, DATASETS)]
    assert all(record["time"].startswith("2026-05-01T12:00") for record in records)
    if bad:
        reason = "not-object" if format == "csv" else "not-finite"
        assert f"line 8: {reason}" in capsys.readouterr().err
        assert len(letters(producer.log, "logflume.deadletter")) == 1
        if format == "parquet":
            assert {record["raw"] for record in records} == {"a\xff"}  # bytes: a character each


class _Pipe(io.BytesIO):
    """Standard input of a pipe."""

    def seekable(self) -> bool:
        return False


@pytest.mark.parametrize(("format", "said"), [("csv", "past line"), ("avro", "past record"), ("parquet", "past row 0")])
def test_a_torn_file_of_any_format_is_told(
    producer: FakeProducer, tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str, said: str
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b'message\ngood\n"torn' if format == "csv" else b"torn")
    assert main.run(["send", str(file), *TO, "--format", format]) == 1
    assert said in capsys.readouterr().err
    assert _messages(producer) == (["good"] if format == "csv" else [])


def test_csv_may_have_another_delimiter(producer: FakeProducer, tmp_path: Path) -> None:
    file = tmp_path / "file.tsv"
    file.write_bytes(b"message\tlevel\na,b\tINFO\n")
    assert main.run(["send", str(file), *TO, "--format", "csv", "--delimiter", "\\t"]) == 0
    assert _messages(producer) == ["a,b"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["no/such/file", *TO],
        [__file__, "--tenant", "..", "--dataset", "events"],
        [__file__],
        [__file__, *TO, "--format", "csv", "--delimiter", "ab"],
    ],
)
def test_wrong_use_is_exit_code_2(producer: FakeProducer, arguments: list[str]) -> None:
    assert main.run(["send", *arguments]) == 2


def test_a_tenant_that_no_file_names_is_warned_of(
    producer: FakeProducer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tenants = tmp_path / "tenants"
    tenants.mkdir()
    (tenants / "other.yaml").write_text("name: other\ndatasets: {events: {}}\n")
    monkeypatch.setenv("LOGFLUME_TENANTS_DIR", str(tenants))
    file = tmp_path / "file"
    file.write_bytes(b'{"message":"1"}\n')
    assert main.run(["send", str(file), *TO]) == 0
    assert "no file in" in capsys.readouterr().err
    assert main.run(["send", str(file), "--tenant", "other", "--dataset", "events"]) == 0
    assert "no file in" not in capsys.readouterr().err
