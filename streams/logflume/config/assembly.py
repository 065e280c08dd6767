"""Tenants' messages, put together to one generation: wholly, or not at all.

Y1  ``whole`` returns a configuration only when these very messages are those that the manifest is about: their number
    and their hash agree, and each can be read.
Y2  A tenant that did not change is neither decoded nor made again: following costs what changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from logflume.config.manifest import Manifest
from logflume.config.tenants import Codec
from logflume.errors import Misconfigured, Refused
from logflume.model.tenant import Configuration, Tenant, check_tenant_name


@dataclass(slots=True)
class _Entry:
    """One tenant's message; ``tenant`` once it was decoded."""

    value: bytes
    digest: bytes
    tenant: Tenant | None = None


class NotWhole(Refused):
    """These messages are not, or not all, what their manifest is about."""


class Assembly:
    """The messages as they are now, by tenant. Used by one thread; what ``whole`` returned stays as it is."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._entries: dict[str, _Entry] = {}
        self._hash = ""  # of the entries as they are; empty: not known

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """Names and values, in the order of the names."""
        return ((name, self._entries[name].value) for name in sorted(self._entries))

    def put(self, name: str, value: bytes | None) -> None:
        """Take in a tenant's message; None: the tenant is gone."""
        if value is None:
            self._entries.pop(name, None)
            self._hash = ""
            return
        digest = hashlib.sha256(value).digest()
        present = self._entries.get(name)
        if present is None or present.digest != digest:
            self._entries[name] = _Entry(value, digest)
            self._hash = ""

    def clear(self) -> None:
        """Forget all messages."""
        self._entries.clear()
        self._hash = ""

    @property
    def hash(self) -> str:
        """Of all messages, as a manifest has it."""
        if not self._hash:
            whole = hashlib.sha256()
            for name in sorted(self._entries):
                whole.update(name.encode() + b"\0" + self._entries[name].digest)
            self._hash = whole.hexdigest()
        return self._hash

    def tenants(self) -> Mapping[str, Tenant]:
        """Return the tenants. Raises ``Refused``, which names the tenant whose message can't be read."""
        return MappingProxyType({name: self._tenant(name, self._entries[name]) for name in sorted(self._entries)})

    def whole(self, manifest: Manifest) -> Configuration:
        """Return the generation that ``manifest`` is about (Y1). Raises ``NotWhole``, or ``Refused`` as ``tenants``."""
        self.check(manifest)
        return Configuration(manifest.generation, manifest.hash, self.tenants(), manifest.made_ns, manifest.retired)

    def check(self, manifest: Manifest) -> None:
        """Raise ``NotWhole`` unless the messages are, by number and hash, those that ``manifest`` is about."""
        if len(self._entries) != manifest.tenants:
            raise NotWhole(
                f"generation {manifest.generation} has {manifest.tenants} tenants and {len(self._entries)} are here: "
                "it is not whole"
            )
        if self.hash != manifest.hash:
            raise NotWhole(f"generation {manifest.generation} has another hash than its manifest says: it is not whole")

    def _tenant(self, name: str, entry: _Entry) -> Tenant:
        if entry.tenant is None:
            try:
                tenant = self._codec.decode(entry.value)
            except Refused as error:
                raise Refused(f"the message of tenant {name[:140]}: {error}") from error
            try:
                check_tenant_name(name)
            except Misconfigured as error:  # it becomes a part of paths
                raise Refused(f"the message of tenant {name[:140]!r}: {error}") from None
            if tenant.name != name:
                raise Refused(f"the message of tenant {name[:140]} is about {tenant.name[:140]}")
            entry.tenant = tenant
        return entry.tenant
