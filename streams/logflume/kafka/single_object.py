"""Avro's single-object encoding: values that say by which of the contract's schemas they are written.

Avro specification, "single-object encoding": marker, CRC-64-AVRO of the schema (little endian), the body.

Where workers of two releases read each other's words, a value goes with the schema by which it was written, in a
header (``packed``), and ``decode`` is given that. Avro then resolves the two: a field that only the writer knows is
passed over, one that only the reader knows has its default. Values that are kept go without: an older release must not
guess at them.
"""

from __future__ import annotations

import io
import zlib
from typing import Any, Final

import fastavro

from logflume import contract
from logflume.errors import Poison, Refused
from logflume.formats import avro_schema

_MARKER = b"\xc3\x01"
_MOST_SCHEMA_BYTES: Final = 64 * 1024
_MOST_OTHERS: Final = 16
"""Other releases' schemas that are remembered; more than two are an attack, or a very slow update."""


class SingleObject:
    """Writes and reads values of one schema."""

    def __init__(self, topics_dir: str, schema: str) -> None:
        """``schema``: its name among the contract's ``schemas/``; ``topics_dir`` as the setting."""
        self._name = schema
        self._schema = contract.avro_schema(schema, contract.find(topics_dir))
        self._head = _MARKER + avro_schema.fingerprint(self._schema)
        self._others: dict[bytes, Any] = {}
        self.packed = zlib.compress(fastavro.schema.to_parsing_canonical_form(self._schema).encode())
        """The schema in its canonical form, without words and defaults: some hundred bytes."""

    def encode(self, record: dict[str, Any]) -> bytes:
        """Return the message's value."""
        body = io.BytesIO()
        fastavro.schemaless_writer(body, self._schema, record)
        return self._head + body.getvalue()

    def decode(self, value: bytes, packed: bytes = b"") -> Any:
        """Read a message's value; ``packed``: the writer's schema, when the message has that with it.

        Raises ``Refused`` when it is written neither by the schema that this version knows, nor by that one, or when
        the two don't fit.
        """
        head, body = value[: len(self._head)], io.BytesIO(value[len(self._head) :])
        try:
            if head == self._head:
                return fastavro.schemaless_reader(body, self._schema, None)
            return fastavro.schemaless_reader(body, self._other(head, packed), self._schema)
        except (EOFError, ValueError, IndexError, fastavro.read.SchemaResolutionError) as error:
            raise Refused(f"a stored {self._name} cannot be read: {error}") from error

    def _other(self, head: bytes, packed: bytes) -> Any:
        """Return the writer's schema; it is a stranger's, and safe to read by only when ``parsed`` says so."""
        if head in self._others:
            return self._others[head]
        if not packed:
            raise Refused(
                f"a stored {self._name} begins with {head.hex()}, this version writes {self._head.hex()}; "
                "is a newer sink running in the same group? Run that version"
            )
        try:
            schema = avro_schema.parsed(zlib.decompressobj().decompress(packed, _MOST_SCHEMA_BYTES))
            if _MARKER + avro_schema.fingerprint(schema) != head:
                raise Refused(f"a stored {self._name} comes with a schema that it was not written by")
        except (zlib.error, RecursionError, Poison) as error:
            raise Refused(f"a stored {self._name} comes with a schema that cannot be read: {error}") from error
        if len(self._others) >= _MOST_OTHERS:
            self._others.clear()
        self._others[head] = schema
        return schema
