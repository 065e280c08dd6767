"""Settings of the API: what it records of those who ask, and how often they may."""

from __future__ import annotations

from typing import Literal

from pydantic import ByteSize, Field

from logflume.settings.places import OptionalFolder
from logflume.settings.stage import Stage, mb


class Api(Stage, title="API"):
    """What `logflume serve` records of each request in the tenant's `audit_logs`, and how many it answers."""

    serve_audit: Literal["on", "required", "off"] = Field(
        "on",
        description="Whether queries, exports and changes are recorded. `on`: what finds no room while Kafka is away "
        "is counted as lost, and questions are answered. `required`: they are refused then (503).",
    )
    serve_audit_bytes: ByteSize = Field(
        mb(8), ge=100_000, description="Memory for such records until Kafka has them: some 10,000."
    )
    serve_audit_spool_dir: OptionalFolder = Field(
        "", description="Folder in which they wait on disk while Kafka is away, one for each process; empty: none."
    )
    serve_token_requests: float = Field(
        20.0, ge=0, description="Requests a second of one token, by one process; beyond it: 429. 0: no limit."
    )
    serve_tenant_requests: float = Field(
        50.0, ge=0, description="Requests a second of one tenant, with all its tokens, likewise."
    )
    serve_address_failures: float = Field(
        2.0, ge=0, description="Requests a second without a good token from one address (IPv6: /64), likewise."
    )
    serve_burst_seconds: float = Field(
        10.0, gt=0, description="So many seconds' worth of these three may come at once."
    )
