"""A part of the rows, the same ones whoever asks and whenever: decided by their coordinates."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_MIXES: Final = ((np.uint64(30), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(27), np.uint64(0x94D049BB133111EB)))
"""SplitMix64's finalizer: "Fast splittable pseudorandom number generators", Steele, Lea and Flood, 2014."""


def sampled(rows: pa.Table, share: float) -> npt.NDArray[np.bool_]:
    """Return which rows are in the sample; about ``share`` of all are. ``rows`` have coordinates, none of them null."""
    topics = rows.column("_src_topic").combine_chunks().dictionary_encode()
    salts = np.array([zlib.crc32(topic.encode()) for topic in topics.dictionary.to_pylist()], np.uint64)
    number = salts[np.asarray(topics.indices)]
    for name in ("_src_partition", "_src_offset", "_src_row"):
        number = _mixed(number + _STEP + np.asarray(rows.column(name)).astype(np.uint64))
    kept: npt.NDArray[np.bool_] = (number >> np.uint64(11)) < np.uint64(share * (1 << 53))
    return kept


def _mixed(number: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    for shift, factor in _MIXES:
        number = (number ^ (number >> shift)) * factor
    mixed: npt.NDArray[np.uint64] = number ^ (number >> np.uint64(31))
    return mixed
