"""A record's coordinates as one text, as they stand in a URL: ``<topic id>.<partition>.<offset>.<row>``.

Kafka's topic ids are letters, digits, ``-`` and ``_``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from logflume.api.problem import Problem
from logflume.explore.filters import quoted

COLUMNS: Final = ("_src_topic", "_src_partition", "_src_offset", "_src_row")
_TEXT: Final = re.compile(
    r"(?P<topic>[A-Za-z0-9_-]{1,64})\.(?P<partition>0|[1-9][0-9]{0,9})"
    r"\.(?P<offset>0|[1-9][0-9]{0,18})\.(?P<row>0|[1-9][0-9]{0,9})"
)
_MOST_INT: Final = (1 << 31) - 1
_MOST_LONG: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Coordinates:
    """Where a record came into Kafka: its address for ever."""

    topic: str
    partition: int
    offset: int
    row: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Coordinates:
        """Return a record's own."""
        return cls(*(record[name] for name in COLUMNS))

    def __str__(self) -> str:
        return f"{self.topic}.{self.partition}.{self.offset}.{self.row}"

    @property
    def condition(self) -> str:
        """The SQL condition of the record that has them; the log's bounds leave out most files by it."""
        return " AND ".join(f'"{name}" = {literal}' for name, literal in self._literals())

    def beyond(self, sign: str) -> str:
        """Return the SQL condition of those that are less (``<``) or greater (``>``), compared from the left."""
        *before, (name, literal) = self._literals()
        text = f'"{name}" {sign} {literal}'
        for name, literal in reversed(before):
            text = f'("{name}" {sign} {literal} OR ("{name}" = {literal} AND {text}))'
        return text

    def _literals(self) -> list[tuple[str, str]]:
        literals = (quoted(self.topic), str(self.partition), str(self.offset), str(self.row))
        return list(zip(COLUMNS, literals, strict=True))


def read(text: str) -> Coordinates:
    """Return the coordinates that a text means; ``Problem`` 400 when it means none."""
    match = _TEXT.fullmatch(text)
    if match is not None:
        found = Coordinates(match["topic"], int(match["partition"]), int(match["offset"]), int(match["row"]))
        if max(found.partition, found.row) <= _MOST_INT and found.offset <= _MOST_LONG:
            return found
    form = ".".join(f"<{name}>" for name in COLUMNS)
    raise Problem(400, "not-read", f"{text!r:.200} is no record's coordinates: {form}")
