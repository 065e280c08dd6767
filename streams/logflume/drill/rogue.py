"""A publisher with a bug: it writes to the topic ``config`` what no guard of the real one has seen.

Every worker must refuse each of these by itself, and stay with the last good generation. All of it is made of what the
topic has now, so it is as near to a real generation as a wrong one can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from logflume.clock import SystemClock
from logflume.config import log as logs
from logflume.config import manifest as manifests
from logflume.config.assembly import Assembly
from logflume.config.log import PARTITION, Log
from logflume.config.manifest import Manifest
from logflume.config.tenants import Codec
from logflume.errors import Retryable
from logflume.kafka import client, topics
from logflume.settings import Settings

_SECONDS = 30.0
_WHO = "a publisher with a bug"


class Rogue:
    """See above. ``Retryable`` when Kafka does not take it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: AdminClient = client.lasting_admin(settings)
        self._topic = topics.config_topic(settings)
        self._manifests = manifests.Codec(settings.topics_dir)

    def blank(self) -> int:
        """Take every tenant away, with a manifest that is right about that; returns the generation's number."""
        return self._kept({})

    def shrunk(self, share: float) -> int:
        """Keep only a ``share`` of the tenants, with a manifest that is right about that."""
        tenants = _tenants(self._log())
        few = sorted(tenants)[: int(len(tenants) * share)]
        return self._kept({key: tenants[key] for key in few})

    def half(self) -> None:
        """Take every second tenant away, and die before the manifest."""
        self._send(dict.fromkeys(sorted(_tenants(self._log()))[::2]))

    def wrong_hash(self) -> int:
        """Write a manifest of the next generation whose hash is that of nothing here."""
        log = self._log()
        made = self._next(log, self._assembly(_tenants(log)))
        return self._publish({}, replace(made, hash="0" * 64))

    def undecodable(self) -> int:
        """Write garbage as a tenant's message, with a manifest that is right about the garbage."""
        tenants = _tenants(self._log())
        garbage = {sorted(tenants)[0]: b"\xc3\x01 no such schema \x00\xff"}
        log = self._log()
        return self._publish(garbage, self._next(log, self._assembly(tenants | garbage)))

    def emptied(self) -> None:
        """Delete every record of the topic."""
        place = TopicPartition(self._topic, PARTITION)
        [end] = self._admin.list_offsets({place: OffsetSpec.latest()}).values()  # type: ignore[no-untyped-call]
        offset = end.result(timeout=_SECONDS).offset
        # Kafka deletes records of a topic only where they may be deleted by time.
        self._policy("compact,delete")
        try:
            [done] = self._admin.delete_records([TopicPartition(self._topic, PARTITION, offset)]).values()
            done.result(timeout=_SECONDS)
        finally:
            self._policy("compact")

    def made_again(self) -> None:
        """Delete the topic, and make it again: empty, with another id."""
        self._admin.delete_topics([self._topic])[self._topic].result(timeout=_SECONDS)
        topics.apply(self._settings)

    # --- how --------------------------------------------------------------------------------------------------------

    def _log(self) -> Log:
        return logs.read(self._settings, self._admin, _SECONDS, decided=True)

    def _assembly(self, tenants: Mapping[bytes, bytes]) -> Assembly:
        messages = Assembly(Codec(self._settings.topics_dir))
        for key, value in tenants.items():
            messages.put(manifests.tenant_of(key) or "", value)
        return messages

    def _next(self, log: Log, messages: Assembly) -> Manifest:
        """The manifest that a real publisher would write of these messages, but that it asks no guard."""
        generation = (log.manifest.generation if log.manifest else 0) + 1
        made_ns, next_job = SystemClock().now_ns(), log.manifest.next_job if log.manifest else 1
        pairs = jobs = len(messages)
        return Manifest(generation, messages.hash, len(messages), pairs, jobs, next_job, made_ns, _WHO, "")

    def _kept(self, tenants: Mapping[bytes, bytes]) -> int:
        log = self._log()
        gone: dict[bytes, bytes | None] = {key: None for key in _tenants(log) if key not in tenants}
        return self._publish(gone, self._next(log, self._assembly(tenants)))

    def _publish(self, changes: Mapping[bytes, bytes | None], made: Manifest) -> int:
        self._send({**changes, manifests.KEY: self._manifests.encode(made)})
        return made.generation

    def _send(self, messages: Mapping[bytes, bytes | None]) -> None:
        failed: list[str] = []
        producer = Producer(client.producer_config(self._settings))
        for key, value in messages.items():
            producer.produce(
                self._topic,
                value,
                key,
                PARTITION,
                on_delivery=lambda error, _: failed.append(str(error)) if error is not None else None,
            )
        left = producer.flush(_SECONDS)
        if left or failed:
            raise Retryable(f"{self._topic} did not take {left + len(failed)} messages {failed[:1]}")

    def _policy(self, policy: str) -> None:
        from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

        entry = ConfigEntry("cleanup.policy", policy, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ResourceType.TOPIC, self._topic, incremental_configs=[entry])
        [done] = self._admin.incremental_alter_configs([resource]).values()
        done.result(timeout=_SECONDS)


def _tenants(log: Log) -> dict[bytes, bytes]:
    return {key: value for key, value in log.values.items() if manifests.tenant_of(key) is not None}
