"""What one turn read becomes one ``put``: blocks filled from several files, and the places behind what was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from logflume import metrics
from logflume.edge.buffer import Buffer, Cut, Format
from logflume.edge.packing import Packed
from logflume.edge.spool import Message
from logflume.edge.tail.followed import Step
from logflume.edge.tail.gate import Gate

Pack = Callable[[Cut], Packed]


class Keeper(Protocol):
    """What is used of the spool."""

    @property
    def marks(self) -> Mapping[str, bytes]:
        """The last value of each mark."""
        ...

    def put(self, messages: Sequence[Message], marks: Mapping[str, bytes]) -> None:
        """Keep all of it durably, or raise ``Unavailable`` and keep nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """``messages`` and ``marks`` are put at once; then each of ``steps`` is taken up."""

    steps: list[Step]
    messages: list[Message]
    marks: dict[str, bytes]

    @property
    def bytes(self) -> int:
        """About how much it is, at least 1."""
        return sum(len(message.value) + message.raw_bytes for message in self.messages) or 1


@dataclass(frozen=True, slots=True)
class Blocks:
    """At most how large a block is, who encodes it, and who may pass."""

    pack: Pack
    gate: Gate
    most_rows: int = 4000
    most_bytes: int = 4_000_000

    def turn(self, steps: list[Step], marks: Mapping[str, bytes], now_ns: int) -> Turn:
        """Return the turn of ``steps``, with ``marks`` besides theirs."""
        self.gate.end_turn()
        messages: list[Message] = []
        for cut in self._cuts(steps, now_ns):
            packed = self.pack(cut)
            messages += packed.messages
            for record in packed.bad:
                metrics.EDGE_BAD_ROWS.labels(record.dataset, record.reason).inc()
        all_marks = dict(marks)
        for step in steps:
            all_marks |= _marks(step)
        return Turn(steps, messages, all_marks)

    def _cuts(self, steps: Sequence[Step], now_ns: int) -> list[Cut]:
        buffers: dict[tuple[str, Format], Buffer] = {}
        cuts: list[Cut] = []
        for step in steps:
            lines = step.taken.lines
            if not len(lines):
                continue
            size = lines.size(0, len(lines))
            if not self.gate.passes(step.file.tenant, step.file.source.dataset, size, len(lines)):
                continue
            key = (step.file.source.dataset, step.file.source.reading.format)
            buffer = buffers.setdefault(key, Buffer(*key))
            at = 0
            while at < len(lines):
                stop = lines.fitting(at, self.most_rows - buffer.rows, self.most_bytes - buffer.size)
                if stop == at and buffer.rows:
                    cuts.append(buffer.cut(len(cuts)))
                    continue
                stop = max(stop, at + 1)  # one record larger than a block: a block by itself
                buffer.add_lines(step.file.tenant, lines.piece(at, stop), stop - at, now_ns, lines.numbers[at:stop])
                at = stop
        return cuts + [buffer.cut(len(cuts)) for buffer in buffers.values() if buffer.rows]


def _marks(step: Step) -> dict[str, bytes]:
    """Return what the spool is to remember of a step."""
    marks: dict[str, bytes] = {}
    if step.left is not None:
        marks[step.left.mark] = step.left.to_mark()
    elif step.ended and not step.file.is_elsewhere:
        return {step.place.mark: b""}
    if step.place.offset:
        marks[step.place.mark] = step.place.to_mark()
    return marks
