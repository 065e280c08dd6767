"""What the prompt proposes while somebody types: its commands, tables, their fields, functions and SQL's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from logflume.cli.asking import Asking
from logflume.errors import LogflumeError
from logflume.table.schema import DATE, OWN

COMMANDS: Final = {
    r"\d": "list the tables",
    r"\d NAME": "list a table's fields",
    r"\since 15m": "see rows from this time on: 15m, 2h, 7d ago, or 2026-11-29T10:00Z; alone: all",
    r"\until TIME": "see rows before this time, likewise",
    r"\?": "this list",
    r"\q": "end",
}
OWN_FUNCTIONS: Final = ("time_bucket", "contains_text", "ip_in", "json_text", "json_number")
_FUNCTIONS: Final = """
    abs approx_distinct approx_median approx_percentile_cont array_agg array_has array_length avg btrim ceil coalesce
    concat concat_ws corr count date_bin date_part date_trunc dense_rank ends_with extract first_value floor greatest
    lag last_value lead least left length lower ltrim max median min now nullif percent_rank random rank regexp_count
    regexp_like regexp_replace replace right round row_number rpad rtrim split_part starts_with stddev string_agg
    strpos substr sum to_timestamp trim unnest upper var
"""
_WORDS: Final = """
    SELECT DISTINCT FROM WHERE GROUP BY HAVING ORDER LIMIT OFFSET AS AND OR NOT IN IS NULL LIKE ILIKE BETWEEN CASE WHEN
    THEN ELSE END JOIN LEFT RIGHT FULL INNER CROSS ON USING UNION ALL WITH OVER PARTITION FILTER ASC DESC CAST INTERVAL
    TIMESTAMP TRUE FALSE EXISTS VALUES
"""
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*$")
_TABLE_NEXT: Final = re.compile(r"\b(from|join)\s+$", re.IGNORECASE)
_NAMES: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST: Final = 100


class Completing(Completer):
    """Proposes names in whatever case they were begun. Who can't be asked what there is, has no names proposed."""

    def __init__(self, whom: Asking) -> None:
        self._whom = whom

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Yield what the word before the cursor may become."""
        before = document.text_before_cursor
        if before.startswith("\\"):
            yield from self._of_command(before)
            return
        match = _WORD.search(before)
        word = match[0] if match else ""
        if not word and not (complete_event.completion_requested or _TABLE_NEXT.search(before)):
            return
        yield from _begun(word, self._known(document.text, before[: len(before) - len(word)]))

    def _of_command(self, before: str) -> Iterator[Completion]:
        name, space, argument = before.partition(" ")
        if not space:
            yield from _begun(name, ((each.split()[0], "") for each in COMMANDS))
        elif name == r"\d":
            yield from _begun(argument, ((table, "table") for table in self._tables()))

    def _known(self, text: str, before: str) -> Iterator[tuple[str, str]]:
        """Yield name and kind: tables alone behind FROM; else the fields of the tables that are named, or of all."""
        tables = self._tables()
        if _TABLE_NEXT.search(before):
            yield from ((name, "table") for name in tables)
            return
        named = [name for name in dict.fromkeys(_NAMES.findall(text)) if name in tables] or list(tables)
        for name in named:
            yield from ((field, name) for field in tables[name])
        yield from ((name, "table") for name in tables)
        yield from ((name, "Logflume's function") for name in OWN_FUNCTIONS)
        yield from ((name, "function") for name in _FUNCTIONS.split())
        yield from ((name, "") for name in _WORDS.split())

    def _tables(self) -> dict[str, list[str]]:
        """By table its columns."""
        own = [field.name for field in OWN] + [DATE]
        try:
            return {name: [*each.schema.names, *own] for name, each in self._whom.datasets().items()}
        except LogflumeError:
            return {}


def _begun(word: str, known: Iterable[tuple[str, str]]) -> Iterator[Completion]:
    """Yield those of ``known`` that begin with ``word``, each once."""
    seen: set[str] = set()
    for name, kind in known:
        if name.lower().startswith(word.lower()) and name not in seen and len(seen) < _MOST:
            seen.add(name)
            yield Completion(name, start_position=-len(word), display_meta=kind)
