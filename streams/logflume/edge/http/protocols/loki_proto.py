"""Loki's push in protobuf, packed by snappy (logproto.PushRequest). As in ``otlp_proto`` the frame is walked here, and
each entry is parsed by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from logflume.block import reasons
from logflume.edge.http.protocols import protobuf
from logflume.edge.http.protocols.gathering import Gathering, Limits
from logflume.edge.http.protocols.loki_entry import INT64, Entry, Stream, labels
from logflume.edge.http.refusal import Refusal
from logflume.errors import Poison

_MOST_ENTRY_BYTES: Final = 4 << 20
_MOST_LABEL_BYTES: Final = 1 << 20

_OBJECTS: Final = 40
"""Bytes of protobuf's messages and of ours for a byte of a hostile one, such as thousands of empty labels."""

_MOST_RATIO: Final = 24
"""Snappy's densest element copies 64 bytes by three; a header that claims more lies."""

# Field numbers of PushRequest and Stream.
_STREAMS: Final = 1
_LABELS, _ENTRIES = 1, 2


def unpack(body: bytes, limits: Limits) -> bytes:
    """Return a body unpacked by snappy's raw format. Raises ``Refusal``; allocates only what the body can hold."""
    try:
        size = cramjam.snappy.decompress_raw_len(body)
        if size > limits.most_bytes:
            raise Refusal(413, f"the body unpacks to {size} bytes; {limits.most_bytes} are the most")
        if size > len(body) * _MOST_RATIO:
            raise Refusal(400, f"{len(body)} bytes of snappy can't hold the {size} that they claim to")
        limits.reserve(2 * size)  # cramjam's buffer, and ours
        return bytes(cramjam.snappy.decompress_raw(body, output_len=size))
    except cramjam.DecompressionError as error:
        raise Refusal(400, f"the body is not packed by snappy: {str(error)[:200]}") from None


def streams(body: bytes, gathering: Gathering) -> Iterator[Stream]:
    """Yield the streams of an unpacked body, a step of ``gathering`` each. Raises ``Refusal`` for a broken frame."""
    for number, view in protobuf.fields(memoryview(body), gathering):
        if number != _STREAMS:
            continue
        gathering.step()
        text = b""
        for part, found in protobuf.fields(view, gathering):
            if part == _LABELS:
                if len(found) > _MOST_LABEL_BYTES:
                    raise Refusal(413, f"a stream's labels may have {_MOST_LABEL_BYTES} bytes")
                text = bytes(found)
        try:
            yield Stream(labels(text.decode()), _entries(view, gathering))
        except UnicodeDecodeError as error:
            raise Refusal(400, f"labels: {error}") from None
        except Poison as poison:
            raise Refusal(400, poison.detail) from None


def _entries(view: memoryview, gathering: Gathering) -> Iterator[Entry | Poison]:
    for part, entry in protobuf.fields(view, gathering):
        if part != _ENTRIES:
            continue
        try:
            gathering.objects(len(entry), _OBJECTS)
            yield _entry(entry)
        except Poison as poison:
            yield poison


def _entry(view: memoryview) -> Entry:
    if len(view) > _MOST_ENTRY_BYTES:
        raise Poison(reasons.TOO_LARGE, f"an entry of {len(view)} bytes; {_MOST_ENTRY_BYTES} are the most")
    try:
        entry = _EntryMessage.FromString(view)
    except DecodeError as error:
        raise Poison(reasons.MALFORMED, f"no entry: {str(error)[:200]}") from None
    time = entry.timestamp
    ns = time.seconds * 10**9 + time.nanos
    if ns not in INT64:
        raise Poison(reasons.MALFORMED, f"an entry's time, {time.seconds} s, is beyond 64 bits of nanoseconds")
    metadata = {pair.name: pair.value for pair in entry.structured_metadata}
    return Entry(ns, entry.line, metadata)


def _entry_message() -> Any:
    """Build the class of logproto.EntryAdapter, which no package ships, from its description."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="logflume/loki_push.proto", package="logflume.loki", syntax="proto3")
    for name, fields in {
        "Timestamp": (("seconds", 1, field.TYPE_INT64, ""), ("nanos", 2, field.TYPE_INT32, "")),
        "LabelPair": (("name", 1, field.TYPE_STRING, ""), ("value", 2, field.TYPE_STRING, "")),
        "Entry": (
            ("timestamp", 1, field.TYPE_MESSAGE, "Timestamp"),
            ("line", 2, field.TYPE_STRING, ""),
            ("structured_metadata", 3, field.TYPE_MESSAGE, "LabelPair"),
        ),
    }.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, type_name in fields:
            message.field.add(
                name=field_name,
                number=number,
                type=kind,
                type_name=f".logflume.loki.{type_name}" if type_name else None,
                label=field.LABEL_REPEATED if type_name == "LabelPair" else field.LABEL_OPTIONAL,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("logflume.loki.Entry"))


_EntryMessage: Final = _entry_message()
