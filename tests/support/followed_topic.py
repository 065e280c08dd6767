"""Generations as messages, and a topic ``config`` in memory that everything may happen to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from logflume.clock import ManualClock
from logflume.config import manifest as manifests
from logflume.config import tenants as codecs
from logflume.config.assembly import Assembly
from logflume.config.feed import Anew, Take
from logflume.config.following import Following
from logflume.config.guard import Limits
from logflume.config.last_good import LastGood
from logflume.config.library import Entry
from logflume.config.manifest import KEY, Accepted, Manifest, key_of
from logflume.errors import Retryable
from logflume.model import Tenant, TenantDataset

CODEC = codecs.Codec()
MANIFESTS = manifests.Codec()
LIMITS = Limits(shrink=0.2, growth=2.0)

Message = tuple[bytes, bytes | None]


def tenant(name: str, principal: str = "") -> Tenant:
    """A tenant that wants ``events``; one of another ``principal`` has another message."""
    return Tenant(name, MappingProxyType({"events": TenantDataset("events", 30)}), principal=principal)


@dataclass(frozen=True)
class Generation:
    """A whole generation, as a publisher would send it."""

    manifest: Manifest
    values: dict[str, bytes]

    @property
    def messages(self) -> list[Message]:
        """All of it, the manifest last."""
        found: list[Message] = [(key_of(name), value) for name, value in self.values.items()]
        return [*found, (KEY, MANIFESTS.encode(self.manifest))]

    def assembly(self) -> Assembly:
        """As the store gives it."""
        found = Assembly(CODEC)
        for name, value in self.values.items():
            found.put(name, value)
        return found


def generation(number: int, names: Sequence[str], accepted: Sequence[Accepted] = (), principal: str = "") -> Generation:
    """Return generation ``number`` of these tenants."""
    values = {name: CODEC.encode(tenant(name, principal)) for name in names}
    messages = Assembly(CODEC)
    for name, value in values.items():
        messages.put(name, value)
    made = Manifest(number, messages.hash, len(values), len(values), 0, 1, number, "me", "why", tuple(accepted))
    return Generation(made, values)


@dataclass
class FakeTopic:
    """The topic: what stands on it, and what may become of it."""

    log: list[Message] = field(default_factory=list)
    start: int = 0
    id: int = 0
    away: bool = False

    def publish(self, new: Generation) -> None:
        """As ``config apply``: what differs, tombstones, the manifest last."""
        present: dict[bytes, bytes | None] = dict(self.log[self.start :])
        for key, value in present.items():
            name = manifests.tenant_of(key)
            if name is not None and name not in new.values and value is not None:
                self.log.append((key, None))
        self.log += [(key, value) for key, value in new.messages if present.get(key) != value]

    def empty(self) -> None:
        """As DeleteRecords."""
        self.start = len(self.log)

    def make_again(self) -> None:
        """Deleted, and created with the same name."""
        self.log, self.start, self.id = [], 0, self.id + 1

    def feed(self) -> FakeFeed:
        """Read it from its start."""
        if self.away:
            raise Retryable("nobody there")
        return FakeFeed(self, self.start, self.id)


@dataclass
class FakeFeed:
    """``config.feed.Feed`` of a topic in memory."""

    topic: FakeTopic
    at: int
    id: int
    told: bool = False

    @property
    def current(self) -> bool:
        """Kafka answers."""
        return not self.topic.away

    def poll(self, seconds: float, take: Take) -> bool:
        """Give all that is there."""
        if self.topic.away:
            return False
        if self.topic.id != self.id or self.at > len(self.topic.log):
            raise Anew("another topic")
        self.at = max(self.at, self.topic.start)
        new = self.topic.log[self.at :]
        for key, value in new:
            take(key, value)
        self.at = len(self.topic.log)
        end, self.told = bool(new) or not self.told, True
        return end

    def close(self) -> None:
        """Nothing to do."""


@dataclass
class FakeShelf:
    """The store's generations."""

    kept: dict[int, Generation] = field(default_factory=dict)
    away: bool = False
    asked: list[int] = field(default_factory=list)

    def entries(self) -> list[Entry]:
        """All of them were published."""
        if self.away:
            raise Retryable("the store is away")
        return [Entry(number, True) for number in sorted(self.kept)]

    def messages(self, generation: int) -> tuple[Manifest, Assembly]:
        """As the library."""
        self.asked.append(generation)
        found = self.kept[generation]
        return found.manifest, found.assembly()


def following(
    topic: FakeTopic,
    folder: Path,
    *,
    clock: ManualClock | None = None,
    shelf: FakeShelf | None = None,
    took: Callable[[Any], None] = lambda taken: None,
) -> Following:
    """Return a worker's, begun, on these; ten seconds of patience."""
    found = Following(
        LIMITS,
        clock or ManualClock(),
        make_feed=topic.feed,
        shelf=shelf,
        disk=LastGood(folder),
        patience_seconds=10,
        took=took,
    )
    found.begin()
    return found
