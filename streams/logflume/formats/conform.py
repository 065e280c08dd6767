"""JSON objects to the columns of a dataset: a value that fits stands in its column, every other in ``_extra``.

The slow, exact way: one Python object a record, but the columns are still filled a column at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa

from logflume.block import extra
from logflume.block.schema import EXTRA
from logflume.formats import instants
from logflume.model import Dataset, FieldType, arrow_type

_MISFIT: Final = object()
_SCALARS: Final = {FieldType.STRING: str, FieldType.INT: int, FieldType.FLOAT: float, FieldType.BOOL: bool}
_LISTS: Final = {FieldType.STRINGS: str, FieldType.INTS: int}
_INT64: Final = range(-(2**63), 2**63)
_EXACT_FLOAT: Final = 2**53


def schema(ds: Dataset) -> pa.Schema:
    """Return the columns of parsed records: the dataset's fields and ``_extra``."""
    return pa.schema([*ds.schema, EXTRA])


def conform(records: Sequence[dict[str, Any]], ds: Dataset) -> pa.RecordBatch:
    """Return ``records`` (JSON values; they are emptied) as a batch of ``schema(ds)``."""
    present: set[str] = set().union(*records)
    columns = [
        _column(field.name, field.type, records)
        if field.name in present
        else pa.nulls(len(records), arrow_type(field.type))
        for field in ds.fields
    ]
    extras = pa.array([extra.dumps(left) if left else None for left in records], pa.string())
    return pa.RecordBatch.from_arrays([*columns, extras], schema=schema(ds))


def _column(name: str, kind: FieldType, records: Sequence[dict[str, Any]]) -> pa.Array:
    """Take the field out of ``records`` as a column; values that do not fit stay where they are."""
    values = [record.pop(name, None) for record in records]
    if kind is FieldType.TIMESTAMP:
        column, misfits = instants.from_values(values)
        for i in misfits:
            records[i][name] = values[i]
        return column
    try:
        column = _at_once(kind, values)
    except (OverflowError, UnicodeEncodeError, pa.ArrowInvalid):
        column = None  # an integer past 64 bits, a lone surrogate
    if column is not None:
        return column
    fitted = [None if value is None else _fit(kind, value) for value in values]
    for i, value in enumerate(fitted):
        if value is _MISFIT:
            records[i][name] = values[i]
            fitted[i] = None
    return pa.array(fitted, arrow_type(kind))


def _at_once(kind: FieldType, values: list[Any]) -> pa.Array | None:
    """Return the column when every value is of the one Python type that surely fits, else None."""
    kinds = set(map(type, values))
    if kind in _SCALARS:
        return pa.array(values, arrow_type(kind)) if kinds <= {_SCALARS[kind], type(None)} else None
    if kind in _LISTS and kinds <= {list, type(None)}:
        items = set(map(type, chain.from_iterable(filter(None, values))))
        return pa.array(values, arrow_type(kind)) if items <= {_LISTS[kind], type(None)} else None
    if kind is FieldType.MAP and kinds <= {dict, type(None)}:
        return _map(values)
    return None


def _map(values: list[dict[str, Any] | None]) -> pa.MapArray | None:
    objects = [value or {} for value in values]
    items = list(chain.from_iterable(map(dict.values, objects)))
    if not set(map(type, items)) <= {str, type(None)}:
        return None
    keys = list(chain.from_iterable(objects))
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(list(map(len, objects)), out=offsets[1:])
    absent = np.array([value is None for value in values] + [False])  # a null offset makes a null row
    return pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32(), mask=absent), pa.array(keys, pa.string()), pa.array(items, pa.string())
    )


def _fit(kind: FieldType, value: Any) -> Any:
    """Return ``value`` as its column takes it, or ``_MISFIT`` when it would come back as another JSON value."""
    match kind:
        case FieldType.STRING:
            return value if _is_text(value) else _MISFIT
        case FieldType.INT:
            return _fit_int(value)
        case FieldType.FLOAT:
            return _fit_float(value)
        case FieldType.BOOL:
            return value if type(value) is bool else _MISFIT
        case FieldType.STRINGS:
            fits = type(value) is list and all(item is None or _is_text(item) for item in value)
            return value if fits else _MISFIT
        case FieldType.INTS:
            fits = type(value) is list and all(item is None or (type(item) is int and item in _INT64) for item in value)
            return value if fits else _MISFIT
        case FieldType.MAP:
            fits = type(value) is dict and all(
                _is_text(key) and (item is None or _is_text(item)) for key, item in value.items()
            )
            return list(value.items()) if fits else _MISFIT
    raise ValueError(f"no such field type: {kind}")


def _fit_int(value: Any) -> Any:
    if type(value) is int:
        return value if value in _INT64 else _MISFIT
    if type(value) is not float or not value.is_integer() or abs(value) >= _EXACT_FLOAT:
        return _MISFIT
    return int(value) if value or math.copysign(1, value) > 0 else _MISFIT  # -0.0 has a sign to lose


def _fit_float(value: Any) -> Any:
    if type(value) is float:
        return value
    return float(value) if type(value) is int and abs(value) <= _EXACT_FLOAT else _MISFIT


def _is_text(value: Any) -> bool:
    if type(value) is not str:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:  # lone surrogates: JSON, but not UTF-8
        return False
    return True
