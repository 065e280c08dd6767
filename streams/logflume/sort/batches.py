"""Fetched batches of messages as aiokafka reads them, but within bounds, and whatever they hold.

This file and ``sort.transport`` use private parts of aiokafka 0.14; tests fail when they move.

K1  A message may have any header names. aiokafka fails on one that is not UTF-8.
K2  A batch takes bounded memory (``sort.unpacking``), and so does all that was fetched of a partition at once: when
    its batches have grown past ``FETCH_BYTES``, the rest is left to be fetched again.
K3  A batch that passes its checksum and can't be unpacked or read is one ``Unreadable`` at its last offset, with all
    its bytes: whoever reads it again gets the same.
K4  A batch that fails its checksum says nothing that may be believed, not even how far it reaches: it ends what was
    fetched, as one ``Torn``. Before it nothing is lost.
K5  What was fetched says how far it reaches: past the end of a transaction behind its last message, which is none.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records, memory_records
from aiokafka.structs import ConsumerRecord

from logflume.block import reasons
from logflume.errors import Poison
from logflume.sort.unpacking import Unreadable, is_bounded, unpacked

FETCH_BYTES = 64_000_000
"""16 times what is fetched of a partition at once, packed."""

_PAST_EVERY_OFFSET = 2**62


class Torn(bytes):
    """In the place of a message's value: why nothing behind it can be read. No client can send one."""


class Fetched(list[ConsumerRecord]):
    """Messages that were fetched of one partition together, in order."""

    next_offset: int
    """Where aiokafka goes on: there is no message between the last one and it (K5)."""

    @property
    def last(self) -> int:
        """The last offset of what was fetched, whether a message is there or not."""
        return self.next_offset - 1


class CountedResult(fetcher.FetchResult):  # type: ignore[misc]
    """What was fetched of one partition, and how far it reaches."""

    def getall(self, max_records: int | None = None) -> list[ConsumerRecord]:
        """Return the messages, ``Fetched`` when there are any."""
        read = self._partition_records
        found = Fetched(super().getall(max_records))
        if found:
            found.next_offset = read.next_fetch_offset
        return found


class BoundedRecords(memory_records._MemoryRecordsPy):  # type: ignore[misc]
    """What was fetched of one partition: batch by batch."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.unpacked_bytes = 0
        self.torn = False

    def has_next(self) -> bool:
        """Whether another batch should be read now (K2, K4)."""
        return super().has_next() and self.unpacked_bytes < FETCH_BYTES and not self.torn

    def next_batch(self, *args: Any) -> Any:
        """Return the next batch, or None."""
        raw = self._next_slice
        batch = super().next_batch(*args)
        return BoundedBatch(self, batch, raw) if isinstance(batch, default_records.DefaultRecordBatch) else batch


class BoundedBatch:
    """One batch of record format 2."""

    def __init__(self, fetched: BoundedRecords, batch: Any, raw: memoryview) -> None:
        self._fetched = fetched
        self._batch = batch
        self._raw = raw
        self._torn = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def validate_crc(self) -> bool:
        """Note whether the checksum is right; a wrong one is told by a ``Torn``, not by aiokafka's error (K4)."""
        self._torn = self._fetched.torn = not self._batch.validate_crc()
        return True

    @property
    def is_control_batch(self) -> bool:
        """Whether it holds markers of transactions; a torn one is not passed over as such."""
        return not self._torn and bool(self._batch.is_control_batch)

    @property
    def is_transactional(self) -> bool:
        """Likewise."""
        return not self._torn and bool(self._batch.is_transactional)

    def __next__(self) -> Any:
        """Return the marker of a control batch: aiokafka looks whether it ends an aborted transaction."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        if self._torn:
            why = f"the batch at offset {self._batch.base_offset} fails its checksum: the disk, or the way here, is bad"
            return iter([_in_place_of(_PAST_EVERY_OFFSET, self._batch, Torn(why.encode()))])
        try:
            return iter(self._messages())
        except Poison as poison:
            whole = Unreadable.of(bytes(self._raw), poison)
            return iter([_in_place_of(whole.last, self._batch, whole)])

    def _messages(self) -> list[Any]:
        batch, raw = self._batch, self._raw
        if not is_bounded(raw):
            raw = memoryview(unpacked(bytes(raw)))
            batch = default_records.DefaultRecordBatch(raw)
        self._fetched.unpacked_bytes += len(raw)
        try:
            return list(batch)
        except UnicodeDecodeError:
            pass
        except (CorruptRecordException, ValueError, IndexError, OverflowError, struct.error) as failure:
            raise _unreadable(failure) from failure
        twin = default_records._DefaultRecordBatchPy(bytes(raw))
        twin._decompressed = True
        twin._buffer = _LenientText(twin._buffer)
        try:
            return list(twin)
        except (CorruptRecordException, ValueError, IndexError, OverflowError, struct.error) as failure:
            raise _unreadable(failure) from failure


def _in_place_of(offset: int, batch: Any, value: bytes) -> Any:
    return default_records._DefaultRecordPy(offset, batch.max_timestamp, batch.timestamp_type, None, value, [])


def _unreadable(failure: Exception) -> Poison:
    return Poison(reasons.UNREADABLE, f"its messages can't be told apart: {type(failure).__name__}: {failure}")


class _LenientText(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _LenientText(found) if isinstance(key, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)
