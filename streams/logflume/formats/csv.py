"""CSV to JSON records: a header names the fields, and the dataset says which texts are numbers.

Every value in CSV is text. In a column of the dataset a text that spells a number, a truth value, an object or an array
of the field's type becomes one; any other text stays text, and is kept as such (``_extra``, when it does not fit). An
empty value is an absent field. Bytes that are no UTF-8 survive escaped.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final

from logflume.errors import Misconfigured, Poison
from logflume.model import Dataset, FieldType

_Literal = Callable[[str], str]

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MOST_CHARACTERS: Final = min(sys.maxsize, 2**31 - 1)
"""Of one value: C's ``long``, where the csv module would stop at 128 kB."""


def records(file: BinaryIO, ds: Dataset, delimiter: str = ",") -> Iterator[bytes]:
    """Yield each row after the header as a line of JSON.

    A row with more or fewer values than the header becomes an array, which is no record: whoever reads the lines
    refuses it with all its values. Raises ``Misconfigured`` for a header that can't name fields, ``Poison`` when the
    text ends inside quotes.
    """
    csv.field_size_limit(_MOST_CHARACTERS)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        header = next(rows, None)
        if header is None:
            return
        columns = _columns(header, ds)
        for row in rows:
            if row:
                yield _line(row, columns)
    except (csv.Error, OSError, EOFError, zlib.error) as failure:
        raise Poison("torn-file", f"the CSV can't be read past line {rows.line_num}: {failure}") from failure
    finally:
        text.detach()  # the file is the caller's to close


def _columns(header: list[str], ds: Dataset) -> list[tuple[str, _Literal]]:
    """The JSON text of each name, with its colon, and how its values are spelled."""
    for at, name in enumerate(header, start=1):
        if not name:
            raise Misconfigured(f"column {at} of the CSV header has no name: {', '.join(header)[:200]}")
        if header.index(name) != at - 1:
            raise Misconfigured(f"two columns of the CSV header are named {name!r}")
    kinds = {field.name: field.type for field in ds.fields}
    return [(f"{json.dumps(name)}:", _LITERALS.get(kinds.get(name, FieldType.STRING), json.dumps)) for name in header]


def _line(row: list[str], columns: list[tuple[str, _Literal]]) -> bytes:
    if len(row) != len(columns):
        return json.dumps(row).encode() + b"\n"
    members = [f"{name}{literal(value)}" for (name, literal), value in zip(columns, row, strict=True) if value]
    return f"{{{','.join(members)}}}\n".encode()


def _number(pattern: re.Pattern[str]) -> _Literal:
    """A number that a double or an integer can hold; 1e999 stays text."""
    return lambda value: value if pattern.fullmatch(value) and math.isfinite(float(value)) else json.dumps(value)


def _truth(value: str) -> str:
    return value.lower() if value.lower() in ("true", "false") else json.dumps(value)


def _nested(value: str) -> str:
    """An object or array as it stands, if it is JSON; Python's parser would let NaN pass, ``refuse`` does not."""
    if value[0] in "{[":
        try:
            return json.dumps(json.loads(value, parse_constant=_refuse))
        except (ValueError, RecursionError):
            pass
    return json.dumps(value)


def _refuse(name: str) -> None:
    raise ValueError(name)


_LITERALS: Final[dict[FieldType, _Literal]] = {
    FieldType.INT: _number(_INTEGER),
    FieldType.FLOAT: _number(_NUMBER),
    FieldType.TIMESTAMP: _number(_NUMBER),
    FieldType.BOOL: _truth,
    FieldType.MAP: _nested,
    FieldType.STRINGS: _nested,
    FieldType.INTS: _nested,
}
