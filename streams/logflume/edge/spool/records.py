"""What the records of a spool say: messages, what was sent and where, what is done, and all of it summed up. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from logflume.edge.spool.message import Message


class Sent(NamedTuple):
    """Where message ``number`` was sent to, and from which offset on it must be if Kafka took it."""

    number: int
    topic: str
    topic_id: str
    partition: int
    look_from: int
    tag: str
    """What it was called there: the value of its header ``spool``."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that must be known of the segments before: ``next`` number, the numbers below it that are not done
    (``left``: first and last of each range), where those were sent that may be in Kafka, and the marks.
    """

    next: int
    left: tuple[tuple[int, int], ...]
    sent: tuple[Sent, ...]
    marks: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Group:
    """What came in at once. ``sent`` when the messages were on their way before they came here."""

    messages: tuple[Message, ...]
    marks: Mapping[str, bytes]
    sent: tuple[Sent, ...]


# Bytes stand in JSON as Latin-1: every byte is one character, and ASCII stays readable.


def pack_group(messages: Sequence[Message], marks: Mapping[str, bytes], sent: Sequence[Sent] = ()) -> bytes:
    """A group as a payload: a line of JSON about it, then the messages' values one after the other."""
    about = {
        "marks": _texts(marks),
        "sent": [list(each) for each in sent],
        "messages": [_about(message) for message in messages],
    }
    return b"\n".join((_dump(about), *[message.value for message in messages], b""))


def unpack_group(payload: bytes, *, values: bool = True) -> Group:
    """The group that ``pack_group`` packed; without ``values``, its messages are left out."""
    end = payload.index(b"\n")
    about = json.loads(payload[:end])
    messages = []
    at = end + 1
    for each in about["messages"] if values else ():
        messages.append(_message(each, payload[at : at + each["size"]]))
        at += each["size"] + 1
    return Group(tuple(messages), _bytes(about["marks"]), tuple(Sent(*each) for each in about["sent"]))


def pack_sent(sent: Sequence[Sent]) -> bytes:
    """A note that messages are about to be sent."""
    return _dump([list(each) for each in sent])


def unpack_sent(payload: bytes) -> list[Sent]:
    """The note that ``pack_sent`` packed."""
    return [Sent(*each) for each in json.loads(payload)]


def pack_checkpoint(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as a payload."""
    about = {
        "next": checkpoint.next,
        "left": [list(each) for each in checkpoint.left],
        "sent": [list(each) for each in checkpoint.sent],
        "marks": _texts(checkpoint.marks),
    }
    return _dump(about)


def unpack_checkpoint(payload: bytes) -> Checkpoint:
    """The checkpoint that ``pack_checkpoint`` packed."""
    about = json.loads(payload)
    left = tuple((first, last) for first, last in about["left"])
    return Checkpoint(about["next"], left, tuple(Sent(*each) for each in about["sent"]), _bytes(about["marks"]))


def _about(message: Message) -> dict[str, Any]:
    return {
        "topic": message.topic,
        "key": _text(message.key),
        "headers": [[name, _text(value)] for name, value in message.headers],
        "dataset": message.dataset,
        "rows": message.rows,
        "raw_bytes": message.raw_bytes,
        "size": len(message.value),
    }


def _message(about: Mapping[str, Any], value: bytes) -> Message:
    return Message(
        topic=about["topic"],
        key=_latin(about["key"]),
        value=value,
        headers=[(name, _latin(each)) for name, each in about["headers"]],
        dataset=about["dataset"],
        rows=about["rows"],
        raw_bytes=about["raw_bytes"],
    )


def _texts(marks: Mapping[str, bytes]) -> dict[str, str]:
    return {name: value.decode("latin-1") for name, value in marks.items()}


def _bytes(marks: Mapping[str, str]) -> dict[str, bytes]:
    return {name: value.encode("latin-1") for name, value in marks.items()}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


def _latin(value: str | None) -> bytes | None:
    return None if value is None else value.encode("latin-1")


def _dump(about: Any) -> bytes:
    return json.dumps(about, separators=(",", ":")).encode()
