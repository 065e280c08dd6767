"""Settings that every worker has."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from logflume.settings.stage import Stage


class Worker(Stage, title="Every worker"):
    """How a worker logs, is watched, and tells its status."""

    log_format: Literal["console", "json"] = Field("console", description="How a worker logs: `console` or `json`.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level logged.")
    http_host: str = Field("127.0.0.1", description="Address of a worker's `/metrics`, `/live` and `/ready`.")
    http_port: int = Field(
        9464,  # as OpenTelemetry's Prometheus exporters have it
        ge=0,
        le=65535,
        description="Port of a worker's `/metrics`, `/live` and `/ready`; 0: none. Workers of one host need one each.",
    )
    http_certificate: str = Field(
        "", description="File of the certificate chain (PEM) of these; empty: HTTP without TLS."
    )
    http_key: str = Field("", description="File of the certificate's private key (PEM).")
    stall_seconds: float = Field(
        120.0,
        gt=0,
        description="`/ready` fails when there is work and nothing was committed for this long (a sink: and for the "
        "longest `max_age_seconds` of a job).",
    )
    traces_ratio: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Part of the blocks whose way is traced with OpenTelemetry, as edges decide; sorters and sinks go "
        "on with what comes traced, when this is above 0 there. Needs the extra `traces`. 0: off.",
    )
    worker_id: str = Field(
        "",
        description="Name of a worker among those of its kind, the same after a restart (such as a StatefulSet's pod); "
        "empty: host and `http_port`. A client inside an application tells its status only when it has one.",
    )
    group_instance_id: str = Field(
        "",
        max_length=240,  # Kafka's bound of a name, 249, less what `kafka.named` puts behind it
        pattern="^[a-zA-Z0-9._-]*$",
        description="Name of a sorter or a sink in its group (Kafka's `group.instance.id`): the same after a restart, "
        "and no other's, such as a StatefulSet's pod. A restarted worker has its partitions back at once, however it "
        "ended, and the others notice nothing; one that stays away keeps them for its session time-out. Empty: none.",
    )
    status_seconds: float = Field(
        2.0,
        ge=0,
        le=600,
        description="How often a worker tells its status on the topic `status`; 0: it tells none, and edges don't "
        "follow the pressure.",
    )
    status_tenants: int = Field(
        10,
        ge=0,
        le=100,
        description="Tables of tenants that a sink names in its status, and the watch in its metrics: so many that "
        "wait longest, that store most, and that are least fresh. The others are summed.",
    )
