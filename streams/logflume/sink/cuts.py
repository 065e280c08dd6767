"""The jobs of one sorted partition: how far each one's objects reach, and which cut of it is frozen (DESIGN §6b).

J1  A cut is frozen before it is written: its object is begun only when Kafka has the intent, so whoever writes, first
    or again, late or as a successor, writes the same rows under the same name.
J2  A cut that was found stored is written as it says, whatever today's limits and definition are, before any other of
    its job: until its last row was read again nothing is taken (``gathering``).
J3  Each row of a job is in exactly one cut: cuts follow one another, and rows below ``done`` are not taken in again.
J4  What Kafka keeps changes in the transaction that moves the position, and in no other; a record that says no more
    than the position, or than the cursor at which the job is parked, is deleted.

The rows of a cut that was found stored, or frozen before its job was parked, are read again by one of two readers: the
main one, or the scan that is ``behind``.

A commit costs what has changed, not what there is: ``_moved`` has the jobs whose record may be another now, ``_ahead``
those whose record goes when the position has passed them.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import structlog

from logflume.kafka.intents import Intent, JobCursor
from logflume.model.tenant import Outlet

Key = tuple[str, str]
"""(tenant, key of the job)."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What the next commit stores of one job: ``cursor``, or (None) that its record goes. ``before``: what is there."""

    cursor: JobCursor | None
    before: JobCursor | None

    @property
    def about(self) -> JobCursor:
        """A record with the names that make the key."""
        about = self.cursor or self.before
        assert about is not None  # a change has one of the two
        return about


@dataclass(slots=True)
class _Line:
    """One job: rows below ``done`` are durable; ``stored`` is what Kafka has."""

    done: int = 0
    intent: Intent | None = None
    stored: JobCursor | None = None

    @property
    def begins(self) -> int:
        """Rows below are not taken. Before a frozen cut there may be some that the job never got: it was not there."""
        return self.done if self.intent is None else self.intent.start


