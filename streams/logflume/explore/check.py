"""Which SQL may run: exactly one SELECT that names no table but the tenant's own. Told with line and column.

The engine must never see what could read or write anything else, so what is not understood here is refused. It is the
first of two guards: ``query`` has DataFusion itself plan the text with all but plain queries switched off.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.errors import ParseError, TokenError

from logflume.errors import Refused

MOST_CHARACTERS = 100_000
DIALECT = "postgres"  # the nearest to DataFusion's
_SOURCES = (exp.Table, exp.Subquery, exp.Unnest, exp.Values)
_VALUES = (exp.Column, exp.Identifier, exp.Bracket, exp.Array, exp.Literal, exp.Null, exp.Neg)

_POSTGRES = sqlglot.Dialect.get_or_raise(DIALECT)
_STEPS = 50
"""Most steps of the parser per token, on average; usual queries take one or two."""

# It warns on stderr of what it parses as a mere command; we refuse that with a message of our own.
logging.getLogger("sqlglot").setLevel(logging.ERROR)


class _Parser(_POSTGRES.parser_class):  # type: ignore[name-defined, misc]
    """sqlglot's, which tries some texts in twice as many ways for each bracket (``ARRAY[ARRAY[…``): not for ever.

    ``_advance`` is private to sqlglot; checked against 30.30 (tests/unit/test_sql_check.py).
    """

    _steps = 0

    def _advance(self, times: int = 1) -> None:
        self._steps += 1
        if self._steps > _STEPS * self._tokens_size + 1_000:
            raise Refused("the query is nested too deeply")
        super()._advance(times)


@dataclass(frozen=True, slots=True)
class Checked:
    """A query that may run. ``tables``: those it names; ``limited``: it has a LIMIT of its own, outermost.

    ``places``: of each table that stands once in it, where. ``aliases``: tables by what the query calls them; empty
    for a name of several. ``conditioned``: columns, by their names alone, that stand in any condition on rows.
    ``gathers``: its rows are made of many, as counts are, so that all must be read before the first comes.
    """

    sql: str
    tables: frozenset[str]
    limited: bool
    places: Mapping[str, exp.Table] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    conditioned: frozenset[str] = frozenset()
    gathers: bool = False


def check(sql: str, tables: Collection[str]) -> Checked:
    """Return ``sql`` without its closing semicolon, and what it names; raise ``Refused`` when it must not run."""
    query = _parse(sql)
    for node in query.walk():
        if isinstance(node, exp.DML | exp.DDL | exp.Command | exp.Into | exp.Lock) and not isinstance(node, exp.Query):
            raise Refused(f"only SELECT may run here, no {node.key.upper()}{_place(node)}")
        _refuse_function(node)
    places: dict[str, list[exp.Table]] = {}
    aliases: dict[str, str] = {}
    given = _Given()
    for table in query.find_all(exp.Table):
        name = _name(table)
        if _is_cte(table, name, given):
            continue
        if name not in tables:
            near = get_close_matches(name.lower(), tables, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(tables))}"
            raise Refused(f"there is no table {name!r}{_place(table)}; {hint}")
        places.setdefault(name, []).append(table)
        calls = aliases.setdefault(table.alias_or_name, name)
        if calls != name:
            aliases[table.alias_or_name] = ""
    limited = query.args.get("limit") is not None or query.args.get("fetch") is not None
    once = {name: at[0] for name, at in places.items() if len(at) == 1}
    gathers = query.find(exp.AggFunc, exp.Group, exp.Distinct) is not None
    return Checked(_without_semicolon(sql), frozenset(places), limited, once, aliases, _conditioned(query), gathers)


def _conditioned(query: exp.Query) -> frozenset[str]:
    conditions = [*query.find_all(exp.Where, exp.Having, exp.Qualify, exp.Filter)]
    conditions += [on for join in query.find_all(exp.Join) if (on := join.args.get("on")) is not None]
    return frozenset(column.name for each in conditions for column in each.find_all(exp.Column))


def _without_semicolon(sql: str) -> str:
    """The one statement alone; a comment may follow its semicolon, so the text's end tells nothing."""
    ends = [t.start for t in sqlglot.tokenize(sql, dialect=DIALECT) if t.token_type is TokenType.SEMICOLON]
    return sql[: ends[0]] if ends else sql


