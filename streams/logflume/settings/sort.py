"""Settings of sort workers."""

from __future__ import annotations

from pydantic import ByteSize, Field

from logflume.settings.stage import Stage, mb


class Sort(Stage, title="Sort"):
    """How sort workers share the work, and how much they take in at once."""

    sort_group: str = Field("logflume-sort", description="Consumer group of the sort workers.")
    sort_memory_bytes: ByteSize = Field(mb(256), ge=1, description="A sort worker's memory budget.")
    sort_unit_bytes: ByteSize = Field(mb(16), ge=1, description="Decoded bytes of input that are sorted at once.")
    sort_linger_seconds: float = Field(
        0.25, ge=0, description="How long a sorter waits for `sort_unit_bytes`: larger blocks cost the sinks less."
    )
    sort_schema_registry: str = Field(
        "",
        description="URL of a Confluent schema registry, for plain records that name its schemas (user and password "
        "may stand in it); empty: none.",
    )
    sort_session_timeout_seconds: float = Field(
        60.0, gt=0, description="A sort worker that is silent for this long loses its partitions."
    )
