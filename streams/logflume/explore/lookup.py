"""Queries that are nothing but a lookup: ``SELECT * FROM t WHERE id = 'x'``, or some of its columns.

Whose rows were picked, such a query needs no engine, and no process. Only what means the same beyond doubt counts;
every other query is the engine's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
from sqlglot import exp

from logflume.explore.check import Checked
from logflume.explore.picking import Rows
from logflume.table.schema import DATE

_MAY: Final = {"expressions", "from_", "where", "limit", "order"}
"""Clauses of a SELECT; there may be no other."""


def answer(checked: Checked, picked: Mapping[str, Rows]) -> pa.Table | None:
    """Return the answer of a lookup of rows that were picked by its ids; None when the engine has to give it."""
    [name] = checked.tables if len(checked.tables) == 1 else [""]
    rows, table = picked.get(name), checked.places.get(name)
    select = table.parent_select if table is not None else None
    if rows is None or table is None or select is None or not _plain(select, table):
        return None
    limit = _limit(select)
    if limit is None or rows.count > limit or (rows.count > 1 and select.args.get("order") is not None):
        return None
    columns = _columns(select, name, rows.schema.names)
    try:
        return None if columns is None else rows.seen(columns)
    except pa.ArrowException:  # a file of somebody else's has a value that the column's type does not
        return None


def _plain(select: exp.Select, table: exp.Table) -> bool:
    """Whether it is one SELECT from the table under its own name, whose condition is one comparison of the id."""
    where = select.args.get("where")
    return (
        select.parent is None
        and {name for name, value in select.args.items() if value} <= _MAY
        and {name for name, value in table.args.items() if value} == {"this"}
        and where is not None
        and isinstance(where.this, exp.EQ)  # with a text: else nothing would have been picked
    )


def _limit(select: exp.Select) -> int | None:
    """Rows that the query wants at most; None when that is not for us to say."""
    limit = select.args.get("limit")
    if limit is None:
        return 1 << 63
    count = limit.expression if isinstance(limit, exp.Limit) else None
    if not isinstance(count, exp.Literal) or count.is_string or not count.this.isascii() or not count.this.isdigit():
        return None
    return int(count.this)


def _columns(select: exp.Select, name: str, names: Sequence[str]) -> list[str] | None:
    """The columns that the query wants; None when it wants more than columns, or one that there is not."""
    all = [*(column for column in names if column != DATE), DATE]  # in the engine's order
    asked = list(select.expressions)
    order = select.args.get("order")
    for each in order.expressions if order is not None else []:
        if not isinstance(each, exp.Ordered) or _column(each.this, name) not in all:
            return None
    if len(asked) == 1 and type(asked[0]) is exp.Star and not any(asked[0].args.values()):
        return all
    columns = [_column(each, name) for each in asked]
    return [str(column) for column in columns] if set(columns) <= set(all) and len({*columns}) == len(columns) else None


def _column(node: exp.Expr, name: str) -> str | None:
    """The column of the table that ``node`` is; None when it is anything else."""
    if not isinstance(node, exp.Column) or not isinstance(node.this, exp.Identifier):
        return None
    return str(node.name) if node.args.get("db") is None and node.table in ("", name) else None