class Cuts:
    """The state of one partition's jobs between assignment and revocation. Used by the worker's thread alone."""

    def __init__(self, topic: str, topic_id: str, partition: int) -> None:
        self._topic = topic
        self._topic_id = topic_id
        self._partition = partition
        self._lines: dict[Key, _Line] = {}
        self._moved: dict[Key, None] = {}
        self._ahead: list[tuple[int, Key]] = []  # a heap, by ``done``
        self._ends: dict[int, list[Outlet]] = {}
        self._behind: dict[int, list[Outlet]] = {}

    def restore(
        self, cursors: Iterable[JobCursor], jobs: Collection[Key], offset: int, parked: Collection[Key] = ()
    ) -> list[Outlet]:
        """Take over what Kafka has; reading goes on at ``offset``. Returns the outlets whose cut must be read again;
        of those ``parked`` it is read when they are caught up.

        Records of a topic that is not this one, or of rows that retention took, are forgotten, and deleted with the
        next commit. Of a job that is not among ``jobs`` only the cut is: whoever has the job again goes on behind it.
        """
        gathering = []
        for cursor in cursors:
            key = (cursor.tenant, cursor.job)
            line = self._lines[key] = _Line(cursor.done, cursor.intent, cursor)
            self._moved[key] = None
            intent = cursor.intent
            why = self._lapsed(cursor, jobs, 0 if key in parked else offset)
            if why:
                line.done, line.intent = self._after(cursor), None
                if intent is not None:
                    _log.warning("sink.cut-dropped", tenant=cursor.tenant, job=cursor.job, name=intent.name, why=why)
            elif intent is not None and key not in parked:
                outlet = Outlet(cursor.tenant, cursor.job, intent.job)
                self._ends.setdefault(intent.end, []).append(outlet)
                gathering.append(outlet)
        return gathering

    @property
    def next_end(self) -> int | None:
        """The offset to which must be read until a stored cut is whole; None when all are."""
        return min(self._ends, default=None)

    def taking(self, outlets: tuple[Outlet, ...], offset: int) -> tuple[Outlet, ...]:
        """Return those of ``outlets`` that lack the rows at ``offset`` (J3)."""
        if not self._lines:
            return outlets
        lines = [self._lines.get((o.tenant, o.name)) for o in outlets]
        return tuple(o for o, line in zip(outlets, lines, strict=True) if line is None or offset >= line.begins)

    @property
    def next_end_behind(self) -> int | None:
        """The same for the scan."""
        return min(self._behind, default=None)

    def complete(self, offset: int, *, behind: bool = False) -> list[Outlet]:
        """Return the outlets whose stored cut ends at ``offset``, to which everything was read: it can be written."""
        if not behind:
            return self._ends.pop(offset, [])
        # The scan may have gone on behind an end that retention took.
        return [outlet for end in sorted(self._behind) if end <= offset for outlet in self._behind.pop(end)]

    def frozen(self, outlet: Outlet) -> Intent | None:
        """Return the job's frozen cut, if it has one."""
        line = self._lines.get((outlet.tenant, outlet.name))
        return None if line is None else line.intent

    def told(self, outlet: Outlet) -> bool:
        """Whether Kafka has the job's frozen cut (J1)."""
        line = self._lines[outlet.tenant, outlet.name]
        return line.stored is not None and line.stored.intent == line.intent

    def gather(self, outlet: Outlet) -> bool:
        """Have the scan read the job's frozen cut again; False: it has none."""
        if (intent := self.frozen(outlet)) is None:
            return False
        self._behind.setdefault(intent.end, []).append(outlet)
        return True

    def ungather(self, outlet: Outlet) -> None:
        """Have nobody read the job's cut again for now."""
        for ends in (self._ends, self._behind):
            for end, outlets in list(ends.items()):
                if outlet in outlets:
                    outlets.remove(outlet)
                    if not outlets:
                        del ends[end]

    def hand_over(self) -> None:
        """Have the main reader read what the scan has not read of the cuts."""
        for end, outlets in self._behind.items():
            self._ends.setdefault(end, []).extend(outlets)
        self._behind.clear()

    def lapse(self, outlet: Outlet, first: int) -> None:
        """Note that rows before ``first`` are gone from the log: a cut that lay there is given up (J3)."""
        if (intent := self.frozen(outlet)) is not None and intent.end <= first:
            self.give_up(outlet)
            why = f"its rows below {first} were deleted by retention"
            _log.warning("sink.cut-dropped", tenant=outlet.tenant, job=outlet.name, name=intent.name, why=why)

    def touch(self, key: Key) -> None:
        """Look at the job again with the next commit."""
        if key in self._lines:
            self._moved[key] = None

    def freeze(self, outlet: Outlet, intent: Intent) -> None:
        """Fix a cut, of which the next commit tells Kafka (J1)."""
        key = (outlet.tenant, outlet.name)
        line = self._lines.setdefault(key, _Line())
        if line.intent is not None or intent.start < line.done:
            raise ValueError(f"{outlet.name} of {outlet.tenant}: {intent} does not follow {line}")
        line.intent = intent
        self._moved[key] = None

    def intent(self, outlet: Outlet) -> Intent:
        """Return the frozen cut."""
        intent = self._lines[outlet.tenant, outlet.name].intent
        assert intent is not None  # asked for a flight only, and a job's flight is a cut
        return intent

    def landed(self, outlet: Outlet) -> None:
        """Note that the frozen cut is durable."""
        key = (outlet.tenant, outlet.name)
        line = self._lines[key]
        line.done, line.intent = self.intent(outlet).end, None
        self._moved[key] = None

    def give_up(self, outlet: Outlet) -> Intent | None:
        """Forget the frozen cut, if there is one, of a job that the configuration has no more; returns it.

        What may be in its object comes into no other, should the job come back (J3).
        """
        key = (outlet.tenant, outlet.name)
        line = self._lines.get(key)
        if line is None or line.intent is None:
            return None
        intent, line.intent = line.intent, None
        line.done = intent.end
        self._moved[key] = None
        self.ungather(outlet)
        return intent

    @property
    def gathering(self) -> list[Outlet]:
        """The jobs whose stored cut is not whole yet."""
        return [outlet for ends in (self._ends, self._behind) for outlets in ends.values() for outlet in outlets]

    def changes(self, offset: int, upto: Callable[[Key, int], int] | None = None) -> list[Change]:
        """Return what a commit of the position ``offset`` stores (J4); ``upto`` gives, of a parked job, its cursor."""
        while self._ahead and self._ahead[0][0] <= offset:
            done, key = heapq.heappop(self._ahead)
            if key in self._lines and self._lines[key].done == done:
                self._moved[key] = None
        found = []
        for key in list(self._moved):
            line = self._lines[key]
            said = offset if upto is None else upto(key, offset)
            told = line.intent is not None or line.done > said
            cursor = JobCursor(self._topic, self._topic_id, self._partition, *key, line.done, line.intent)
            if (cursor if told else None) != line.stored:
                found.append(Change(cursor if told else None, line.stored))
                continue
            del self._moved[key]
            if not told and line.done <= offset:
                del self._lines[key]
            elif line.intent is None:
                heapq.heappush(self._ahead, (line.done, key))
        return found

    def commit(self, changes: Iterable[Change]) -> list[Outlet]:
        """Note that ``changes`` are stored; returns the outlets whose cut may be written now."""
        ready = []
        for change in changes:
            key = (change.about.tenant, change.about.job)
            line = self._lines[key]
            line.stored = change.cursor  # a line that says nothing more goes with the next look at it
            if change.cursor is not None and change.cursor.intent is not None:
                ready.append(Outlet(*key, change.cursor.intent.job))
        return ready

    def _lapsed(self, cursor: JobCursor, jobs: Collection[Key], offset: int) -> str:
        """Why a record says nothing any more, or ""."""
        if cursor.topic_id != self._topic_id:
            return "it is about a topic of that name that is gone"
        if (cursor.tenant, cursor.job) not in jobs:
            return "the configuration has no such job"
        if cursor.intent is not None and cursor.intent.end <= offset:
            return f"its rows below {offset} were deleted by retention"
        return ""

    def _after(self, cursor: JobCursor) -> int:
        """Where a job goes on whose cut is given up: what may be in that object must come into no other (J3)."""
        done = cursor.done if cursor.intent is None else cursor.intent.end
        return done if cursor.topic_id == self._topic_id else 0


def object_name(outlet: Outlet, topic_id: str, partition: int, start: int, end: int, day: str) -> str:
    """Return the name of a cut's object: tenant, job, day of its first row in Kafka (UTC), coordinates, format."""
    assert outlet.job is not None
    place = f"{topic_id}-{partition}-{start:012d}-{end:012d}"
    return f"{outlet.tenant}/{outlet.name}/{day}/{place}.{outlet.job.format}"
