"""How values that name their schema are read: the contract's schemas by fingerprint, a registry's by number or GUID."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from logflume.block import reasons
from logflume.errors import Misconfigured, Poison
from logflume.formats import avro_schema
from logflume.formats.avro_body import BodyReader
from logflume.kafka.registry import Registered, Registry
from logflume.model import Dataset

Id = bytes | int | str
"""A fingerprint, a number of the registry, a GUID of the registry."""

_KEPT: Final = 1_000
_MOST_UNKNOWN: Final = 256
"""Unknown ids of one unit that the registry is asked for: a flood of them, each another, must not hold up the others.
gRPC's frames, say, begin as Confluent's do, with their length for a number."""


class Schemas:
    """The readers of one dataset's values; for one thread at a time.

    S1  An id is read the same way for ever: the contract's schemas are files, and a registry never changes an id.
    S2  ``reader`` raises ``Poison`` for what nobody knows, ``Retryable`` when the registry can't say; only then.
    S3  An id is unknown when the registry said so *after* ``begin``, so after the unit's messages were sent: a producer
        who registers his schema first is never refused, whoever used its number before. Only in a unit with more than
        ``_MOST_UNKNOWN`` unknown ids one that was never seen counts as unknown without being asked for.
    """

    def __init__(
        self,
        ds: Dataset,
        texts: Iterable[str] = (),
        registry: Registry | None = None,
    ) -> None:
        """``texts``: schemas that count beside the dataset's own, such as its older ones."""
        self._ds = ds
        self._registry = registry
        self._own: dict[bytes, BodyReader] = {}
        self._found: OrderedDict[Id, BodyReader | None] = OrderedDict()
        self._unknown: dict[Id, Poison] = {}
        for text in (avro_schema.of_dataset(ds), *texts):
            schema = avro_schema.parsed(text)
            self._own.setdefault(avro_schema.fingerprint(schema), BodyReader(ds, schema))

    def begin(self) -> None:
        """Begin a unit: what was unknown may have been registered since (S3)."""
        self._unknown.clear()

    def reader(self, id: Id) -> BodyReader | None:
        """Return what reads the bodies of that schema; None when they are JSON."""
        if isinstance(id, bytes):
            if id not in self._own:
                raise Poison(
                    reasons.UNKNOWN_SCHEMA,
                    f"no schema of dataset {self._ds.name} has the fingerprint {id.hex()}; "
                    f"it has {', '.join(own.hex() for own in self._own)}",
                )
            return self._own[id]
        if id not in self._found:
            self._found[id] = self._asked(id)
            if len(self._found) > _KEPT:
                self._found.popitem(last=False)
        return self._found[id]

    def _asked(self, id: int | str) -> BodyReader | None:
        said = self._unknown.get(id)
        if said is not None:
            raise Poison(said.reason, said.detail)
        if len(self._unknown) >= _MOST_UNKNOWN:
            raise Poison(reasons.UNKNOWN_SCHEMA, f"schema {id} was not asked for: {_MOST_UNKNOWN} others are unknown")
        try:
            return self._read(self._looked_up(id))
        except Poison as poison:
            self._unknown[id] = poison
            raise

    def _looked_up(self, id: int | str) -> Registered:
        if self._registry is None:
            raise Poison(
                reasons.UNKNOWN_SCHEMA,
                f"it names schema {id} of a schema registry, and none is set (LOGFLUME_SORT_SCHEMA_REGISTRY)",
            )
        return self._registry.by_id(id) if isinstance(id, int) else self._registry.by_guid(id)

    def _read(self, found: Registered) -> BodyReader | None:
        if found.kind == "JSON":
            return None
        if found.kind != "AVRO":
            raise Poison(reasons.UNKNOWN_SCHEMA, f"it is written in {found.kind}; Avro and JSON are read")
        named: dict[str, Any] = {}
        for text in found.references:
            avro_schema.added(text, named)
        return BodyReader(self._ds, avro_schema.parsed(found.text, named))


def of_contract(ds: Dataset, folder: Path, registry: Registry | None = None) -> Schemas:
    """Return the dataset's schemas in a contract folder: ``schemas/datasets/<dataset>.avsc``, ``<dataset>.*.avsc``.

    Raises:
        Misconfigured: a file holds no schema that values can be read by.
    """
    texts = []
    for path in files(ds, folder):
        text = path.read_text(encoding="utf-8")
        try:
            avro_schema.parsed(text)
        except Poison as poison:
            raise Misconfigured(f"{path}: {poison.detail}") from poison
        texts.append(text)
    return Schemas(ds, texts, registry)


def files(ds: Dataset, folder: Path) -> list[Path]:
    """Return the schema files of a dataset in a contract folder, by name."""
    home = folder / "schemas" / "datasets"
    return sorted({*home.glob(f"{ds.name}.avsc"), *home.glob(f"{ds.name}.*.avsc")})
