"""Schemas of a schema registry, by the ids that producers write into their messages.

A registry never changes what an id stands for; so whoever has found a schema may keep it. Only the client of
confluent-kafka is used, which also understands ``mock://`` in tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from logflume.block import reasons
from logflume.errors import Misconfigured, Poison, Retryable

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import SchemaRegistryClient

_TIMEOUT_SECONDS = 5.0
_MOST_REFERENCES = 100

_NO_SUCH = frozenset({400, 404, 422})
"""What registries answer about an id that they do not know, or can't make sense of; they will answer it again."""


class Registered(NamedTuple):
    """A schema as it is registered: ``kind`` is AVRO, JSON or PROTOBUF."""

    kind: str
    text: str
    references: tuple[str, ...]
    """Texts of the schemas that it refers to, those that others refer to first."""


class Registry(Protocol):
    """Where schemas are looked up.

    Both raise ``Poison`` when the registry knows no such schema, and ``Retryable`` when it can't be asked.
    """

    def by_id(self, number: int) -> Registered:
        """Return the schema with that number."""
        ...

    def by_guid(self, guid: str) -> Registered:
        """Return the schema with that global id, a UUID in its usual spelling."""
        ...


class ConfluentRegistry:
    """A registry that speaks the protocol of Confluent's, over HTTP. For one thread at a time."""

    def __init__(self, client: SchemaRegistryClient) -> None:
        self._client = client

    def by_id(self, number: int) -> Registered:
        """See ``Registry``."""
        return self._found(f"id {number}", lambda: self._client.get_schema(number))

    def by_guid(self, guid: str) -> Registered:
        """See ``Registry``."""
        return self._found(f"guid {guid}", lambda: self._client.get_schema_by_guid(guid))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _found(self, what: str, ask: Callable[[], Any]) -> Registered:
        try:
            schema = ask()
            references: dict[str, str] = {}
            self._refer(schema, references)
        except Poison:
            raise
        except Exception as error:  # whatever its HTTP client raises when nobody answers, or answers nonsense
            if getattr(error, "http_status_code", None) in _NO_SUCH:  # of a SchemaRegistryError
                raise Poison(reasons.UNKNOWN_SCHEMA, f"the schema registry has no schema of {what}") from error
            raise Retryable(
                f"the schema registry can't be asked for {what}: {type(error).__name__}: {error}"
            ) from error
        return Registered(schema.schema_type or "AVRO", schema.schema_str or "", tuple(references.values()))

    def _refer(self, schema: Any, found: dict[str, str]) -> None:
        """Gather the texts of what ``schema`` refers to, the innermost first."""
        for reference in schema.references or ():
            if reference.name in found:
                continue
            if len(found) >= _MOST_REFERENCES:
                raise Poison(reasons.UNKNOWN_SCHEMA, f"the schema refers to more than {_MOST_REFERENCES} others")
            inner = self._client.get_version(reference.subject, reference.version).schema
            self._refer(inner, found)
            found[reference.name] = inner.schema_str or ""


def connect(url: str) -> ConfluentRegistry:
    """Return the registry at ``url`` (a user and password may stand in it); nobody is asked yet."""
    try:
        # Whoever asks again does so by himself, and says so: the client's own attempts would be silent.
        conf = {"url": url, "max.retries": 0}
        if not url.startswith("mock://"):
            conf["timeout"] = _TIMEOUT_SECONDS
        from confluent_kafka.schema_registry import SchemaRegistryClient  # late: most have none, and it takes a second

        return ConfluentRegistry(SchemaRegistryClient.new_client(conf))
    except (ValueError, TypeError) as error:
        raise Misconfigured(f"LOGFLUME_SORT_SCHEMA_REGISTRY is no http or https URL: {type(error).__name__}") from error
