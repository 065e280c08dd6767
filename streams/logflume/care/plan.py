"""Which files of a table are worth merging, and which have outlived their retention. By the log alone; pure.

A file of one event date holds rows that arrived on one UTC day or hardly more, and is merged only with those of the
same date and day of arrival: so retention, which is by arrival, drops whole files, and no row stays much more than a
day longer than it must.

Files are merged with others of about their size (tiers, each four times the one below), so that a row is written again
once a tier, not at every look. Once a day of arrival is over, two of a tier are enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from logflume.table.snapshot import File

Merge = tuple[File, ...]
"""Files that become one, oldest first."""

LATE = timedelta(days=4)
"""How long after its arrival a row is stored at most: Kafka keeps it for a day before it is sorted, for three after."""

_TIERS = 4  # the lowest holds all that is smaller: 1/128 of the size aimed at, and less
_TIMES = 4
_SETTLED = timedelta(hours=1)  # what arrived on a day is at rest by then, but for what was parked


@dataclass(frozen=True, slots=True)
class Aims:
    """``file_bytes``: of a file that is left alone. ``fan_in``: as many files of a tier are merged while more come."""

    file_bytes: int
    fan_in: int

    def small(self, file: File) -> bool:
        """Whether a file may be merged with others."""
        return file.size < self.file_bytes / 2


def merges(files: Iterable[File], aims: Aims, now: datetime) -> list[Merge]:
    """Return what to merge, none larger than ``aims.file_bytes``."""
    groups: dict[tuple[str, date | None], list[File]] = {}
    for file in files:
        if file.rows and aims.small(file):
            came = arrived(file, now)
            groups.setdefault((file.date, came.date() if came else None), []).append(file)
    found: list[Merge] = []
    for (_, day), small in sorted(groups.items(), key=lambda group: (group[0][0], str(group[0][1]))):
        over = day is None or now - datetime(day.year, day.month, day.day, tzinfo=now.tzinfo) > timedelta(1) + _SETTLED
        found += _packed(_crowded(small, aims, 2 if over else aims.fan_in), aims.file_bytes)
    return found


def expired(files: Iterable[File], retention_days: int, now: datetime) -> tuple[File, ...]:
    """Return the files whose last row arrived more than ``retention_days`` ago; one that says nothing stays."""
    limit, late = now - timedelta(days=retention_days), min(LATE, timedelta(days=retention_days) / 2)
    return tuple(file for file in files if (came := arrived(file, now, late)) is not None and came < limit)


def arrived(file: File, now: datetime, late: timedelta = LATE) -> datetime | None:
    """Return when a file's last row arrived, as far as that can be believed; ``None``: the log does not say.

    Rows are stamped by an edge's clock, and their commit by a sink's. A stamp up to ``late`` before the commit is
    believed. Else one of the clocks is wrong, or the rows waited in a spool: the later counts that is not in the
    future, so that no wrong clock has a row expire that came just now, nor keeps one for ever.
    """
    if file.newest is None or file.stored is None or file.stored - late <= file.newest <= file.stored:
        return file.newest
    both = (file.newest, file.stored)
    return max((time for time in both if time <= now), default=max(both))


def doubted(files: Iterable[File], now: datetime) -> tuple[File, ...]:
    """Return the files whose retention is counted from another time than their rows say."""
    return tuple(file for file in files if arrived(file, now) != file.newest)


def _crowded(small: Sequence[File], aims: Aims, fan_in: int) -> list[File]:
    """The files of the largest tier that has ``fan_in`` of them, and all smaller ones."""
    tiers = [_tier(file, aims) for file in small]
    for tier in range(_TIERS):
        if tiers.count(tier) >= fan_in:
            return [file for file, of in zip(small, tiers, strict=True) if of >= tier]
    return []


def _tier(file: File, aims: Aims) -> int:
    """0: the largest."""
    return min(_TIERS - 1, max(0, math.floor(math.log(aims.file_bytes / 2 / max(file.size, 1), _TIMES))))


def _packed(files: Sequence[File], most: int) -> Iterator[Merge]:
    """In order of arrival, as many together as fit; a file that would be alone is left as it is."""
    together: list[File] = []
    size = 0
    for file in sorted(files, key=lambda file: (file.oldest is not None, file.oldest, file.path)):
        if together and size + file.size > most:
            if len(together) > 1:
                yield tuple(together)
            together, size = [], 0
        together.append(file)
        size += file.size
    if len(together) > 1:
        yield tuple(together)
