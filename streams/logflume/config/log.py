"""The generation on the topic ``config`` as it is now, read to the end: whole, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from logflume.config import manifest
from logflume.config.assembly import Assembly
from logflume.config.manifest import Manifest
from logflume.config.tenants import Codec
from logflume.errors import Refused
from logflume.kafka import cursors, topics
from logflume.model.tenant import Configuration
from logflume.settings import Settings

PARTITION = 0
"""Of the topic ``config``, its only one."""

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Log:
    """What the topic has: the latest value of each key, whoever wrote it.

    ``configuration`` is None when that is no whole generation; ``broken`` says why then, unless there is nothing.
    """

    values: Mapping[bytes, bytes]
    manifest: Manifest | None
    configuration: Configuration | None
    broken: str = ""


def read(settings: Settings, admin: AdminClient, patience_seconds: float = PATIENCE_SECONDS, *, decided: bool) -> Log:
    """Read the topic to its end. ``decided``: wait for transactions that are open (``cursors``, K2).

    Raises ``Retryable`` when Kafka does not answer in time, ``Misconfigured`` when there is no such topic.
    """
    name = topics.config_topic(settings)
    values = cursors.read_to_end(settings, admin, [PARTITION], patience_seconds, topic=name, decided=decided)
    return understand(values, settings.topics_dir)


def understand(values: Mapping[bytes, bytes], topics_dir: str = "") -> Log:
    """Return what these messages, by key, are together."""
    messages = Assembly(Codec(topics_dir))
    for key, value in values.items():
        tenant = manifest.tenant_of(key)
        if tenant is not None:
            messages.put(tenant, value)
    if manifest.KEY not in values:
        return Log(values, None, None, f"it has {len(values)} messages and no manifest" if values else "")
    told: Manifest | None = None
    try:
        told = manifest.Codec(topics_dir).decode(values[manifest.KEY])
        found = messages.whole(told)
        if not found.pairs:  # no worker takes it up, so it is not what the next one is compared with
            return Log(values, told, None, f"generation {told.generation} is blank")
        return Log(values, told, found)
    except Refused as error:
        return Log(values, told, None, str(error))
