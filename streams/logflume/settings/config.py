"""Settings of the configuration: tenants' files and the guards."""

from __future__ import annotations

from pydantic import Field

from logflume.settings.places import OptionalFolder
from logflume.settings.stage import Stage


class Config(Stage, title="Configuration"):
    """Where tenants' files lie, what a generation may change, and where workers keep the last good one."""

    tenants_dir: OptionalFolder = Field("", description="Folder of the tenants' files, `*.yaml`.")
    config_shrink: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Part of the active (tenant, dataset) pairs that one generation may take away unless their number "
        "is named.",
    )
    config_dir: OptionalFolder = Field(
        "",
        description="Folder where a worker keeps the last good configuration, for a start without Kafka; shared by the "
        "workers of a host and of one Kafka. Empty: one in `state_dir` for each Kafka and `topic_prefix`.",
    )
    config_growth: float = Field(
        2.0, ge=1, description="How many times as many of them it may have unless the number of new ones is named."
    )
