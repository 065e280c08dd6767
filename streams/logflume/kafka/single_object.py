"""Avro's single-object encoding: values that say by which of the contract's schemas they are written.

Avro specification, "single-object encoding": marker, CRC-64-AVRO of the schema (little endian), the body.
"""

from __future__ import annotations

import io
from typing import Any

import fastavro

from logflume import contract
from logflume.errors import Refused
from logflume.formats import avro_schema

_MARKER = b"\xc3\x01"


class SingleObject:
    """Writes and reads values of one schema."""

    def __init__(self, topics_dir: str, schema: str) -> None:
        """``schema``: its name among the contract's ``schemas/``; ``topics_dir`` as the setting."""
        self._name = schema
        self._schema = contract.avro_schema(schema, contract.find(topics_dir))
        self._head = _MARKER + avro_schema.fingerprint(self._schema)

    def encode(self, record: dict[str, Any]) -> bytes:
        """Return the message's value."""
        body = io.BytesIO()
        fastavro.schemaless_writer(body, self._schema, record)
        return self._head + body.getvalue()

    def decode(self, value: bytes) -> Any:
        """Read a message's value; raises ``Refused`` when it is not written by the schema that this version knows."""
        head, body = value[: len(self._head)], io.BytesIO(value[len(self._head) :])
        if head != self._head:
            raise Refused(
                f"a stored {self._name} begins with {head.hex()}, this version writes {self._head.hex()}; "
                "is a newer sink running in the same group? Run that version"
            )
        try:
            return fastavro.schemaless_reader(body, self._schema, None)
        except (EOFError, ValueError, IndexError) as error:
            raise Refused(f"a stored {self._name} cannot be read: {error}") from error
