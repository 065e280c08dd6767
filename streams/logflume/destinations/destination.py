"""The interface of all destinations, and which names an object may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import pyarrow as pa

from logflume.errors import Refused

UNFINISHED = ".unfinished"
"""Below a folder's destination: what is being written. No object's name begins so."""

Data: TypeAlias = bytes | bytearray | memoryview | pa.Buffer

_MOST_NAME_BYTES = 900  # S3 takes keys of 1024, prefix included
_MOST_PART_BYTES = 255  # of a file's name


@dataclass(frozen=True, slots=True)
class Receipt:
    """An object is durable under ``name``. ``made`` is false when it was there already, whoever wrote it."""

    name: str
    bytes: int
    made: bool


class Destination(Protocol):
    """Where a job's objects come to rest.

    D1  ``write`` returns only when the object is durable under exactly that name, whole.
    D2  Writing the same again leaves it as after the first time: an object of that name is success, be it that the
        store refuses a second one or that equal bytes replace it. So a name belongs to its bytes, for ever.
    D3  ``write`` never changes the data, and every method may be called from any thread.
    D4  No reader ever sees a part of an object, nor does a failed write leave a part behind under its name.
    D5  Every call ends within a bounded time: about ``destination_timeout_seconds`` and what ``write`` needs for the
        data at 50 kB/s.

    All methods raise ``Retryable`` (network, an error of the store's, too many requests, time-out, disk full; the
    object may have been stored nevertheless), ``Misconfigured`` (no such bucket or folder, no right, wrong credentials)
    and ``Refused`` (a name that is none). No message holds a secret.
    """

    @property
    def url(self) -> str:
        """What names are relative to, for messages."""
        ...

    def write(self, name: str, data: Data) -> Receipt:
        """Store ``data`` as the object ``name``: a relative path, ``/`` between its parts."""
        ...

    def holds(self, name: str) -> bool:
        """Whether there is an object of that name."""
        ...


def check_name(name: str) -> Sequence[str]:
    """Return the parts of an object's name. Raises ``Refused`` for what could leave the destination or hide in it."""
    parts = name.split("/")
    fine = (
        all(part not in ("", ".", "..") and len(part.encode("utf-8", "replace")) <= _MOST_PART_BYTES for part in parts)
        and len(name.encode("utf-8", "replace")) <= _MOST_NAME_BYTES
        and name.isprintable()
        and "\\" not in name
        and parts[0] != UNFINISHED
    )
    if not fine:
        raise Refused(f"{name[:200]!r} is no object's name: a relative path without '.', '..', '\\' or empty parts")
    return parts
