"""What a plain message is: a pure function of its bytes, headers included. ``docs/produce.md`` says it in words.

In this order, and of headers that stand twice the last:

1. ``__value_schema_id`` (Confluent's registry client): Avro, or JSON, by the registry's schema of that GUID.
2. ``schema-id``, 16 hexadecimal digits: a bare Avro body by the schema of that fingerprint.
3. ``content-type``: NDJSON is read line by line in any case; JSON never is anything else.
4. The first byte. No JSON begins with C3, 00 or 01: these are Avro's single-object encoding, and Confluent's framing
   with a number, or a GUID. Everything else is JSON.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from logflume.block import reasons
from logflume.errors import Poison
from logflume.formats.avro_schema import FINGERPRINT_BYTES, MARKER

TENANT: Final = "tenant"
DATASET: Final = "dataset"
CONTENT_TYPE: Final = "content-type"
SCHEMA_ID: Final = "schema-id"
CONFLUENT_ID: Final = "__value_schema_id"

FRAMES: Final = frozenset(b"\xc3\x00\x01")
"""First bytes of what is no JSON."""

_LINES: Final = frozenset(
    {"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"}
)
_JSON: Final = frozenset({"application/json", "text/json"})
_NUMBER_BYTES, _GUID_BYTES = 4, 16
_MOST_NUMBER: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Json:
    """JSON; ``lines``: each line a record in any case."""

    lines: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A value written by a schema: which, and where its body begins. ``id`` is a fingerprint, a number or a GUID."""

    id: bytes | int | str
    start: int


JSON: Final = Json()


def recognise(value: bytes, headers: Mapping[str, bytes | None]) -> Json | Written:
    """Return what a message's value is; ``Poison`` when it says so itself, and wrongly."""
    if headers.get(CONFLUENT_ID):
        return Written(_guid(headers[CONFLUENT_ID] or b"", CONFLUENT_ID), 0)
    if SCHEMA_ID in headers:
        return Written(_fingerprint(headers[SCHEMA_ID] or b""), 0)
    kind = (headers.get(CONTENT_TYPE) or b"").split(b";")[0].strip().lower().decode("latin-1")
    if kind in _JSON or kind in _LINES:
        return Json(kind in _LINES)
    return _by_first_bytes(value)


def _by_first_bytes(value: bytes) -> Json | Written:
    if value.startswith(MARKER):
        start = len(MARKER) + FINGERPRINT_BYTES
        return Written(_whole(value, start)[len(MARKER) : start], start)
    if value.startswith(b"\x00"):
        start = 1 + _NUMBER_BYTES
        number = int.from_bytes(_whole(value, start)[1:start], "big")
        if number > _MOST_NUMBER:
            raise Poison(reasons.UNKNOWN_SCHEMA, f"{number} is no number of a schema registry's: they have 31 bits")
        return Written(number, start)
    if value.startswith(b"\x01"):
        start = 1 + _GUID_BYTES
        return Written(_guid(_whole(value, start)[:start], "the value"), start)
    return JSON


def _whole(value: bytes, start: int) -> bytes:
    if len(value) < start:
        raise Poison(reasons.NOT_AVRO, f"{len(value)} bytes; the frame alone has {start}")
    return value


def _guid(raw: bytes, where: str) -> str:
    """Confluent's header and framing of a GUID: 01 and its 16 bytes."""
    if len(raw) != 1 + _GUID_BYTES or raw[0] != 1:
        raise Poison(reasons.UNKNOWN_SCHEMA, f"{where} is {raw[:40].hex()}, not 01 and the 16 bytes of a GUID")
    return str(uuid.UUID(bytes=raw[1:]))


def _fingerprint(raw: bytes) -> bytes:
    try:
        found = bytes.fromhex(raw.decode("ascii"))
    except ValueError:
        found = b""
    if len(found) != FINGERPRINT_BYTES:
        raise Poison(reasons.UNKNOWN_SCHEMA, f"header {SCHEMA_ID} is {raw[:40]!r}, not 16 hexadecimal digits")
    return found
