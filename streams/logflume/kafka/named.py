"""A worker's name in its group (``group.instance.id``, KIP-345): who it is, and what it reads.

Kafka gives a member that comes back by its name what it had before and asks nobody else, also when it reads more topics
now, or topics that have grown. So a name stands for the declared topics too: with others the worker is somebody new,
all partitions are shared out again, and none of them is nobody's.
"""

from __future__ import annotations

import zlib

from logflume.kafka import topics
from logflume.settings import Settings


def instance_id(settings: Settings, template: str) -> str | None:
    """Return this worker's name in the group that reads the topics of ``template`` (such as ``ingest.<dataset>``).

    None: it has none, as ``group_instance_id`` is not set.
    """
    if not settings.group_instance_id:
        return None
    read = sorted((topic.name, topic.partitions) for topic in topics.declared(settings) if topic.template == template)
    return f"{settings.group_instance_id}-{zlib.crc32(repr(read).encode()):08x}"
