"""Settings of sink workers."""

from __future__ import annotations

from pydantic import ByteSize, Field

from logflume.settings.stage import Stage, mb


class Sink(Stage, title="Sink"):
    """When a sink worker stores a tenant's rows, how many it holds, and whom it parks."""

    sink_group: str = Field("logflume-sink", description="Consumer group of the sink workers.")
    sink_memory_bytes: ByteSize = Field(mb(512), ge=1, description="A sink worker's memory budget.")
    sink_flush_age_seconds: float = Field(4.0, gt=0, description="Age at which a tenant's rows are flushed.")
    sink_flush_rows: int = Field(200_000, ge=1, description="Rows of one tenant and dataset that make a flush.")
    sink_flush_bytes: ByteSize = Field(mb(128), ge=1, description="Bytes of one tenant and dataset, likewise.")
    sink_flush_threads: int = Field(2, ge=1, le=64, description="Flushes of tables that run at once.")
    sink_object_threads: int = Field(
        4,
        ge=2,
        le=256,
        description="Objects of file jobs that are written at once; at most half of them for destinations that fail.",
    )
    sink_behind_bytes: ByteSize = Field(
        mb(1000), ge=1, description="Most bytes read beyond the commit: what a restart reads again."
    )
    sink_park_seconds: float = Field(
        20.0,
        ge=0,
        description="A table or job whose flushes have failed for so long is parked, so that it holds up nobody else.",
    )
    sink_active_pairs: int = Field(
        20_000,
        ge=1,
        description="Tables and jobs that a sink stores rows of within ten minutes: above it new ones are parked.",
    )
    sink_new_pairs_a_minute: int = Field(
        1_500,
        ge=1,
        description="New tables and jobs that may begin in a minute, also at once; four times as many while the sink "
        "is not pressed. Any more are parked before their first row until there is room.",
    )
    sink_generation_wait_seconds: float = Field(
        60.0,
        ge=0,
        description="How long a sink waits for the configuration by which an edge took rows, before it judges them by "
        "its own.",
    )
    sink_session_timeout_ms: int = Field(
        45_000, ge=1000, description="A sink worker that is silent for this long loses its partitions."
    )
    sink_transaction_timeout_ms: int = Field(
        30_000,
        ge=1000,
        description="Kafka aborts a sink's transaction after this long, so that its successor can begin.",
    )
