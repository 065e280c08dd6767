"""What a source says of its configuration, for status and people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Where the configuration in force was read."""

    KAFKA = "kafka"
    DISK = "disk"
    STORE = "store"
    FILES = "files"


@dataclass(frozen=True, slots=True)
class State:
    """The configuration in force: ``generation`` 0, and no origin, while there is none.

    ``age_seconds`` is how long ago it was last known to be the newest one; None: nobody follows anything (files).
    ``refused`` says why what was offered since is not in force; empty: nothing was refused.
    """

    generation: int = 0
    hash: str = ""
    made_ns: int = 0
    origin: Origin | None = None
    age_seconds: float | None = None
    refused: str = ""
