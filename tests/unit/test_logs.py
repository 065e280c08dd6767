"""Log lines: one form for ours and the libraries', and nothing in an event can break them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from logflume import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs._NOISY}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_ours_and_the_libraries_lines_have_one_form() -> None:
    stream = io.StringIO()
    logs.setup("json", "info", stream)
    structlog.get_logger("logflume.sink").info("flushed", tenant="acme", rows=3)
    logging.getLogger("deltalake").warning("slow %s", "commit")
    ours, theirs = lines(stream)
    assert (ours["event"], ours["tenant"], ours["rows"], ours["level"]) == ("flushed", "acme", 3, "info")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("slow commit", "deltalake", "warning")
    assert str(ours["time"]).endswith("Z")
    assert ours["logger"] == "logflume.sink"


@pytest.mark.parametrize("value", [object(), b"\xff", {1: 2}, 2**70, "\ud800", {"a": {2**70}}])
def test_no_value_breaks_a_line(value: object) -> None:
    stream = io.StringIO()
    logs.setup("json", "info", stream)
    structlog.get_logger("x").info("said", value=value)
    assert lines(stream)[0]["event"] == "said"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_names_the_error_and_no_local_variable(form: str) -> None:
    stream = io.StringIO()
    logs.setup(form, "info", stream)
    password = "hunter" + "2"  # built, so that no source line of the traceback has it
    try:
        raise ValueError("gone")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    assert "ValueError: gone" in stream.getvalue()
    assert password not in stream.getvalue()


def test_what_others_wrote_forges_no_line_and_moves_no_cursor() -> None:
    """A name, an error's text or a library's message may come from whoever sends."""
    forged = "acme\n2026-11-29T20:03:35Z [error] forged \x1b[31m\u202e\x9b"
    stream = io.StringIO()
    logs.setup("console", "info", stream)
    logging.getLogger("kafka").warning("no topic %s", forged)
    structlog.get_logger("x").info("refused", tenant=forged)
    try:
        raise ValueError(forged)
    except ValueError:
        structlog.get_logger("x").exception("failed")
    said = stream.getvalue()
    assert not [line for line in said.split("\n") if line.startswith("2026-11-29T20:03:35Z")]
    assert all(each == "\n" or each.isprintable() for each in said)
    assert said.count("[error] forged") == 3
    assert "ValueError: acme" in said


def test_the_level_is_kept_and_chatty_libraries_are_quieter() -> None:
    stream = io.StringIO()
    logs.setup("json", "info", stream)
    structlog.get_logger("x").debug("hidden")
    logging.getLogger("aiokafka.consumer").info("hidden")
    logging.getLogger("aiokafka.consumer").warning("shown")
    assert [line["event"] for line in lines(stream)] == ["shown"]


def test_a_second_setup_replaces_the_first() -> None:
    first, second = io.StringIO(), io.StringIO()
    logs.setup("json", "info", first)
    logs.setup("json", "info", second)
    structlog.get_logger("x").info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


def test_a_command_keeps_events_off_stdout_whoever_used_structlog_before(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    with structlog.testing.capture_logs():  # leaves it configured
        pass
    logs.keep_off_stdout()
    structlog.get_logger("somewhere").warning("beware")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "beware" in printed.err
