"""Names of fields in whatever case, as the published API takes them: ``clientip`` is ``ClientIP``.

Written in the text, name by name, so that everything else stays as the user wrote it. A quoted name is as it stands,
and so is one that the query itself gives to something.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import sqlglot
from sqlglot import exp

from logflume.explore.check import DIALECT, check
from logflume.model.dataset import Dataset
from logflume.table.schema import DATE, file_schema

_DATE: Final = "date"
"""What the published tables call the date under which a row is filed."""


def spelt(sql: str, datasets: Mapping[str, Dataset]) -> str:
    """Return a query with its fields' names as the datasets have them. Raises ``Refused`` for what must not run.

    A column of the answer that is nothing but a field keeps the name that the query wrote.
    """
    checked = check(sql, datasets)
    known: dict[str, set[str]] = {}
    for table in checked.tables:
        for name in [*file_schema(datasets[table]).names, DATE]:
            known.setdefault(name.lower(), set()).add(name)
    known.setdefault(_DATE, {DATE})
    query = sqlglot.parse_one(checked.sql, dialect=DIALECT)
    given = {alias.alias for alias in query.find_all(exp.Alias)}
    given |= {column.name for alias in query.find_all(exp.TableAlias) for column in alias.columns}
    changes = []
    for written in _names(query):
        names = known.get(written.name.lower(), set())
        if len(names) != 1 or written.quoted or written.name in names or written.name in given:
            continue
        shown = f' AS "{written.name}"' if _told(written.parent) else ""
        changes.append((written.meta["start"], written.meta["end"] + 1, f'"{next(iter(names))}"{shown}'))
    pieces, done = [], 0
    for start, end, text in sorted(changes):
        pieces += [checked.sql[done:start], text]
        done = end
    return "".join([*pieces, checked.sql[done:]])


def _names(query: exp.Expr) -> Iterator[exp.Identifier]:
    """The names that stand for columns."""
    for column in query.find_all(exp.Column):
        if isinstance(column.this, exp.Identifier):
            yield column.this
    for join in query.find_all(exp.Join):
        yield from join.args.get("using") or []


def _told(column: exp.Expr | None) -> bool:
    """Whether this is a column of the answer, as it is."""
    select = column.parent if isinstance(column, exp.Column) and column.arg_key == "expressions" else None
    if not isinstance(select, exp.Select):
        return False
    above = select.parent
    while isinstance(above, exp.SetOperation):
        above = above.parent
    return above is None
