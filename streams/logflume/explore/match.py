"""Filters as data (see ``filters``) and free text, asked of columns at hand instead of a table: for rows as they come.

They mean what the SQL means that ``filters`` and ``contains_text`` make of them; no text of a user's becomes code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from logflume.explore import filters
from logflume.model.dataset import Dataset
from logflume.table.schema import TIMESTAMP, file_schema

Mask = npt.NDArray[np.bool_]

_EXTRA: Final = "_extra"
_COMPARED: Final[Mapping[str, Callable[..., Any]]] = {
    "eq": pc.equal,
    "lt": pc.less,
    "leq": pc.less_equal,
    "gt": pc.greater,
    "geq": pc.greater_equal,
    "startsWith": pc.starts_with,
    "endsWith": pc.ends_with,
}


class Match:
    """Whether rows match a filter and have a text in them; both may be empty."""

    def __init__(self, where: Any, text: str, dataset: Dataset) -> None:
        """``where``: as ``filters.condition`` has it. Raises ``Refused``, naming the place."""
        filters.condition({"where": where} if where else None, dataset)
        self._where = where
        self._text = text
        self._types = {field.name: field.type for field in file_schema(dataset)}
        self.conditions = _count(where) + bool(text) if where else 1
        """How many are asked of each row; 1 at least."""
        self._texts = [*(field.name for field in dataset.schema if pa.types.is_string(field.type)), _EXTRA]

    def __call__(self, rows: pa.Table) -> Mask | None:
        """Return which rows match; None: all do. ``rows``: as a data file has them (``parquet.at_rest``)."""
        masks = []
        if self._where:
            masks.append(self._group(self._where, rows))
        if self._text:
            masks.append(self._contains(rows))
        return reduce(np.logical_and, masks) if masks else None

    def _group(self, found: Mapping[str, Any], rows: pa.Table) -> Mask:
        for word, join in (("and", np.logical_and), ("or", np.logical_or)):
            if word in found:
                mask: Mask = reduce(join, (self._group(each, rows) for each in found[word]))
                return mask
        operator = found["operator"]
        bare = operator.removeprefix("!")
        matches = self._positive(found["key"], bare, found.get("value"), rows)
        # A field that a row lacks equals nothing, so that the negation matches it.
        return matches if bare == operator else ~matches

    def _positive(self, key: str, operator: str, value: Any, rows: pa.Table) -> Mask:
        if operator == filters.IS_NULL:
            return _lacks(rows, key)
        if key not in rows.schema.names:
            return np.zeros(rows.num_rows, dtype=bool)
        column, type = rows.column(key), self._types[key]
        if pa.types.is_list(type):
            return _has(column, value)
        if operator == "in":
            return _mask(pc.is_in(column, value_set=pa.array(value, type)))
        if operator == "contains":
            return _mask(pc.match_substring(column, value))
        if operator in ("startsWith", "endsWith"):
            return _mask(_COMPARED[operator](column, value))
        return _mask(_COMPARED[operator](column, _scalar(value, type)))

    def _contains(self, rows: pa.Table) -> Mask:
        found = np.zeros(rows.num_rows, dtype=bool)
        for name in self._texts:
            if name in rows.schema.names:
                found |= _mask(pc.match_substring(rows.column(name), self._text, ignore_case=True))
        return found


def _count(where: Mapping[str, Any]) -> int:
    below = where.get("and", where.get("or"))
    return 1 if below is None else sum(map(_count, below))


def _scalar(value: Any, type: pa.DataType) -> pa.Scalar:
    if type == TIMESTAMP:
        return pa.scalar(filters.instant(value, "value"), TIMESTAMP)
    return pa.scalar(float(value) if pa.types.is_floating(type) else value, type)


def _has(column: pa.ChunkedArray, value: Any) -> Mask:
    """Whether each list has the value in it."""
    found = np.zeros(len(column), dtype=bool)
    column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    equal = _mask(pc.equal(pc.list_flatten(column), pa.scalar(value, column.type.value_type)))
    found[np.asarray(pc.list_parent_indices(column))[equal]] = True
    return found


def _lacks(rows: pa.Table, key: str) -> Mask:
    """Whether each row has no value in a field."""
    if key not in rows.schema.names:
        return np.ones(rows.num_rows, dtype=bool)
    return np.asarray(rows.column(key).is_null()).astype(bool)


def _mask(found: Any) -> Mask:
    return np.asarray(pc.fill_null(found, False)).astype(bool)
