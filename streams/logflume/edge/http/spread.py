"""How much the values of an Arrow batch take once each is spelled out: a few bytes can stand for any number of them.

Dictionaries and views let values share bytes; nulls, booleans and lists of nothing make values of hardly any.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from logflume.edge.http.refusal import Refusal
from logflume.errors import Poison

_EACH: Final = 16
"""What a value inside a list, map or struct takes as an object, beside its bytes."""


def spread(batch: pa.RecordBatch, most_bytes: int) -> int:
    """Return about how many bytes the rows take as JSON, and as objects on the way to it.

    Raises ``Refusal`` 413 when these are more than ``most_bytes``, ``Poison`` for a type whose values may overlap.
    """
    counting = _Counting(most_bytes)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        counting.add((len(column) - column.null_count) * (len(name.encode()) + 4))
        counting.column(column)
    return counting.size


class _Counting:
    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.size = 0

    def add(self, size: int) -> None:
        self.size += size
        if self.size > self._most_bytes:
            raise Refusal(413, f"its rows take more than {self._most_bytes} bytes when each value is spelled out")

    def column(self, array: pa.Array) -> None:
        kind, of = array.type, pa.types
        if isinstance(array, pa.ExtensionArray):
            self.column(array.storage)
        elif of.is_dictionary(kind):
            self._shared(array)
        elif of.is_string_view(kind) or of.is_binary_view(kind):
            self.add(int(_viewed(array).sum()))
        elif of.is_struct(kind):
            for at in range(kind.num_fields):
                self._inside(array.field(at), len(kind.field(at).name.encode()))
        elif of.is_map(kind):
            self._inside(array.keys)
            self._inside(array.items)
        elif of.is_list(kind) or of.is_large_list(kind) or of.is_fixed_size_list(kind):
            self._inside(array.values)
        elif kind.num_fields or of.is_run_end_encoded(kind):
            raise Poison("not-json", f"a column of type {str(kind)[:100]} is not read here")
        else:
            self.add(array.nbytes)

    def _inside(self, values: pa.Array, name_bytes: int = 0) -> None:
        self.add(len(values) * (_EACH + name_bytes))
        self.column(values)

    def _shared(self, array: pa.DictionaryArray) -> None:
        values, of = array.dictionary, pa.types
        kind = values.type
        if of.is_string_view(kind) or of.is_binary_view(kind):
            lengths = pa.array(_viewed(values))
        elif kind.num_fields or of.is_dictionary(kind) or isinstance(values, pa.ExtensionArray):
            raise Poison("not-json", f"a dictionary of type {str(kind)[:100]} is not read here")
        elif of.is_primitive(kind) or of.is_null(kind) or of.is_decimal(kind):
            self.add(len(array) * _EACH)
            return
        else:
            lengths = pc.binary_length(values)
        self.add(pc.sum(pc.take(lengths, array.indices)).as_py() or 0)


def _viewed(array: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The length of each text or bytes of a view array, which its 16 bytes begin with; 0 of a null."""
    views = array.buffers()[1]
    if views is None:
        return np.zeros(len(array), np.int64)
    lengths = np.frombuffer(views, np.int32)[::4][array.offset : array.offset + len(array)].astype(np.int64)
    return np.where(array.is_valid().to_numpy(zero_copy_only=False), lengths, 0)
