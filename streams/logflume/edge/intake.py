"""What an application has handed in and Kafka does not hold yet: open blocks, cuts, and the memory they take.

Numbered promises, under one lock that any thread may take:

I1  What an ``add_…`` call took in is in exactly one cut that ``next_due`` gives out, at the latest ``linger_seconds``
    later; at once when somebody waits for room.
I2  ``used`` bytes count each record from its acceptance until its cut is ``packed``, then the messages it became until
    they are ``settled``, or their size is given back by ``release``. They stay within ``memory_bytes``, or are those of
    one piece that is larger by itself.
I3  A record for which there is no room in time is not taken in: ``NotAccepted`` says how many of the call were.
I4  ``flush`` returns when every cut with anything taken in before it is settled; later ones do not hold it up.
I5  After ``fail`` every call raises its error; after ``shut`` nothing is taken in, and ``next_due`` ends.
I6  ``offer`` takes all of its pieces or none, and never waits. The receipt of taken ones ends once every cut with a
    part of them is settled, or with the error of ``fail``.
I7  While pressure asks for restraint (see ``restraint``) the ``add_…`` calls wait as for room, and ``NotAccepted``
    names its causes; ``offer`` is for those who have asked the restraint themselves.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from logflume import metrics
from logflume.clock import Clock
from logflume.edge.buffer import Buffer, Cut, Format, Run
from logflume.edge.lines import Lines
from logflume.edge.receipt import Piece, Receipt, end_all
from logflume.edge.restraint import Restraint
from logflume.errors import LogflumeError, Refused, Unavailable
from logflume.kafka.status import Pressure


class NotAccepted(Unavailable):
    """There was no room within the time-out; the first ``accepted`` records of the call did go in, the rest did not."""

    def __init__(self, message: str, accepted: int) -> None:
        super().__init__(message)
        self.accepted = accepted


class Intake:
    """See the promises I1 to I7."""

    def __init__(
        self,
        *,
        block_rows: int,
        block_bytes: int,
        linger_seconds: float,
        memory_bytes: int,
        clock: Clock,
        restraint: Restraint,
    ) -> None:
        """Blocks close at ``block_rows``, at ``block_bytes`` of records as they came, or after ``linger_seconds``."""
        self._block_rows = block_rows
        self._block_bytes = block_bytes
        self._linger_seconds = linger_seconds
        self._clock = clock
        self._restraint = restraint
        lock = threading.RLock()
        self._lock = lock
        self._work = threading.Condition(lock)  # the packer waits here: for a cut, or for a buffer's age
        self._room = threading.Condition(lock)  # callers wait here: for memory, or for their flush
        self._limit = memory_bytes  # -1 once nothing may come in any more
        self._used = 0
        self._waiting = 0
        self._buffers: dict[tuple[str, Format], Buffer] = {}
        self._cuts: deque[Cut] = deque()
        self._cut_id = 0
        self._open: dict[int, int] = {}  # cut -> what is still to come of it; in the order of cuts
        self._receipts: dict[int, list[Receipt]] = {}  # cut -> who waits for it; one for each run
        self._failure: LogflumeError | None = None
        self.trouble = ""
        """What the world outside last complained of, for the text of time-outs."""

    @property
    def used(self) -> int:
        """Bytes taken in and not settled (I2)."""
        return self._used

    @property
    def fill(self) -> float:
        """``used`` as a share of what there is room for; 1.0 and more: nothing is taken in now."""
        return self._used / self._limit if self._limit > 0 else 1.0

    @property
    def failure(self) -> LogflumeError | None:
        """What ``fail`` was told."""
        return self._failure

    def offer(self, pieces: Sequence[Piece], receipt: Receipt) -> bool:
        """Take all of ``pieces`` and return True, or nothing (I6): there is no room for them, now.

        Raises as other calls do after ``fail`` and ``shut``; the receipt is not told then.
        """
        size = sum(piece.size for piece in pieces)
        with self._lock:
            self._raise_unless_open()
            if self._used and self._used + size > self._limit:
                self._hurry()
                return False
            receipt.owe()  # for the time of placing, or the first piece's report could end it
            for piece in pieces:
                if isinstance(piece.content, Lines):
                    self._place_lines(piece.tenant, piece.dataset, piece.content, receipt)
                else:
                    self._place_table(piece.tenant, piece.dataset, piece.content, receipt)
            if not receipt.settle():
                return True
        receipt.end(None)  # there was no record in it
        return True

    def add_record(self, tenant: str, dataset: str, line: bytes, timeout: float) -> None:
        """Take one record: a line of JSON with its newline."""
        size = len(line)
        with self._lock:
            if self._restraint.active:
                self._heed(timeout, 0)
            while self._used + size > self._limit and self._wait_for_room(size, timeout, 0):
                pass
            buffer = self._buffers.get((dataset, Format.NDJSON)) or self._buffer(dataset, Format.NDJSON)
            if not buffer.rows:
                self._begin(buffer)
            self._used += size
            buffer.add_record(tenant, line, self._clock.now_ns())
            if buffer.rows >= self._block_rows or buffer.size >= self._block_bytes:
                self._cut(buffer)

    def add_lines(
        self, tenant: str, dataset: str, lines: Lines, format: Format, timeout: float, *, numbered: bool
    ) -> int:
        """Take all of ``lines``, cut at the blocks' limits; ``timeout`` is for each wait. Returns their number."""
        at = 0
        while at < len(lines):
            with self._lock:
                if self._restraint.active:
                    self._heed(timeout, at)
                buffer = self._buffer(dataset, format)
                stop = lines.fitting(at, self._block_rows - buffer.rows, self._block_bytes - buffer.size)
                if stop == at:
                    if buffer.rows:
                        self._cut(buffer)
                        continue
                    stop = at + 1  # one record larger than a block: a block by itself
                size = lines.size(at, stop)
                if self._used + size > self._limit and self._wait_for_room(size, timeout, at):
                    continue  # others may have filled or emptied the buffer meanwhile
                if not buffer.rows:
                    self._begin(buffer)
                self._used += size
                numbers = lines.numbers[at:stop] if numbered else None
                buffer.add_lines(tenant, lines.piece(at, stop), stop - at, self._clock.now_ns(), numbers)
                if buffer.rows >= self._block_rows or buffer.size >= self._block_bytes:
                    self._cut(buffer)
            at = stop
        return at

    def add_table(self, tenant: str, dataset: str, table: pa.RecordBatch, timeout: float) -> int:
        """Take a batch of the dataset's columns and ``_extra``, in cuts of its own. Returns the number of rows."""
        fitting = table.num_rows * self._block_bytes // max(1, table.nbytes)
        rows = max(1, min(self._block_rows, fitting))
        for at in range(0, table.num_rows, rows):
            part = table.slice(at, rows)
            size = max(1, part.nbytes)
            with self._lock:
                if self._restraint.active:
                    self._heed(timeout, at)
                while self._used + size > self._limit and self._wait_for_room(size, timeout, at):
                    pass
                self._used += size
                run = Run(tenant, part.num_rows, self._clock.now_ns())
                self._queue(Cut(self._next_id(), dataset, (run,), part.num_rows, size, table=part))
        return int(table.num_rows)

    def flush(self, timeout: float) -> None:
        """Wait until all that was taken in before is settled (I4); ``Unavailable`` after ``timeout`` seconds."""
        deadline = self._clock.monotonic() + timeout
        with self._lock:
            for buffer in self._buffers.values():
                if buffer.rows:
                    self._cut(buffer)
            last = self._cut_id
            while True:
                self._raise_failure()
                if next(iter(self._open), last + 1) > last:
                    return
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    raise self._unavailable(
                        Unavailable(
                            f"{self._used} bytes are not acknowledged by Kafka after {timeout:g} s; they are still on "
                            f"their way, flush again to wait on.{self._because()}"
                        )
                    )
                self._room.wait(left)

    # --- for the threads behind -------------------------------------------------------------------------------------

    def next_due(self) -> Cut | None:
        """Wait for the next cut; None once nothing comes any more."""
        with self._lock:
            while not self._cuts:
                if self._limit < 0:
                    return None
                now = self._clock.monotonic()
                linger = 0.0 if self._waiting else self._linger_seconds
                ages = [(buffer.opened + linger - now, buffer) for buffer in self._buffers.values() if buffer.rows]
                for left, buffer in ages:
                    if left <= 0:
                        self._cut(buffer)
                if not self._cuts:
                    self._work.wait(min((left for left, _ in ages), default=None))
            return self._cuts.popleft()

    def packed(self, cut: Cut, messages: int, size: int) -> None:
        """Count ``messages`` of ``size`` bytes instead of the cut's records; each is settled, then the cut itself."""
        with self._lock:
            self._used += size - cut.size
            self._open[cut.id] += messages
            self._room.notify_all()

    def settled(self, cut: int, size: int) -> None:
        """Forget one message of a cut, or (``size`` 0) that the cut was in work."""
        ended: list[Receipt] = []
        with self._lock:
            self._used -= size
            self._open[cut] -= 1
            if not self._open[cut]:
                del self._open[cut]
                ended = [receipt for receipt in self._receipts.pop(cut, ()) if receipt.settle()]
            metrics.EDGE_BUFFERED_BYTES.set(self._used)
            self._room.notify_all()
        end_all(ended)

    def press(self, pressure: Pressure) -> None:
        """Heed ``pressure`` from now on."""
        with self._lock:
            self._restraint.follow(pressure)
            self._room.notify_all()

    def release(self, size: int) -> None:
        """Give back the size of a message that was settled without it."""
        with self._lock:
            self._used -= size
            metrics.EDGE_BUFFERED_BYTES.set(self._used)
            self._room.notify_all()

    def fail(self, failure: LogflumeError) -> None:
        """Let every call raise ``failure`` from now on; the first one counts."""
        with self._lock:
            if self._failure is None:
                self._failure = failure
            waiting = [receipt for receipts in self._receipts.values() for receipt in receipts]
            waiting += [receipt for buffer in self._buffers.values() for receipt in buffer.receipts()]
            self._receipts = {}
            self._buffers = {}
        self.shut()
        end_all(list(dict.fromkeys(waiting)), failure)

    def shut(self) -> None:
        """Take nothing in any more."""
        with self._lock:
            self._limit = -1
            self._work.notify_all()
            self._room.notify_all()

    # --- under the lock ---------------------------------------------------------------------------------------------

    def _buffer(self, dataset: str, format: Format) -> Buffer:
        return self._buffers.setdefault((dataset, format), Buffer(dataset, format))

    def _begin(self, buffer: Buffer) -> None:
        buffer.opened = self._clock.monotonic()
        self._work.notify()

    def _place_lines(self, tenant: str, dataset: str, lines: Lines, receipt: Receipt) -> None:
        """Add lines for which there is room, cut at the blocks' limits."""
        at = 0
        while at < len(lines):
            buffer = self._buffer(dataset, Format.NDJSON)
            stop = lines.fitting(at, self._block_rows - buffer.rows, self._block_bytes - buffer.size)
            if stop == at:
                if buffer.rows:
                    self._cut(buffer)
                    continue
                stop = at + 1  # one record larger than a block: a block by itself
            if not buffer.rows:
                self._begin(buffer)
            receipt.owe()
            self._used += lines.size(at, stop)
            piece, numbers = lines.piece(at, stop), lines.numbers[at:stop]
            buffer.add_lines(tenant, piece, stop - at, self._clock.now_ns(), numbers, receipt)
            if buffer.rows >= self._block_rows or buffer.size >= self._block_bytes:
                self._cut(buffer)
            at = stop

    def _place_table(self, tenant: str, dataset: str, table: pa.RecordBatch, receipt: Receipt) -> None:
        """Queue a table for which there is room, in cuts of its own."""
        rows = max(1, min(self._block_rows, table.num_rows * self._block_bytes // max(1, table.nbytes)))
        for at in range(0, table.num_rows, rows):
            part = table.slice(at, rows)
            size = max(1, part.nbytes)
            receipt.owe()
            self._used += size
            numbers = np.arange(at + 1, at + 1 + part.num_rows, dtype=np.int64)
            run = Run(tenant, part.num_rows, self._clock.now_ns(), numbers, receipt)
            self._queue(Cut(self._next_id(), dataset, (run,), part.num_rows, size, table=part))

    def _hurry(self) -> None:
        """Somebody lacks room: do not let a buffer linger."""
        for buffer in self._buffers.values():
            if buffer.rows:
                self._cut(buffer)

    def _wait_for_room(self, size: int, timeout: float, accepted: int) -> bool:
        """Wait once for memory; True: look again, False: go ahead. Raises when time is up or nothing may come in."""
        self._raise_unless_open()
        if self._used == 0:
            return False  # larger than the whole memory: it goes alone
        deadline = self._clock.monotonic() + timeout
        self._waiting += 1
        self._work.notify()
        try:
            while self._used and self._used + size > self._limit >= 0:
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    raise self._unavailable(
                        NotAccepted(
                            f"no room for {size} bytes within {timeout:g} s: {self._used} of {self._limit} bytes wait "
                            f"for Kafka.{self._because()}",
                            accepted,
                        )
                    )
                self._room.wait(left)
        finally:
            self._waiting -= 1
        return True

    def _heed(self, timeout: float, accepted: int) -> None:
        """Wait as long as pressure asks for it (I7)."""
        began = self._clock.monotonic()
        try:
            while delay := self._restraint.delay():
                self._raise_unless_open()
                left = began + timeout - self._clock.monotonic()
                if left <= 0:
                    metrics.PRESSURE_REFUSED.inc()
                    because = self._restraint.pressure.because
                    raise self._unavailable(NotAccepted(f"nothing taken within {timeout:g} s: {because}", accepted))
                self._room.wait(min(delay, left))
        finally:
            metrics.PRESSURE_WAIT.inc(self._clock.monotonic() - began)

    def _cut(self, buffer: Buffer) -> None:
        self._queue(buffer.cut(self._next_id()))

    def _next_id(self) -> int:
        self._cut_id += 1
        return self._cut_id

    def _queue(self, cut: Cut) -> None:
        self._open[cut.id] = 1  # the packing itself
        if receipts := [run.receipt for run in cut.runs if run.receipt is not None]:
            self._receipts[cut.id] = receipts
        self._cuts.append(cut)
        self._restraint.took(cut.size)
        metrics.EDGE_BUFFERED_BYTES.set(self._used)
        self._work.notify()

    def _because(self) -> str:
        return f" Last trouble: {self.trouble}" if self.trouble else ""

    def _unavailable(self, error: Unavailable) -> Unavailable:
        metrics.EDGE_ERRORS.labels("unavailable").inc()
        return error

    def _raise_unless_open(self) -> None:
        self._raise_failure()
        if self._limit < 0:
            raise Refused("this client is closed; make a new one")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            # A new exception each time: a kept one would drag every earlier traceback along.
            raise type(self._failure)(str(self._failure))