def _parse(sql: str) -> exp.Query:
    if len(sql) > MOST_CHARACTERS:
        raise Refused(f"the query has {len(sql)} characters; {MOST_CHARACTERS} may be")
    try:
        parsed = _Parser(dialect=_POSTGRES).parse(_POSTGRES.tokenize(sql), sql)
    except ParseError as error:
        first = error.errors[0]
        raise Refused(
            f"not understood at line {first['line']}, column {_column(first)}: {first['description']}: "
            f"{first['start_context'][-40:]}»{first['highlight']}«{first['end_context'][:40]}"
        ) from None
    except TokenError as error:
        raise Refused(f"not understood: {error}") from None
    except RecursionError:
        raise Refused("the query is nested too deeply") from None
    statements = [s for s in parsed if s is not None and not isinstance(s, exp.Semicolon)]  # that: a comment alone
    if len(statements) != 1:
        raise Refused(f"exactly one SELECT may run, these are {len(statements)} statements")
    query = statements[0]
    if not isinstance(query, exp.Query):
        raise Refused(f"only SELECT may run here, no {sql.split(maxsplit=1)[0].upper()}, at line 1, column 1")
    return query


def _refuse_function(node: exp.Expr) -> None:
    """What stands after FROM, JOIN or LATERAL is a table, a subquery, VALUES or an UNNEST of values at hand.

    A list of what may stand there, not of what may not: dialects have many spellings of a function that gives rows.
    """
    if isinstance(node, exp.From | exp.Join | exp.Lateral):
        inner = node.this
        may = (exp.Subquery, exp.Unnest) if isinstance(node, exp.Lateral) else (*_SOURCES, exp.Lateral)
        if not isinstance(inner, may):
            raise Refused(f"only tables may stand after FROM, no functions{_place(node)}")
    elif isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
        raise Refused(f"only tables may stand after FROM, no functions{_place(node)}")
    elif isinstance(node, exp.Unnest):
        for part in (part for value in node.expressions for part in value.walk()):
            if not isinstance(part, _VALUES):
                raise Refused(f"UNNEST after FROM takes columns and array literals{_place(node)}")


class _Given:
    """The names that each WITH gives, and the place of each: looked up once, as a query may have thousands of both."""

    def __init__(self) -> None:
        self._by: dict[int, dict[str, int]] = {}

    def by(self, with_: exp.With) -> Mapping[str, int]:
        """Return where in it each name stands first."""
        if id(with_) not in self._by:
            ctes = reversed(list(enumerate(with_.expressions)))
            self._by[id(with_)] = {cte.alias: at for at, cte in ctes}
        return self._by[id(with_)]


def _is_cte(table: exp.Table, name: str, given: _Given) -> bool:
    """Whether a WITH around ``table`` gives it this name: one of its own query or of those that it stands in.

    A CTE is seen by those after it, and by itself only in WITH RECURSIVE: ``WITH events AS (SELECT … FROM events)``
    reads the table of that name.
    """
    if table.args.get("db") is not None:
        return False
    below: exp.Expr = table
    above = table.parent
    while above is not None:
        if isinstance(above, exp.With):
            at, own = given.by(above).get(name), below.index or 0
            if at is not None and (at < own or (above.recursive and at == own)):
                return True
            below, above = above, above.parent  # the query of this WITH: its names were just looked at
        elif (with_ := above.args.get("with_")) is not None and name in given.by(with_):
            return True
        if above is not None:
            below, above = above, above.parent
    return False


def _name(table: exp.Table) -> str:
    """The plain name of a table; a file's or another schema's is none of the tenant's."""
    if table.args.get("db") is not None or table.args.get("catalog") is not None:
        raise Refused(f"a table is named by its dataset alone, not {table.sql(dialect=DIALECT)!r}{_place(table)}")
    return table.name


def _place(node: Any) -> str:
    """`` at line L, column C`` of the first of a node's parts that knows where it stood, or nothing."""
    for part in node.walk():
        if "line" in part.meta:
            width = part.meta["end"] - part.meta["start"]
            return f" at line {part.meta['line']}, column {part.meta['col'] - width}"
    return ""


def _column(error: dict[str, object]) -> int:
    """sqlglot gives the column of a token's last character."""
    return int(str(error["col"])) - max(len(str(error["highlight"])) - 1, 0)
