"""The command: its help, and how errors end it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import typer

from logflume.cli import main
from logflume.errors import Fatal, Hole, Misconfigured, Poison, Refused, Unavailable


@pytest.mark.parametrize("name", main.COMMANDS)
def test_each_command_has_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([name, "--help"]) == 0
    assert f"logflume {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Misconfigured("m"), 2),
        (Refused("m"), 3),
        (Hole("m"), 3),
        (Unavailable("m"), 1),
        (Poison("bad-json", "m"), 1),
        (Fatal("m"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_ends_the_command_with_a_message_and_its_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(main, "build", _only(fail))
    assert main.run(["fail"]) == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert isinstance(error, KeyboardInterrupt) or "m" in shown


def test_a_command_that_asks_for_an_exit_code_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave() -> None:
        raise typer.Exit(1)

    monkeypatch.setattr(main, "build", _only(leave))
    assert main.run(["leave"]) == 1


def test_an_error_that_nobody_foresaw_shows_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main, "build", _only(fail))
    with pytest.raises(ZeroDivisionError):
        main.run(["fail"])


@pytest.mark.parametrize("arguments", [["no-such-command"], ["local", "no-such-part"], ["--no-such-option"]])
def test_wrong_use_ends_with_2(arguments: list[str]) -> None:
    assert main.run(arguments) == 2


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("logflume 0.")


def _only(function: Callable[[], None]) -> Callable[[str | None], typer.Typer]:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.command(function.__name__)(function)
    return lambda called: app
