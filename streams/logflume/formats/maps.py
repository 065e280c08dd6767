"""Maps in columns: a struct with a child for each known key becomes a map, without touching a row in Python."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

MAP = pa.map_(pa.string(), pa.string())


def from_struct(column: pa.StructArray) -> pa.MapArray:
    """Return a map array: null where the struct is null, else the keys of the children that are not null there."""
    rows, keys = len(column), column.type.num_fields
    absent = column.is_null().to_numpy(zero_copy_only=False)
    if keys == 0:
        empty = pa.nulls(0, pa.string())
        return pa.MapArray.from_arrays(_offsets(np.zeros(rows, np.int32), absent), empty, empty, type=MAP)
    children = [column.field(i) for i in range(keys)]
    present = np.empty((rows, keys), bool)
    for i, child in enumerate(children):
        present[:, i] = child.is_valid().to_numpy(zero_copy_only=False)
    present[absent] = False
    row, key = np.nonzero(present)
    names = pa.array([column.type.field(i).name for i in range(keys)], pa.string())
    return pa.MapArray.from_arrays(
        _offsets(present.sum(axis=1, dtype=np.int32), absent),
        names.take(pa.array(key)),
        pa.concat_arrays(children).take(pa.array(key * rows + row)),
        type=MAP,
    )


def _offsets(
    counts: np.ndarray[tuple[int], np.dtype[np.int32]], absent: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> pa.Array:
    """Return where each row's entries begin; a null offset makes a null row (the last offset never is null)."""
    offsets = np.zeros(len(counts) + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    return pa.array(offsets, pa.int32(), mask=np.append(absent, False))
