"""Many small letters of one cause in one message: what a flood of bad records costs is decided here.

A batch holds letters that share reason, stage, tenant, dataset and ingest partition (its headers say them, as those of
a single letter do), and in an Arrow stream what each has for itself. Letters are in batches or alone as it happens;
a repeat may be packed otherwise than the first time, so ids are worked out by the reader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from logflume.block.weight import check_weight
from logflume.block.wire import read_stream, write_stream
from logflume.errors import Poison
from logflume.kafka.deadletters.letter import DeadLetter
from logflume.kafka.deadletters.messages import (
    PART_BYTES,
    Message,
    about,
    attached_bytes,
    detail_text,
    text_bytes,
    to_messages,
)
from logflume.kafka.deliveries import Headers

COUNT = "letters"
"""Header of a batch: how many letters it holds."""

_SMALL_BYTES: Final = 64 << 10
"""Of one letter, key and headers included; larger ones go alone."""
_MOST_BYTES: Final = 1 << 20
_MOST_LETTERS: Final = 4096
_OVERHEAD_BYTES: Final = 64

_CODEC: Final = pa.Codec("zstd", compression_level=1)
_HEADER: Final = pa.struct([pa.field("name", pa.string(), False), pa.field("value", pa.binary())])
_TYPES: Final = {
    "offset": pa.int64(),
    "row": pa.int64(),
    "detail": pa.string(),
    "raw": pa.binary(),
    "key": pa.binary(),
    "headers": pa.list_(_HEADER),
}
_BROKEN: Final = (pa.ArrowException, OSError, ValueError, struct.error, MemoryError, NotImplementedError)

_Cause = tuple[str, str, str | None, str | None, str, str, int | None, str]


def pack(letters: Iterable[DeadLetter]) -> list[Message]:
    """Return the messages that hold ``letters``; small ones of one cause share a message."""
    messages: list[Message] = []
    open_: dict[_Cause, tuple[list[DeadLetter], list[int]]] = {}
    for letter in letters:
        size = len(letter.raw) + len(letter.detail) + attached_bytes(letter) + _OVERHEAD_BYTES
        if size > _SMALL_BYTES or letter.apart:
            messages += to_messages(letter)
            continue
        cause = (
            letter.reason,
            letter.stage,
            letter.tenant,
            letter.dataset,
            letter.topic,
            letter.topic_id,
            letter.partition,
            letter.edge,
        )
        group, total = open_.setdefault(cause, ([], [0]))
        group.append(letter)
        total[0] += size
        if total[0] >= _MOST_BYTES or len(group) >= _MOST_LETTERS:
            messages.append(_batch(group))
            del open_[cause]
    for group, _ in open_.values():
        messages += to_messages(group[0]) if len(group) == 1 else [_batch(group)]
    return messages


def count(headers: Headers) -> int | None:
    """Return how many letters a message says it holds, None when it is no batch; ``Poison`` for nonsense."""
    value = dict(headers).get(COUNT)
    if value is None:
        return None
    if not value.isdigit() or not 0 < len(value) < 6:
        raise Poison("dead-letter", f"not a dead letter: a batch of {value!r:.40}")
    return int(value)


def unpack(value: bytes, headers: Headers, about_: DeadLetter) -> list[DeadLetter]:
    """Return the letters of a batch in the order in which they were packed; ``about_`` is what its headers told.

    Raises ``Poison`` when it is no batch.
    """
    try:
        buffer = pa.py_buffer(value)
        with pa.ipc.open_stream(buffer) as reader:  # before a buffer is read: exotic types never get that far
            names = reader.schema.names
            if len(set(names)) != len(names) or any(_TYPES.get(each.name) != each.type for each in reader.schema):
                raise Poison("dead-letter", f"not a dead letter: a batch with the columns {names!r:.200}")
        check_weight(buffer, PART_BYTES)
        batch, _ = read_stream(value)
        batch.validate(full=True)
    except _BROKEN as error:
        raise Poison("dead-letter", f"not a dead letter: {type(error).__name__}: {str(error)[:300]}") from error
    rows = batch.num_rows
    if rows != count(headers):
        raise Poison("dead-letter", f"not a dead letter: a batch of {rows} that says {count(headers)}")
    columns: list[list[Any]] = [batch.column(name).to_pylist() if name in names else [None] * rows for name in _TYPES]
    return [
        replace(
            about_,
            offset=offset,
            row=row,
            detail=detail or "",
            raw=raw or b"",
            key=key,
            headers=tuple((each["name"], each["value"]) for each in own or ()),
        )
        for offset, row, detail, raw, key, own in zip(*columns, strict=True)
    ]


def _batch(letters: Sequence[DeadLetter]) -> Message:
    first = letters[0]
    columns: dict[str, list[Any]] = {
        "offset": [letter.offset for letter in letters],
        "row": [letter.row for letter in letters],
        "detail": [detail_text(letter) or None for letter in letters],
        "raw": [letter.raw for letter in letters],
        "key": [letter.key for letter in letters],
        "headers": [letter.headers or None for letter in letters],
    }
    arrays = {name: _array(values, _TYPES[name]) for name, values in columns.items()}
    batch = pa.RecordBatch.from_pydict({name: array for name, array in arrays.items() if array is not None})
    headers = [(COUNT, b"%d" % len(letters)), *about(first)]
    return Message(text_bytes(first.home), write_stream(batch, _CODEC), headers)


def _array(values: list[Any], type_: pa.DataType) -> pa.Array | None:
    if all(value is None for value in values):
        return None
    try:
        return pa.array(values, type_)
    except UnicodeEncodeError:  # a lone surrogate, in a detail or a header's name
        return pa.array([_clean(value) for value in values], type_)


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return text_bytes(value).decode()
    if isinstance(value, tuple):
        return tuple((text_bytes(name).decode(), content) for name, content in value)
    return value
