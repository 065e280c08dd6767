"""Puts what dead letters hold back on the ingest topics: for each letter at most once, whoever tries and dies when.

Y1  The records of a letter and the marker that names it become visible together, or neither does (``Drawer.put``).
Y2  Nobody looks for markers before he is the only one who can write any: first ``fence``, then ``marked``. So what
    another replay did, or left open when it died, is in the answer or never will be.
Y3  A letter that a marker names is passed over; and so is a repeat of one that was just put back.
Y4  When it is not known whether a ``put`` went through, the replay ends. The next one finds out by Y2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from logflume.kafka.deadletters.filed import Filed
from logflume.kafka.deadletters.ids import Ids
from logflume.kafka.deadletters.original import Correction, Original, Stays, originals

_MOST_RECORDS: Final = 2000
_MOST_BYTES: Final = 4 << 20
"""Of one transaction: readers of the ingest topics wait as long as one is open."""


class Drawer(Protocol):
    """One partition of the dead-letter topic, and the way back from it."""

    def fence(self) -> None:
        """Become the only one who can ``put``: when it returns, nothing that an earlier one left open can commit."""
        ...

    def marked(self) -> Ids:
        """Return the ids of all letters of this partition that were put back, up to now."""
        ...

    def letters(self) -> Iterator[Filed]:
        """Give the letters that are meant, with their bytes."""
        ...

    def put(self, records: list[Original], digests: list[bytes]) -> None:
        """Commit the records and the marker of the letters with these ids together (Y1).

        Raises ``Refused`` when another has fenced this one off, ``Retryable`` when nothing of it was committed, and
        ``Fatal`` when that is not known.
        """
        ...


@dataclass
class Outcome:
    """What became of the letters that were meant."""

    letters: int = 0
    """Put back; in a rehearsal: would be."""
    records: int = 0
    """Messages on the ingest topics."""
    already: int = 0
    """Put back before."""
    stay: Counter[str] = field(default_factory=Counter)
    """Letters that can't go back, by the cause in words."""


def rehearse(drawer: Drawer, outcome: Outcome, check: Callable[[Original], None], correction: Correction) -> None:
    """Count what ``replay`` would do; writes nothing and fences nobody."""
    for _, records in _due(drawer, drawer.marked(), outcome, check, correction):
        outcome.letters += 1
        outcome.records += len(records)


def replay(drawer: Drawer, outcome: Outcome, check: Callable[[Original], None], correction: Correction) -> None:
    """Put back every letter that ``drawer`` gives and that was not put back before; ``outcome`` grows as it goes.

    ``check`` raises ``Stays`` for a record that Kafka would not take.
    """
    drawer.fence()
    batch: list[Original] = []
    digests: list[bytes] = []
    size = 0
    for filed, records in _due(drawer, drawer.marked(), outcome, check, correction):
        batch += records
        digests.append(filed.digest)
        size += sum(record.size for record in records)
        if len(batch) >= _MOST_RECORDS or size >= _MOST_BYTES:
            _put(drawer, batch, digests, outcome)
            batch, digests, size = [], [], 0
    if digests:
        _put(drawer, batch, digests, outcome)


def _due(
    drawer: Drawer, marked: Ids, outcome: Outcome, check: Callable[[Original], None], correction: Correction
) -> Iterator[tuple[Filed, list[Original]]]:
    for filed in drawer.letters():
        if filed.digest in marked:
            outcome.already += 1
            continue
        try:
            records = originals(filed.letter, filed.id, correction)
            for record in records:
                check(record)
        except Stays as why:
            outcome.stay[str(why)] += 1
            continue
        marked.add([filed.digest])
        yield filed, records


def _put(drawer: Drawer, records: list[Original], digests: list[bytes], outcome: Outcome) -> None:
    drawer.put(records, digests)
    outcome.letters += len(digests)
    outcome.records += len(records)
