"""``time_bucket`` and ``contains_text`` in a checked query become DataFusion's own expressions.

Written in the text, token by token, so that everything else stays as the user wrote it, and the engine's messages speak
of it. A name inside a literal, a quoted name or a comment is none of a function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import pyarrow as pa
import sqlglot
from sqlglot import Token, TokenType, exp

from logflume.errors import Refused
from logflume.explore.check import DIALECT, Checked
from logflume.explore.filters import quoted
from logflume.model.dataset import Dataset

_EXTRA: Final = "_extra"
_ONE_ARGUMENT: Final = 1
_TWO_ARGUMENTS: Final = 3  # tokens: with the comma


def rewrite(checked: Checked, datasets: Mapping[str, Dataset]) -> str:
    """Return the query's text with both functions written out; ``Refused`` when they are used otherwise."""
    tokens = sqlglot.tokenize(checked.sql, dialect=DIALECT)
    pieces, done = [], 0
    for start, end, text in _changes(tokens, checked, datasets):
        pieces += [checked.sql[done:start], text]
        done = end
    return "".join([*pieces, checked.sql[done:]])


def _changes(
    tokens: Sequence[Token], checked: Checked, datasets: Mapping[str, Dataset]
) -> Iterator[tuple[int, int, str]]:
    """Yield (start, end, text) of what is replaced, in order."""
    for at, token in enumerate(tokens[:-1]):
        if token.token_type is not TokenType.VAR or tokens[at + 1].token_type is not TokenType.L_PAREN:
            continue
        name = token.text.lower()
        if name == "time_bucket":
            width = tokens[at + 2] if at + 2 < len(tokens) else None
            if width is None or width.token_type is not TokenType.STRING:
                raise Refused(f"time_bucket{_at(token)} takes a width such as '5 minutes', and a time")
            yield token.start, token.end + 1, "date_bin"
            yield width.start, width.start, "INTERVAL "
        elif name == "contains_text":
            inside = _arguments(tokens, at + 2, token)
            closing = tokens[at + 2 + len(inside)]
            yield token.start, closing.end + 1, _contains(inside, token, checked, datasets)


def _arguments(tokens: Sequence[Token], at: int, token: Token) -> list[Token]:
    inside = []
    for each in tokens[at : at + _TWO_ARGUMENTS + 1]:
        if each.token_type is TokenType.R_PAREN:
            break
        inside.append(each)
    one = len(inside) == _ONE_ARGUMENT
    two = len(inside) == _TWO_ARGUMENTS and inside[1].token_type is TokenType.COMMA
    if not (one or two) or inside[-1].token_type is not TokenType.STRING:
        raise Refused(f"contains_text{_at(token)} takes a text, or a table's name and a text")
    return inside


def _contains(inside: Sequence[Token], token: Token, checked: Checked, datasets: Mapping[str, Dataset]) -> str:
    if len(inside) == _ONE_ARGUMENT:
        if len(checked.tables) != 1:
            names = ", ".join(sorted(checked.tables)) or "no table"
            raise Refused(f"contains_text{_at(token)} must say whose text, as here are {names}: contains_text(name, …)")
        dataset, prefix = datasets[next(iter(checked.tables))], ""
    else:
        alias = inside[0].text
        if not checked.aliases.get(alias):
            several = "several tables are" if alias in checked.aliases else "no table is"
            raise Refused(f"contains_text{_at(token)}: {several} called {alias!r} here")
        dataset, prefix = (
            datasets[checked.aliases[alias]],
            exp.to_identifier(alias, quoted=True).sql(dialect=DIALECT) + ".",
        )
    word = inside[-1].text
    for special in ("\\", "%", "_"):
        word = word.replace(special, f"\\{special}")
    literal = quoted(f"%{word}%")
    fields = [field.name for field in dataset.schema if pa.types.is_string(field.type)]
    return "(" + " OR ".join(f'coalesce({prefix}"{name}" ILIKE {literal}, false)' for name in [*fields, _EXTRA]) + ")"


def _at(token: Token) -> str:
    return f" at line {token.line}, column {token.col - len(token.text) + 1}"
