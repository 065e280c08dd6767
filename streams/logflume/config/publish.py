"""The publisher: makes a generation of some tenants, and puts it in force for everybody at once.

P1  A generation follows the one that its author looked at, or is refused: of two at once, one is told to plan again.
P2  It is never blank, nor suddenly another, unless its author named the number of pairs (``guard``).
P3  It comes in force whole: tenants, markers of routing and, last, the manifest are one Kafka transaction, which only
    the last process to take over the publisher's name can commit.
P4  Its number was never used before. It is claimed in the object store, with everything, before it is in force.
P5  A crash leaves the old one in force or the new one. What lacks then is mended by the next: it writes whatever
    differs on the topic, and tells the store what is in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from logflume import crash
from logflume.block import marker
from logflume.clock import Clock
from logflume.config import guard, inforce, manifest, merge, shards
from logflume.config.assembly import Assembly
from logflume.config.inforce import InForce
from logflume.config.library import Library
from logflume.config.log import PARTITION
from logflume.config.manifest import Accepted, Manifest
from logflume.config.tenants import Codec
from logflume.errors import Misconfigured, Refused, Retryable
from logflume.kafka import client, topics
from logflume.kafka.exclusive import Exclusive, InDoubt
from logflume.model.tenant import Configuration, Tenant
from logflume.settings import Settings

_OVERHEAD_BYTES = 1024
"""Of a message in Kafka's log, beside key and value."""


class Overtaken(Refused):
    """Another generation came in force since the author looked."""


@dataclass(frozen=True)
class Order:
    """What to publish. ``base``: the generation that the author looked at, 0 for none; jobs may lack ids.

    ``removal_of`` and ``growth_of``: how many active pairs the author says go, or come; 0: they say nothing.
    """

    base: int
    tenants: Mapping[str, Tenant]
    who: str
    why: str = ""
    removal_of: int = 0
    growth_of: int = 0


def limits(settings: Settings) -> guard.Limits:
    """Return the guards' limits as they are set."""
    return guard.Limits(settings.config_shrink, settings.config_growth)


def publish(settings: Settings, order: Order, clock: Clock) -> Manifest:
    """Put a new generation in force, and return its manifest.

    Raises ``Refused`` (a guard, or ``Overtaken``), ``Misconfigured`` for what Kafka would never take, or ``Retryable``,
    whose message says so if the generation is in force all the same.
    """
    library, admin = Library.from_settings(settings), client.admin(settings)
    name = f"{settings.topic_prefix}config"
    with Exclusive(settings, name) as exclusive:
        now = inforce.look(settings, admin, library, decided=True)
        mend(library, now)
        publication = _Publication(settings, admin, library, now, order, clock.now_ns())
        try:
            made = publication.run(exclusive)
        except InDoubt as doubt:
            made = _settled(settings, admin, library, publication.generation, name, doubt)
    crash.point("config.committed")
    try:
        library.publish(made)
    except Retryable as error:
        raise Retryable(
            f"generation {made.generation} is in force, but the object store could not be told ({error}); "
            "`logflume config apply` again tells it"
        ) from error
    return made


def mend(library: Library, now: InForce) -> None:
    """Tell the store of the generation that the topic has, if its publisher could not (P5)."""
    if not now.unpublished or now.manifest is None or now.configuration is None:
        return
    messages = [
        (tenant, value) for key, value in now.log.values.items() if (tenant := manifest.tenant_of(key)) is not None
    ]
    library.claim(now.manifest, sorted(messages))  # False: it is there, only not marked
    library.publish(now.manifest)


def _settled(
    settings: Settings, admin: AdminClient, library: Library, generation: int, name: str, doubt: InDoubt
) -> Manifest:
    """Find out whether a transaction of which nothing was heard was committed: taking the name over decides it."""
    with Exclusive(settings, name):
        found = inforce.look(settings, admin, library, decided=True)
    if found.log.manifest is None or found.log.manifest.generation != generation:
        raise Retryable(f"generation {generation} was not published: {doubt}") from doubt
    return found.log.manifest


