"""Messages on disk that Kafka does not hold yet, oldest first, and small named values that go with them.

Numbered promises:

SP1  ``put`` takes all of its messages and marks or none. When it returns they outlive a crash of this process and of
     the machine; after a crash in the middle of it all of them are there, or none.
SP2  It raises ``Unavailable`` when the cap is reached or the disk is full or fails, and has taken nothing then. Nothing
     is ever dropped for room, and it takes again as soon as there is room. (A disk that failed may bring a message to
     light again that was refused, if the machine crashes before anything else could be written.)
SP3  ``take`` gives each message once, oldest first, and those given ``again`` once more. A message stays until it is
     ``done``, also over crashes.
SP4  What ``sent`` noted is in ``doubts`` of whoever opens the spool after a crash, unless it was ``done``. Such a
     message is not given by ``take`` before it is known whether Kafka has it (``done``) or not (``again``).
SP5  A mark is never older than the messages that came with it, and stays when their segment goes.
SP6  A broken record costs itself alone; it is kept in ``quarantine/``, counted and logged (RE2). A mark whose
     last value was in it, and in no checkpoint since, has the value before.
SP7  One process at a time has a spool open.
SP8  In memory it takes some 10 bytes a message that waits, and what ``take`` gave out last.

Kafka is never waited for; every call but the properties may wait for the disk. How the bytes lie: docs/spool.md.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from pathlib import Path
from types import MappingProxyType, TracebackType

from logflume import metrics
from logflume.clock import Clock
from logflume.edge.spool import frames, records
from logflume.edge.spool.disk import Disk, Lock, RealDisk
from logflume.edge.spool.frames import Kind
from logflume.edge.spool.journal import NO_ROOM, Journal, parse_name
from logflume.edge.spool.message import Message
from logflume.edge.spool.records import Checkpoint, Sent
from logflume.edge.spool.replay import Found, replay, set_marks
from logflume.edge.spool.segment import Segment
from logflume.edge.spool.segments import Segments
from logflume.errors import Refused, Unavailable

_LOG = logging.getLogger("logflume.edge.spool")
_NO_MARKS: Mapping[str, bytes] = MappingProxyType({})

_SEGMENTS = 16
"""The cap holds so many segments at least: room comes back a segment at a time."""
_NOTES = 32
"""This part of the cap is kept for notes and checkpoints, without which nothing could leave a full spool."""
_SEGMENT_BYTES = 16 << 20
"""Most of a segment, but for a single put that is larger: what opening a spool holds in memory at once."""


class Spool:
    """One process's spool, see SP1 to SP8; any thread may call. ``Client(spool=…)`` sends what it holds."""

    def __init__(self, folder: Path, cap_bytes: int, clock: Clock, disk: Disk, lock: Lock, id: str) -> None:
        """Use ``open``."""
        self._folder = folder
        self._cap = cap_bytes
        self._limit = cap_bytes - cap_bytes // _NOTES
        self._clock = clock
        self._disk = disk
        self._held = lock
        self._id = id
        self._lock = threading.Lock()
        self._closed = False
        self._marks: dict[str, bytes] = {}
        self._sent: dict[int, Sent] = {}
        self._next = 1
        self._cursor = 0
        self._out: set[int] = set()
        self._again: list[int] = []
        self._bytes = 0
        self._oldest_ns: int | None = None
        self._waiting = 0
        self._segments: Segments
        self._journal: Journal

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        cap_bytes: int,
        clock: Clock,
        disk: Disk | None = None,
        new_id: Callable[[], bytes] = lambda: secrets.token_bytes(frames.ID_BYTES),
    ) -> Spool:
        """Open the spool in ``folder``, or begin one there.

        Raises ``Refused`` when another process has it open (SP7) or the folder holds what is no spool of ours, and
        ``Unavailable`` when the disk does not let us.
        """
        disk = disk or RealDisk()
        try:
            disk.make(folder)
            lock = disk.lock(folder)
            if lock is None:
                raise Refused(f"the spool in {folder} is open in another process: give each its own edge_spool_dir")
            try:
                return cls._opened(folder, cap_bytes, clock, disk, lock, new_id)
            except BaseException:
                lock.release()
                raise
        except OSError as failure:
            raise Unavailable(f"the spool in {folder} can't be opened: {failure}") from failure

    @classmethod
    def _opened(
        cls, folder: Path, cap_bytes: int, clock: Clock, disk: Disk, lock: Lock, new_id: Callable[[], bytes]
    ) -> Spool:
        present = {name: parsed for name in disk.names(folder) if (parsed := parse_name(name)) is not None}
        ids = {spool_id for spool_id, _ in present.values()}
        if len(ids) > 1:
            raise Refused(f"{folder} holds segments of several spools ({', '.join(sorted(ids))}): move one elsewhere")
        names = sorted(present)
        for name in names:  # what a killed process had only written is there now, and must be when the power fails
            disk.sync(folder / name)
        spool = cls(folder, cap_bytes, clock, disk, lock, ids.pop() if ids else new_id().hex())
        spool._begin(replay(folder, disk, spool._id, names), present[names[-1]][1] if names else 0)
        return spool

    def _begin(self, found: Found, sequence: int) -> None:
        self._segments = Segments(self._disk, self._id, found.segments, self._give_up)
        self._marks = found.marks
        self._sent = found.sent
        self._out.update(found.sent)
        self._next = found.next + 1
        self._session = found.next
        """A number that no message has: what this opening of the spool is called."""
        self._direct = itertools.count(1)
        self._doubts = tuple(found.sent[number] for number in sorted(found.sent))
        self._journal = Journal(
            self._folder,
            self._disk,
            spool_id=self._id,
            sequence=sequence,
            segment_bytes=min(_SEGMENT_BYTES, self._cap // _SEGMENTS),
            checkpoint=self._checkpoint,
            begun=self._segments.add,
        )
        self._journal.begin()
        self._reclaim()
        if self._waiting:
            _LOG.info("%s holds %d messages, %d of them in doubt", self._folder, self._waiting, len(self._doubts))

    def close(self) -> None:
        """Let another process have it; a second call does nothing. What it holds stays."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._journal.close()
                self._held.release()

    def forget(self) -> None:
        """In a fork's child: refuse every call, and leave the spool to the parent."""
        self._closed = True
        self._lock = threading.Lock()  # the parent's may have been copied while it was held
        self._held.forget()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- in -----------------------------------------------------------------------------------------------------------

    def put(self, messages: Sequence[Message], marks: Mapping[str, bytes] = _NO_MARKS) -> None:
        """Keep ``messages`` and set ``marks``, at once and durably (SP1, SP5).

        A mark is a small value with a name, such as how far a file was read; an empty one is forgotten. Either of the
        two may be empty. Raises ``Unavailable`` (SP2) and ``Refused`` once closed.
        """
        self._put(messages, marks, ())

    def put_sent(self, messages: Sequence[Message], sent: Sequence[Sent]) -> range:
        """Keep messages that are on their way to Kafka already; returns their numbers.

        ``sent`` says where to, one for each; its numbers are not looked at. ``take`` does not give them, unless again.
        """
        return self._put(messages, _NO_MARKS, sent)

    def _put(self, messages: Sequence[Message], marks: Mapping[str, bytes], sent: Sequence[Sent]) -> range:
        count = len(messages)

        def record(first: int) -> bytes:
            numbered = [each._replace(number=first + at) for at, each in enumerate(sent)]
            payload = records.pack_group(messages, marks, numbered)
            return self._frame(Kind.MESSAGES, first, count, payload)

        with self._lock:
            self._check()
            segment, at, first = self._write(record, count, capped=True)
            segment.add(at, first, count, self._clock.now_ns())
            set_marks(self._marks, marks)
            numbers = range(first, first + count)
            for number, each in zip(numbers, sent, strict=False):
                self._sent[number] = each._replace(number=number)
                self._out.add(number)
            metrics.EDGE_SPOOL_MESSAGES.inc(count)
            self._measure()
            return numbers

    @property
    def marks(self) -> Mapping[str, bytes]:
        """The last value of each mark, also of those set before the spool was opened."""
        with self._lock:
            return MappingProxyType(dict(self._marks))

    # --- out ----------------------------------------------------------------------------------------------------------

    @property
    def tag_prefix(self) -> str:
        """What the tags of all messages of this spool begin with."""
        return f"{self._id}/"

    def tag(self, number: int) -> str:
        """What a message of ours is called in Kafka, in its header ``spool``; no other message ever is."""
        return f"{self._id}/{number}"

    def direct_tag(self) -> str:
        """What the next message is called that goes to Kafka past the spool."""
        return f"{self._id}/{self._session}.{next(self._direct)}"

    def take(self, most: int) -> list[tuple[int, Message]]:
        """Give the oldest messages that are not out, ``most`` at most, with their numbers (SP3). They are out then."""
        taken: list[tuple[int, Message]] = []
        with self._lock:
            self._check()
            while len(taken) < most and (number := self._following()) is not None:
                self._out.add(number)
                message = self._segments.load(number)
                if message is not None:
                    taken.append((number, message))
        return taken

    def sent(self, sent: Sequence[Sent]) -> None:
        """Note durably that taken messages are about to be sent; only then may they be (SP4).

        Raises ``Unavailable``: none of them may be sent.
        """
        payload = records.pack_sent(sent)
        # Twice: without it they could be sent again after a crash, and one broken sector should not do that.
        with self._lock:
            self._check()
            self._write(lambda _: 2 * self._frame(Kind.SENT, sent[0].number, 0, payload), 0)
            self._sent.update((each.number, each) for each in sent)
            self._measure()

    def done(self, number: int, offset: int) -> None:
        """Forget a message that Kafka holds, at ``offset``. May be forgotten itself in a crash, hence ``doubts``."""
        with self._lock:
            if self._closed:
                return
            self._finish((number,))
            try:
                self._journal.append(self._frame(Kind.DONE, number, 0, b"%d" % offset), durable=False)
            except OSError as failure:  # after a crash it is looked for in Kafka
                _LOG.warning("%s: message %d can't be noted as done: %s", self._folder, number, failure)
            self._reclaim()

    def again(self, numbers: Iterable[int]) -> None:
        """Take messages back that are out and surely not in Kafka: ``take`` gives them again."""
        with self._lock:
            for number in numbers:
                if number in self._out:
                    self._out.discard(number)
                    self._sent.pop(number, None)
                    heappush(self._again, number)

    @property
    def doubts(self) -> Sequence[Sent]:
        """What was sent before the spool was opened, and not known to be in Kafka then; oldest first."""
        return self._doubts

    # --- how full -----------------------------------------------------------------------------------------------------

    @property
    def size_bytes(self) -> int:
        """What it takes on disk; never waits."""
        return self._bytes

    @property
    def share(self) -> float:
        """``size_bytes`` as a part of the cap; ``put`` refuses shortly before 1.0. Never waits."""
        return self._bytes / self._cap

    @property
    def waiting(self) -> int:
        """Messages that are not done; never waits."""
        return self._waiting

    @property
    def oldest_seconds(self) -> float:
        """How long its oldest message has waited; 0 when there is none. Never waits."""
        oldest = self._oldest_ns
        return 0.0 if oldest is None else max(0.0, (self._clock.now_ns() - oldest) / 1e9)

    # --- under the lock -----------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._closed:
            raise Refused(f"the spool in {self._folder} is closed")

    def _frame(self, kind: Kind, number: int, count: int, payload: bytes) -> bytes:
        return frames.frame(bytes.fromhex(self._id), kind, number, count, self._clock.now_ns(), payload)

    def _write(self, make: Callable[[int], bytes], count: int, *, capped: bool = False) -> tuple[Segment, int, int]:
        """Write a durable record about ``count`` new messages: its segment, place and first number.

        When the disk fails, it is tried once more in a new segment, under other numbers: the old ones are not used, so
        the next checkpoint says that they are done, should the failed write come to light after a crash.
        """
        for last_try in (False, True):
            first = self._next
            record = make(first)
            if capped and self._bytes + len(record) > self._limit:
                self._make_room(len(record))
            self._next += count
            try:
                return *self._journal.append(record, durable=True), first
            except OSError as failure:
                if failure.errno in NO_ROOM:
                    raise self._unavailable(
                        "disk-full", f"there is no room on its disk ({failure}): free some"
                    ) from None
                if last_try:
                    raise self._unavailable("disk", f"its disk fails ({failure}): see to it") from failure
        raise AssertionError

    def _make_room(self, size: int) -> None:
        if not self._segments.last.left:
            try:
                self._journal.begin()  # so that the present one, all done, may go
            except OSError as failure:
                _LOG.warning("%s: no new segment: %s", self._folder, failure)
            self._reclaim()
        if self._bytes + size > self._limit:
            raise self._unavailable(
                "cap",
                f"{self._bytes} of {self._cap} bytes are in it, {size} more would be too many: see whether Kafka is "
                "there, or raise edge_spool_bytes",
            )

    def _unavailable(self, reason: str, why: str) -> Unavailable:
        metrics.EDGE_SPOOL_ERRORS.labels(reason).inc()
        return Unavailable(f"the spool in {self._folder} takes nothing: {why}")

    def _checkpoint(self) -> bytes:
        checkpoint = Checkpoint(self._next, self._segments.ranges(), tuple(self._sent.values()), self._marks)
        return self._frame(Kind.CHECKPOINT, self._next, 0, records.pack_checkpoint(checkpoint))

    def _following(self) -> int | None:
        while self._again:
            number = heappop(self._again)
            if number >= self._cursor:
                continue  # the cursor comes to it
            if number not in self._out and self._segments.has(number):
                return number
        following = self._segments.following(self._cursor, self._out)
        self._cursor = self._next if following is None else following + 1
        return following

    def _give_up(self, numbers: Sequence[int]) -> None:
        self._finish(numbers)
        self._reclaim()

    def _finish(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self._out.discard(number)
            self._sent.pop(number, None)
            self._segments.finish(number)

    def _reclaim(self) -> None:
        self._segments.reclaim()
        self._measure()

    def _measure(self) -> None:
        self._bytes = self._segments.size
        self._waiting = self._segments.left
        self._oldest_ns = self._segments.oldest_ns
        metrics.EDGE_SPOOL_BYTES.set(self._bytes)
        metrics.EDGE_SPOOL_SHARE.set(self.share)
