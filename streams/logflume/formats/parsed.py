"""What every parser gives back: rows in columns, where each came from, and the records that could not be read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True, slots=True)
class BadLine:
    """A record that can't be read. ``row`` is its index among the input records, ``raw`` its own bytes.

    ``reason`` is one of ``logflume.block.reasons``; ``detail`` is for people.
    """

    row: int
    raw: bytes
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """Parsed records: each input record is either a row of ``batch`` or one of ``bad``.

    ``batch`` has the dataset's fields in contract order and ``_extra``. ``rows[i]`` (int32, ascending) is the index of
    row ``i`` among the input records.
    """

    batch: pa.RecordBatch
    rows: npt.NDArray[np.int32]
    bad: list[BadLine]
