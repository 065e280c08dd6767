"""``logflume tail``: how a record is shown, and what is wrong use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from logflume.cli.main import WRONG_USE, run
from logflume.cli.tail import line

AT = datetime(2026, 11, 29, 10, 0, 0, 123456, tzinfo=UTC)
RECORD: dict[str, Any] = {"level": "ERROR", "status": 503, "_received": AT, "_src_topic": "t", "_src_offset": 7}


def test_a_record_is_one_line_of_its_fields() -> None:
    assert line(RECORD) == "10:00:00.123 level=ERROR status=503"
    assert line(RECORD | {"message": "time out"}) == '10:00:00.123 level=ERROR status=503 message="time out"'
    assert line({"empty": "", "_received": AT, "tags": ["a", "b"]}) == '10:00:00.123 empty="" tags=["a","b"]'


def test_nothing_in_a_record_steers_the_terminal() -> None:
    shown = line(RECORD | {"message": "\x1b[2J\x07 \u202e\nnext \x9b31m", "agent": "\x1b]0;gotcha\x07"})
    assert shown.isprintable()
    assert "\\u001b[2J" in shown
    assert "\\x1b]0;gotcha" in shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--where", "{"], "--where is no JSON"), (["--sample", "0"], "--sample is above 0"), ([], "KAFKA_BOOTSTRAP")],
)
def test_wrong_use_is_told(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tail", "events", "--tenant", "acme", *arguments]) == WRONG_USE
    assert says in capsys.readouterr().err
