"""Settings of the watch and of the pressure."""

from __future__ import annotations

from pydantic import ByteSize, Field

from logflume.settings.stage import Stage, mb


class Pressure(Stage, title="Pressure"):
    """What ``logflume watch`` measures, and from which limits on edges hold back."""

    watch_seconds: float = Field(
        2.0, gt=0, le=600, description="How often `logflume watch` measures, and publishes the pressure."
    )
    watch_searches: int = Field(
        256,
        ge=0,
        description="Partitions whose oldest record's append time `logflume watch` asks the broker for at a look, the "
        "latest ones first; it reads a block for each. Of the others it knows the age to two looks.",
    )
    pressure_lag_seconds: float = Field(
        3600.0,
        ge=0,
        description="How late sorters or sinks may be; this is 1.0 of the limit, and edges stop. Above the longest "
        "`max_age_seconds` of a job, far below the topics' retention. 0: no limit.",
    )
    pressure_partitions_ratio: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Part of the partitions in use that must be as late: a single one slows nobody else down.",
    )
    pressure_memory_bytes: ByteSize = Field(
        mb(1000), ge=0, description="Memory of a sorter or sink beyond its budget, likewise. 0: no limit."
    )
    pressure_slow_on: float = Field(0.9, gt=0, description="Part of a limit at which edges slow down.")
    pressure_slow_off: float = Field(0.7, ge=0, description="Part of a limit at which they no longer do.")
    pressure_stop_on: float = Field(1.0, gt=0, description="Part of a limit at which edges take nothing new.")
    pressure_stop_off: float = Field(0.8, ge=0, description="Part of a limit at which they only slow down again.")
    pressure_hold_seconds: float = Field(
        10.0, ge=0, description="How long it must have been so low before edges hear of it."
    )
    pressure_least_ratio: float = Field(
        0.1, gt=0, le=1, description="Least part of its pace that an edge keeps while it slows down."
    )
