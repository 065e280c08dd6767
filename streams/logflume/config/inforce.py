"""Which generation is in force, for whoever wants to publish the next: what the topic says, else the store."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from logflume.config import log as logs
from logflume.config.library import Library
from logflume.config.log import Log
from logflume.config.manifest import Manifest
from logflume.kafka import topics
from logflume.model.tenant import Configuration
from logflume.settings import Settings


@dataclass(frozen=True)
class InForce:
    """``configuration`` and ``manifest`` are None before the first generation.

    ``log``: what the topic has; when that is not what is in force, ``trouble`` says so, and the next generation mends
    it. ``claimed``: the highest number that was ever taken. ``unpublished``: the store does not know that the topic's
    generation is in force.
    """

    configuration: Configuration | None
    manifest: Manifest | None
    log: Log
    trouble: str
    claimed: int
    unpublished: bool

    @property
    def generation(self) -> int:
        """Its number; 0 before the first one."""
        return self.manifest.generation if self.manifest else 0

    @property
    def next_job(self) -> int:
        """The id that the next new job gets."""
        return self.manifest.next_job if self.manifest else 1


def look(
    settings: Settings,
    admin: AdminClient,
    library: Library,
    *,
    decided: bool,
    patience_seconds: float = logs.PATIENCE_SECONDS,
) -> InForce:
    """Find out. ``decided`` as in ``log.read``. Raises ``Retryable``, ``Misconfigured``, or ``Refused`` when neither
    topic nor store can be read.
    """
    log = logs.read(settings, admin, patience_seconds, decided=decided)
    entries = library.entries()
    published = max((entry.generation for entry in entries if entry.published), default=0)
    here = log.manifest.generation if log.manifest else 0
    claimed = max(here, max((entry.generation for entry in entries), default=0))
    if log.configuration is not None and here >= published:
        return InForce(log.configuration, log.manifest, log, "", claimed, here > published)
    trouble = ""
    if log.broken:
        trouble = f"the topic {topics.config_topic(settings)} has no whole generation: {log.broken}"
    elif log.configuration is not None:
        trouble = f"the topic {topics.config_topic(settings)} has generation {here}, an older one"
    elif published:
        trouble = f"the topic {topics.config_topic(settings)} is empty"
    stored = library.newest_published()
    if stored is None:
        return InForce(None, None, log, trouble, claimed, unpublished=False)
    manifest, configuration = stored
    trouble += f"; generation {manifest.generation}, as the object store has it, counts as the one in force"
    return InForce(configuration, manifest, log, trouble, claimed, unpublished=False)
