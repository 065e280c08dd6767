"""Settings of the machine: folders and the local stack."""

from __future__ import annotations

from pydantic import Field

from logflume.settings.places import Folder, cache_home, state_home
from logflume.settings.stage import Stage


class Machine(Stage, title="This machine"):
    """Where local data lies, and which workers ``logflume local up`` starts."""

    state_dir: Folder = Field(
        default_factory=state_home,
        description="Folder of everything that `logflume local` keeps: data, logs, addresses.",
    )
    cache_dir: Folder = Field(
        default_factory=cache_home, description="Folder of downloads that can be made again, such as Kafka's jars."
    )
    local_sorters: int = Field(1, ge=0, le=16, description="Sort workers that `logflume local up` starts.")
    local_sinks: int = Field(1, ge=0, le=16, description="Sink workers that `logflume local up` starts.")
    local_watches: int = Field(1, ge=0, le=4, description="Watch workers that `logflume local up` starts.")
    local_explorers: int = Field(
        1, ge=0, le=4, description="Explorers (`logflume serve`) that `logflume local up` starts."
    )
    local_carers: int = Field(1, ge=0, le=4, description="Care workers that `logflume local up` starts.")
    local_edges: int = Field(
        0, ge=0, le=16, description="HTTP edges that `logflume local up` starts, each with a spool of its own."
    )
