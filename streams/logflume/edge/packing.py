"""A cut becomes blocks: parsed to columns, with tenant and arrival beside each row, encoded; what can't be read becomes
a dead letter. One thread's; nothing is kept between cuts but what the parsers learned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from logflume import traces
from logflume.block import reasons, wire
from logflume.edge.buffer import Cut, Format
from logflume.edge.lines import BYTE_ORDER_MARK
from logflume.edge.receipt import Receipt
from logflume.edge.spool import Message
from logflume.formats import BadLine, JsonParser, Parsed, combined, to_ndjson
from logflume.kafka import deadletters
from logflume.kafka.deadletters import DeadLetter
from logflume.model import Dataset, Datasets

BLOCK_BYTES = (4 << 20) - (16 << 10)
"""Most bytes of an encoded block: the topics take messages of 4 MB, and headers and framing lie around it."""

_MOST_BYTES = wire.MOST_BYTES * 3 // 4
"""Unpacked; well below what readers refuse, as they count padding too."""

_RECEIVED = pa.timestamp("ns", tz="UTC")


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that was taken in and could not be read, or not be carried; it is in the dead-letter topic as well."""

    tenant: str
    dataset: str
    reason: str
    detail: str
    raw: bytes = field(repr=False)
    line: int | None
    """Its line number in the text it came in; None for a record from ``log``."""
    receipt: Receipt | None = field(default=None, repr=False, compare=False)
    """Who waits for it, if anybody does."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The messages that a cut became, and the records among them that are dead letters."""

    messages: list[Message]
    bad: list[BadRecord]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Parsed rows with what the edge knows about them; all of the same length."""

    batch: pa.RecordBatch
    tenants: pa.Array
    received_ns: npt.NDArray[np.int64]
    records: npt.NDArray[np.int32]
    """Which record of the cut each row is."""

    def slice(self, start: int, stop: int) -> _Rows:
        part = slice(start, stop)
        tenants = self.tenants.slice(start, stop - start)
        batch = self.batch.slice(start, stop - start)
        return _Rows(batch, tenants, self.received_ns[part], self.records[part])


class Packer:
    """Turns cuts to messages.

    PA1  Every record of a cut is either a row of exactly one block, under its own tenant, or one dead letter.
    PA2  No block exceeds ``block_bytes``: it is halved until it fits, down to a row that is a dead letter then.
    """

    def __init__(
        self,
        datasets: Datasets,
        *,
        topic: Callable[[str], str],
        deadletter_topic: str,
        edge: str,
        epoch: int,
        block_bytes: int = BLOCK_BYTES,
        generation: Callable[[], int] = lambda: 0,
    ) -> None:
        """``topic`` names a dataset's ingest topic; ``edge`` and ``epoch`` (its start, ns) go into every block.

        ``generation`` tells which configuration is in force; asked for each block, it is no older than the one by which
        its rows were taken.
        """
        self._datasets = datasets
        self._topic = topic
        self._deadletter_topic = deadletter_topic
        self._edge = edge
        self._epoch = epoch
        self._block_bytes = block_bytes
        self._generation = generation
        self._parsers: dict[str, JsonParser] = {}
        self._seq = 0
        self._letters = 0

    def pack(self, cut: Cut) -> Packed:
        """Return the cut's messages, its bad records among them as dead letters."""
        dataset = self._datasets.named(cut.dataset)
        bad: list[BadRecord] = []
        rows = self._parse(cut, dataset, bad)
        size = cut.size - sum(len(record.raw) + 1 for record in bad)
        messages = list(self._blocks(cut, dataset, rows, size, bad)) if rows.batch.num_rows else []
        messages += self._dead(bad)
        return Packed(messages, bad)

    def _parse(self, cut: Cut, dataset: Dataset, bad: list[BadRecord]) -> _Rows:
        if cut.table is not None:
            batch, records = cut.table, np.arange(cut.rows, dtype=np.int32)
        else:
            lines = b"".join(cut.lines)
            parsed = self._read(lines, cut.format, dataset)
            if parsed.batch.num_rows + len(parsed.bad) != cut.rows:
                # One record more or less would shift all that follow it under other tenants.
                parsed = self._read_singly(lines, cut.format, dataset)
            batch, records = parsed.batch, parsed.rows
            origins = _Origins(cut)
            bad += [origins.bad(line.row, line.reason, line.detail, line.raw) for line in parsed.bad]
        names = list(dict.fromkeys(run.tenant for run in cut.runs))
        code = {name: number for number, name in enumerate(names)}
        lengths = [run.rows for run in cut.runs]
        codes = np.repeat(np.array([code[run.tenant] for run in cut.runs], dtype=np.int32), lengths)
        received = np.repeat(np.array([run.received_ns for run in cut.runs], dtype=np.int64), lengths)
        tenants = pa.DictionaryArray.from_arrays(pa.array(codes[records]), pa.array(names, pa.string()))
        return _Rows(batch, tenants, received[records], records)

    def _read(self, lines: bytes, format: Format, dataset: Dataset) -> Parsed:
        if format is Format.COMBINED:
            return combined.parse(lines, dataset)
        parser = self._parsers.get(dataset.name)
        if parser is None:
            parser = self._parsers[dataset.name] = JsonParser(dataset)
        if lines.startswith(BYTE_ORDER_MARK):
            # The parser leaves out a mark that a text begins with. Here it belongs to a record, and a record that was
            # nothing else would be missing from the count.
            return parser.parse(lines.split(b"\n")[:-1])
        return parser.parse(lines)

    def _read_singly(self, lines: bytes, format: Format, dataset: Dataset) -> Parsed:
        """Read line by line: what is not read as exactly one record is a bad one."""
        parts: list[pa.RecordBatch] = []
        bad: list[BadLine] = []
        rows: list[int] = []
        for number, line in enumerate(lines.split(b"\n")[:-1]):
            one = self._read(line + b"\n", format, dataset)
            if len(one.bad) == 1 and not one.batch.num_rows:
                bad.append(replace(one.bad[0], row=number))
            elif one.batch.num_rows == 1 and not one.bad:
                parts.append(one.batch)
                rows.append(number)
            else:
                found = one.batch.num_rows + len(one.bad)
                bad.append(BadLine(number, line, reasons.NOT_JSON, f"a line that reads as {found} records"))
        batch = pa.concat_batches(parts or [self._read(b"", format, dataset).batch])
        return Parsed(batch, np.array(rows, dtype=np.int32), bad)

    def _blocks(self, cut: Cut, dataset: Dataset, rows: _Rows, size: int, bad: list[BadRecord]) -> Iterator[Message]:
        count = rows.batch.num_rows
        received = pa.array(rows.received_ns).cast(_RECEIVED)
        batch = pa.RecordBatch.from_arrays(
            [rows.tenants, received, *rows.batch.columns], names=["_tenant", "_received", *rows.batch.schema.names]
        )
        header = wire.Header(
            dataset=dataset.name,
            edge=self._edge,
            epoch=self._epoch,
            seq=self._seq + 1,
            rows=count,
            bytes=size,
            first_time=int(rows.received_ns.min()),
            last_time=int(rows.received_ns.max()),
            generation=self._generation(),
        )
        value, headers = wire.encode(batch, header)
        if len(value) <= self._block_bytes and batch.nbytes <= _MOST_BYTES:
            self._seq += 1
            if traces.on():
                step = traces.begin("logflume.edge", header.first_time, dataset=dataset.name, rows=count, bytes=size)
                if step is not None:
                    headers.append(step.header)
                    step.end()
            yield Message(self._topic(dataset.name), None, value, headers, dataset.name, count, size)
        elif count == 1:
            detail = (
                f"alone it makes a block of {len(value)} bytes ({batch.nbytes} unpacked); a message carries "
                f"{self._block_bytes}, and a reader unpacks {_MOST_BYTES} at most"
            )
            bad.append(_Origins(cut).bad(int(rows.records[0]), reasons.TOO_LARGE, detail, _raw(cut, rows)))
        else:
            half = count // 2
            yield from self._blocks(cut, dataset, rows.slice(0, half), size // 2, bad)
            yield from self._blocks(cut, dataset, rows.slice(half, count), size - size // 2, bad)

    def _dead(self, bad: list[BadRecord]) -> Iterator[Message]:
        """The dead letters of a cut: many small ones share a message."""
        letters = [self._letter(record) for record in bad]
        for part in deadletters.pack(letters):
            yield Message(self._deadletter_topic, part.key, part.value, part.headers, letters[0].dataset or "")

    def _letter(self, record: BadRecord) -> DeadLetter:
        self._letters += 1
        return DeadLetter(
            reason=record.reason,
            stage="edge",
            tenant=record.tenant,
            dataset=record.dataset,
            raw=record.raw,
            detail=record.detail,
            row=self._letters,
            edge=f"{self._edge}/{self._epoch}",
        )


class _Origins:
    """Whose each record of a cut is, and where it stood."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._ends = np.cumsum([run.rows for run in cut.runs])

    def bad(self, record: int, reason: str, detail: str, raw: bytes) -> BadRecord:
        """Give the ``record``-th record of the cut its tenant and line."""
        at = int(np.searchsorted(self._ends, record, side="right"))
        run = self._cut.runs[at]
        line = None if run.numbers is None else int(run.numbers[record - (int(self._ends[at]) - run.rows)])
        return BadRecord(run.tenant, self._cut.dataset, reason, detail, raw, line, run.receipt)


def _raw(cut: Cut, rows: _Rows) -> bytes:
    """The record as it came; a row of a table as JSON."""
    if cut.table is None:
        return b"".join(cut.lines).split(b"\n")[int(rows.records[0])]
    return to_ndjson(rows.batch).removesuffix(b"\n")
