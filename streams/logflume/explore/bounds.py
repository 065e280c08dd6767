"""What a query's WHERE says of the columns whose bounds a table's log holds, and of its id: other files can stay away.

Only what is certain counts. A table that stands twice in a query has no bounds; a condition counts when it is one of
those that a SELECT's WHERE joins by AND, compares a column of the table with a literal, and the column is the table's
beyond doubt. Such a condition is never true of null, so it holds through outer joins as well. The engine skips more by
itself, row groups and pages too, but has to open the files for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlglot import exp

Value = datetime | date | int
Bounds = Mapping[str, tuple[Value | None, Value | None]]
"""By column the least and the greatest value that a row can have, where there is one."""

_LOWER: Final = (exp.GT, exp.GTE)
_UPPER: Final = (exp.LT, exp.LTE)
_DATE: Final = "date"
_CASTS: Final = {
    exp.DataType.Type.DATE: _DATE,
    exp.DataType.Type.TIMESTAMP: "time",
    exp.DataType.Type.TIMESTAMPTZ: "time",
}
_MOST: Final = (1 << 63) - 1
_MIRRORED: Final = {exp.GT: exp.LT, exp.GTE: exp.LTE, exp.LT: exp.GT, exp.LTE: exp.GTE, exp.EQ: exp.EQ}


@dataclass(frozen=True, slots=True)
class Kinds:
    """A table's columns that have bounds: its times, its dates, its whole numbers."""

    times: Collection[str]
    dates: Collection[str]
    numbers: Collection[str]

    def value(self, column: str, literal: exp.Expr) -> Value | None:
        """Return a literal as a value of ``column``; None when it is no plain one."""
        cast = ""
        if isinstance(literal, exp.Cast):
            cast = _CASTS.get(literal.to.this, "") if not literal.to.expressions else ""
            if not cast:
                return None  # one that rounds, or reads a number as a time
            literal = literal.this
        if not isinstance(literal, exp.Literal):
            return None
        text = literal.this
        try:
            if not literal.is_string:
                number = int(text) if column in self.numbers and not cast else None
                return number if number is None or abs(number) <= _MOST else None
            if column in self.times:
                at = datetime.fromisoformat(text if cast != _DATE else date.fromisoformat(text).isoformat())
                return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
            return date.fromisoformat(text) if column in self.dates else None
        except (ValueError, OverflowError):
            return None


def of(table: exp.Table, kinds: Kinds) -> Bounds:
    """Return what the SELECT around ``table``, its only use, says of it."""
    found: dict[str, tuple[Value | None, Value | None]] = {}
    for condition, alone in _conditions(table):
        for column, low, high in _limits(condition, table.alias_or_name, alone, kinds):
            had_low, had_high = found.get(column, (None, None))
            found[column] = (_tighter(had_low, low, max), _tighter(had_high, high, min))
    return found


def texts(table: exp.Table, column: str) -> frozenset[str] | None:
    """Return the texts of which ``column`` has one in every row that the SELECT around ``table`` is about, its only
    use: by ``= 'x'`` and ``IN ('x', 'y')``. None when it does not say.
    """
    found: frozenset[str] | None = None
    for condition, alone in _conditions(table):
        values = _values(condition, table.alias_or_name, alone, column)
        if values is not None:
            found = values if found is None else found & values
    return found


def _conditions(table: exp.Table) -> Iterator[tuple[exp.Expr, bool]]:
    """Yield what the WHERE around a table joins by AND, and whether the table is the only source there."""
    select = table.find_ancestor(exp.Select)
    where = select.args.get("where") if select is not None else None
    if select is None or where is None or not _direct(table, select):
        return
    alone = not select.args.get("joins") and not select.args.get("laterals")
    for condition in _conjuncts(where.this):
        yield condition, alone


def _values(condition: exp.Expr, name: str, alone: bool, column: str) -> frozenset[str] | None:
    """The texts to which a condition holds the column; None when it is another one."""
    if isinstance(condition, exp.EQ):
        sides = [condition.this, condition.expression]
        literals = [side for side in sides if not _is_column(side, name, alone, {column})]
        if len(literals) != 1:
            return None
    elif isinstance(condition, exp.In) and _is_column(condition.this, name, alone, {column}):
        literals = condition.expressions  # none for a subquery
    else:
        return None
    if not literals or not all(isinstance(each, exp.Literal) and each.is_string for each in literals):
        return None
    return frozenset(each.this for each in literals)


def _direct(table: exp.Table, select: exp.Select) -> bool:
    """Whether the table is a source of this SELECT itself, its columns under their own names."""
    alias = table.args.get("alias")
    if alias is not None and alias.columns:
        return False
    parent = table.parent
    return isinstance(parent, exp.From | exp.Join) and parent.parent is select


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    left = [condition]
    while left:
        each = left.pop()
        if isinstance(each, exp.Paren):
            left.append(each.this)
        elif isinstance(each, exp.And):
            left += [each.right, each.left]
        else:
            yield each


def _limits(
    condition: exp.Expr, name: str, alone: bool, kinds: Kinds
) -> Iterator[tuple[str, Value | None, Value | None]]:
    if isinstance(condition, exp.Between) and not condition.args.get("symmetric"):
        column = _column(condition.this, name, alone, kinds)
        if column:
            yield column, kinds.value(column, condition.args["low"]), kinds.value(column, condition.args["high"])
        return
    kind: Any = type(condition)
    if kind not in _MIRRORED:
        return
    for side, other, compare in (
        (condition.this, condition.expression, kind),
        (condition.expression, condition.this, _MIRRORED[kind]),
    ):
        column = _column(side, name, alone, kinds)
        value = kinds.value(column, other) if column else None
        if column and value is not None:
            yield column, None if compare in _UPPER else value, None if compare in _LOWER else value


def _column(node: exp.Expr, name: str, alone: bool, kinds: Kinds) -> str:
    """The column of the table that ``node`` is, or empty."""
    return node.name if _is_column(node, name, alone, {*kinds.times, *kinds.dates, *kinds.numbers}) else ""


def _is_column(node: exp.Expr, name: str, alone: bool, columns: Collection[str]) -> bool:
    """Whether ``node`` is one of these columns, beyond doubt of the table of this name."""
    if not isinstance(node, exp.Column) or node.args.get("db") is not None:
        return False
    return (node.table == name or (alone and not node.table)) and node.name in columns


def _tighter(one: Value | None, other: Value | None, pick: Any) -> Value | None:
    if one is None or other is None:
        return one if other is None else other
    found: Value = pick(one, other)
    return found
