"""Settings of the client, and so of every edge."""

from __future__ import annotations

import socket

from pydantic import ByteSize, Field

from logflume.settings.places import OptionalFolder
from logflume.settings.stage import Stage, mb


class Edge(Stage, title="Edge"):
    """How the client, and every edge made with it, packs records, keeps them and holds them back."""

    edge_id: str = Field(
        default_factory=socket.gethostname,
        description="Name of this edge in the headers of its blocks (the host's name).",
    )
    edge_block_rows: int = Field(4000, ge=1, le=100_000, description="Rows after which a block is closed.")
    edge_block_bytes: ByteSize = Field(
        mb(4), ge=1, le=64_000_000, description="Bytes of records as they came, likewise."
    )
    edge_linger_seconds: float = Field(0.2, ge=0, description="Age at which a block is closed, full or not.")
    edge_memory_bytes: ByteSize = Field(mb(64), ge=1, description="Memory for records not yet acknowledged by Kafka.")
    edge_timeout_seconds: float = Field(
        30.0, gt=0, description="How long the client waits for room or for Kafka before it raises Unavailable."
    )
    edge_spool_dir: OptionalFolder = Field(
        "",
        description="Folder of the spool, where blocks wait on disk while Kafka is away, one for each process; empty: "
        "none, and callers wait.",
    )
    edge_spool_bytes: ByteSize = Field(
        mb(1000), ge=1_000_000, description="Most bytes of the spool; then nothing more is taken, and nothing dropped."
    )
    edge_spool_full: float = Field(
        0.9, gt=0, le=1, description="Part of `edge_spool_bytes` at which HTTP answers 503 before a body is received."
    )
    edge_spool_resume: float = Field(0.7, ge=0, le=1, description="Part of it at which bodies are received again.")
    edge_slow_bytes: ByteSize = Field(
        ByteSize(64_000), ge=1, description="Bytes a second that an edge may always take while it slows down."
    )
    edge_tenant_bytes_per_second: int = Field(
        0,
        ge=0,
        description="What a tenant may send to one edge process, as bytes a second, when its file has no `rates`; ten "
        "seconds' worth may come at once. 0: no limit.",
    )
    edge_tenant_records_per_second: int = Field(0, ge=0, description="Likewise, as records a second.")