class _Publication:
    """One generation on its way; ``run`` is called once."""

    def __init__(
        self, settings: Settings, admin: AdminClient, library: Library, now: InForce, order: Order, made_ns: int
    ) -> None:
        if now.generation != order.base:  # P1
            raise Overtaken(
                f"generation {now.generation} is in force and the change was made from {order.base}: another was "
                "applied meanwhile; plan again"
            )
        self.generation = now.claimed + 1  # P4
        self._settings, self._library, self._now, self._order, self._made_ns = settings, library, now, order, made_ns
        tenants, self._next_job = merge.numbered(order.tenants, now.next_job)
        _check_distinct(tenants)
        after = Configuration(self.generation, "", tenants)
        guard.check(  # P2
            now.configuration,
            after,
            limits(settings),
            removal_of=order.removal_of,
            growth_of=order.growth_of,
        )
        self._pairs = after.pairs
        self._routing = shards.plan(settings, admin, now.configuration, tenants)
        self._codec = Codec(settings.topics_dir)
        self._most_bytes = _most_bytes(settings) - _OVERHEAD_BYTES
        self._topic = topics.config_topic(settings)

    def run(self, exclusive: Exclusive) -> Manifest:
        """Store it, produce it, commit it (P3)."""
        messages = Assembly(self._codec)
        for tenant in self._routing.tenants.values():  # before the transaction: readers wait while it is open
            messages.put(tenant.name, self._encoded(tenant))
        exclusive.begin()
        tenants, retired = self._routing.begun(self.generation, self._mark(exclusive))
        for name, tenant in tenants.items():
            if tenant is not self._routing.tenants[name]:
                messages.put(name, self._encoded(tenant))
        made = Manifest(
            generation=self.generation,
            hash=messages.hash,
            tenants=len(messages),
            pairs=len(self._pairs),
            jobs=sum(len(tenant.jobs) for tenant in tenants.values()),
            next_job=self._next_job,
            made_ns=self._made_ns,
            who=self._order.who,
            why=self._order.why,
            accepted=self._accepted(),
            retired=retired,
        )
        if not self._library.claim(made, messages):
            raise Overtaken(f"the number {self.generation} was taken by another publisher meanwhile; plan again")
        crash.point("config.claimed")
        self._produce(exclusive, made, messages)
        exclusive.wait()
        crash.point("config.transaction")
        exclusive.commit()
        return made

    def _mark(self, exclusive: Exclusive) -> dict[tuple[str, int], int]:
        """Produce the markers of new routes, and return where they landed."""
        offsets: dict[tuple[str, int], int] = {}
        for place in self._routing.markers():
            headers = marker.headers(self.generation)

            def landed(offset: int, place: tuple[str, int] = place) -> None:
                offsets[place] = offset

            exclusive.send(*place, None, b"", headers, landed)
        exclusive.wait()
        return offsets

    def _produce(self, exclusive: Exclusive, made: Manifest, messages: Assembly) -> None:
        """Write what differs from what the topic has, whoever wrote that; the manifest last."""
        present = self._now.log.values
        wanted = {manifest.key_of(name): value for name, value in messages}
        for key, value in wanted.items():
            if present.get(key) != value:
                exclusive.send(self._topic, PARTITION, key, value)
        for key in present:
            if key not in wanted and key != manifest.KEY:
                exclusive.send(self._topic, PARTITION, key, None)
        exclusive.send(self._topic, PARTITION, manifest.KEY, manifest.Codec(self._settings.topics_dir).encode(made))

    def _encoded(self, tenant: Tenant) -> bytes:
        value = self._codec.encode(tenant)
        if len(value) > self._most_bytes:
            raise Misconfigured(
                f"tenant {tenant.name} is {len(value):,} bytes as a message and the topic {self._topic} takes "
                f"{self._most_bytes:,}: it has too many jobs ({len(tenant.jobs)}) or tokens ({len(tenant.tokens)})"
            )
        return value

    def _accepted(self) -> tuple[Accepted, ...]:
        """What was accepted before, and what this order named rightly: a worker that missed some adds them up.

        Where no pair goes or comes, the numbers are those of a worker that refuses what is in force already.
        """
        before = self._now.configuration.pairs if self._now.configuration else frozenset()
        gone, new = len(before - self._pairs), len(self._pairs - before)
        order = self._order
        removal = order.removal_of if order.removal_of == gone or not (gone or new) else 0
        growth = order.growth_of if order.growth_of == new or not (gone or new) else 0
        earlier = self._now.manifest.accepted if self._now.manifest else ()
        if not removal and not growth:
            return earlier
        return manifest.last((*earlier, Accepted(self.generation, removal, growth, order.who, order.why)))


def _check_distinct(tenants: Mapping[str, Tenant]) -> None:
    """Raise ``Misconfigured`` for a token or principal of two tenants, wherever they come from."""
    tokens: dict[str, str] = {}
    principals: dict[str, str] = {}
    for tenant in tenants.values():
        for token in tenant.tokens:
            if (other := tokens.setdefault(token.id, tenant.name)) != tenant.name:
                raise Misconfigured(f"the token {token.id} is one of {other} and of {tenant.name}: make a new one")
        if tenant.principal and (other := principals.setdefault(tenant.principal, tenant.name)) != tenant.name:
            raise Misconfigured(f"{tenant.principal} is the principal of {other} and of {tenant.name}")


def _most_bytes(settings: Settings) -> int:
    name = topics.config_topic(settings)
    declared = next(topic for topic in topics.declared(settings) if topic.name == name)
    return int(declared.config["max.message.bytes"])
