"""The prompt of ``logflume query``: one query after another, until ``\\q`` or Ctrl-D.

What goes wrong with a query, or interrupts it, ends that query and not the prompt.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import sqlglot
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import ThreadedCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output as Screen
from sqlglot import TokenType
from sqlglot.errors import SqlglotError

from logflume.api.dataset import fields
from logflume.cli import main
from logflume.cli.answer import Output
from logflume.cli.asking import Asking
from logflume.cli.completing import COMMANDS, Completing
from logflume.cli.listing import printable, show
from logflume.cli.run_query import ask
from logflume.durable import make_folder
from logflume.errors import LogflumeError, Misconfigured, Refused
from logflume.explore.check import DIALECT
from logflume.settings import Settings

HISTORY: Final = "query_history"
_HELP: Final = "\n".join(f"  {name:<16} {text}" for name, text in COMMANDS.items())


@dataclass(frozen=True, slots=True)
class Asked:
    """What holds for every query, until it is changed."""

    since: str
    until: str
    limit: int
    output: Output
    live: bool = False


def run(
    whom: Asking, settings: Settings, asked: Asked, *, input: Input | None = None, screen: Screen | None = None
) -> None:
    """Take queries from the terminal (or ``input``), and answer each. Raises ``Misconfigured`` where there is none."""
    if input is None and not sys.stdin.isatty():
        raise Misconfigured("a query is wanted, as an argument; the prompt, which opens without one, needs a terminal")
    if asked.output.file is not None:
        raise Misconfigured("a file is for the answer of one query, and not of a prompt's")
    tenant = whom.tenant()  # whoever can't be asked says so at once
    session: PromptSession[str] = PromptSession(
        history=_history(settings.state_dir / HISTORY),
        completer=ThreadedCompleter(Completing(whom)),  # a server may take a while to say what there is
        complete_while_typing=True,
        multiline=True,
        prompt_continuation=lambda width, *_: "> ".rjust(width),
        key_bindings=_keys(),
        input=input,
        output=screen,
    )
    print(r"SQL ends with ; – \d lists tables, \? helps, \q ends", file=sys.stderr)
    prompt = _Prompt(whom, asked)
    while True:
        try:
            text = session.prompt(f"{printable(tenant)}> ", rprompt=prompt.within)
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if not prompt.take(text):
            return


class _Prompt:
    """What is in force, and what is done with a text."""

    def __init__(self, whom: Asking, asked: Asked) -> None:
        self._whom = whom
        self._asked = asked

    @property
    def within(self) -> str:
        """The time range, as it was written."""
        named = (("since", self._asked.since), ("until", self._asked.until))
        return " ".join(f"{name} {text}" for name, text in named if text)

    def take(self, text: str) -> bool:
        """Do what a text says; whether to go on."""
        try:
            if text.strip().rstrip(";").strip().lower() in (r"\q", "quit", "exit"):
                return False
            if text.strip().startswith("\\"):
                self._command(*text.strip().rstrip(";").split())
            else:
                for sql in statements(text):
                    self._query(sql)
        except LogflumeError as error:
            main.tell(error)
        except KeyboardInterrupt:
            print("cancelled", file=sys.stderr)
        return True

    def _query(self, sql: str) -> None:
        within = self._whom.span(self._asked.since, self._asked.until)
        ask(self._whom, sql, self._asked.limit, within, self._asked.output, live=self._asked.live)

    def _command(self, name: str, *words: str) -> None:
        argument = " ".join(words)
        if name == r"\d":
            self._describe(argument)
        elif name in (r"\since", r"\until"):
            since, until = self._asked.since, self._asked.until
            since, until = (argument, until) if name == r"\since" else (since, argument)
            changed = replace(self._asked, since=since, until=until)
            self._whom.span(changed.since, changed.until)
            self._asked = changed
        elif name == r"\?":
            print(_HELP)
        else:
            raise Refused(f"there is no command {name}:\n{_HELP}")

    def _describe(self, name: str) -> None:
        datasets = self._whom.datasets()
        if not name:
            rows = [{"table": each.name, "description": each.description} for each in datasets.values()]
            show(rows, ["table", "description"], as_json=False, empty="there are no tables")
        elif name in datasets:
            show(fields(datasets[name]), ["name", "type", "description"], as_json=False, empty="")
        else:
            raise Refused(f"there is no table {name!r}; there are: {', '.join(datasets)}")


def statements(text: str) -> Iterator[str]:
    """Yield the statements of a text, each without its semicolon. What can't be told apart is one."""
    try:
        ends = [t.start for t in sqlglot.tokenize(text, dialect=DIALECT) if t.token_type is TokenType.SEMICOLON]
    except SqlglotError:
        ends = []
    start = 0
    for end in [*ends, len(text)]:
        if part := text[start:end].strip():
            yield part
        start = end + 1


def ended(text: str) -> bool:
    """Whether a text is to be taken as it is: a command, or SQL whose last token is a semicolon."""
    if not text.strip() or text.lstrip().startswith("\\") or text.strip().lower() in ("quit", "exit"):
        return True
    try:
        tokens = sqlglot.tokenize(text, dialect=DIALECT)
    except SqlglotError:
        return False  # a quote is open
    return bool(tokens) and tokens[-1].token_type is TokenType.SEMICOLON


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None  # what was chosen stands there
        elif ended(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return keys


def _history(path: Path) -> History:
    """What was typed before; a file for its user only. Where none can be written it lasts as long as the prompt."""
    try:
        make_folder(path.parent)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600))
        path.chmod(0o600)
        return FileHistory(path)
    except OSError as error:
        print(f"The history is not kept: {error}", file=sys.stderr)
        return InMemoryHistory()
