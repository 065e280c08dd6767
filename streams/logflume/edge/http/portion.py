"""What a request carried, once it is decoded, and what became of it: the same for every protocol."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Portion:
    """Records of one dataset out of one request: ``lines`` of JSON, one object a line, each with its newline.

    ``numbers`` (int64, one a line): the place of each record in the request as its sender counts, from 1 on (a line of
    NDJSON, an action of a bulk request); None: 1, 2, 3 …
    """

    dataset: str
    lines: bytes = field(repr=False)
    numbers: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class LineError:
    """A record that was not taken: its place in the request, why in one word (``block.reasons``), and for people."""

    number: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request: ``rows`` are durable, ``errors`` were not taken as rows, in the order of numbers."""

    rows: int
    errors: tuple[LineError, ...] = ()
