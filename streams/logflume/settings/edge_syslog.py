"""Settings of an edge's syslog listeners."""

from __future__ import annotations

from pydantic import ByteSize, Field

from logflume.settings.stage import Stage, mb


class EdgeSyslog(Stage, title="Edge, syslog"):
    """Where syslog is taken, from whom, and how much of it."""

    edge_syslog_listen: str = Field(
        "",
        description="Where `logflume edge serve` and `edge syslog` take syslog, with commas between: "
        "`udp://HOST:PORT?tenant=NAME`, `tcp://…`, `tls://…`; instead of the tenant `?by=token` or, of tls, "
        "`?by=certificate`. Empty: nowhere.",
    )
    edge_syslog_dataset: str = Field("events", description="Dataset of syslog's records; their fields are `events`'.")
    edge_syslog_zone: str = Field("UTC", description="Time zone of times that name none (RFC 3164).")
    edge_syslog_message_bytes: ByteSize = Field(
        ByteSize(64_000), ge=2048, le=1_000_000, description="Longest message; of a longer one the beginning is kept."
    )
    edge_syslog_memory_bytes: ByteSize = Field(
        mb(16), ge=1, description="Memory for messages not yet taken by the client; then nothing is read."
    )
    edge_syslog_connections: int = Field(1000, ge=1, description="Most syslog connections.")
    edge_syslog_idle_seconds: float = Field(
        3600.0, gt=0, description="A syslog connection that is quiet for this long is ended."
    )
    edge_syslog_socket_bytes: ByteSize = Field(
        mb(4), ge=1, le=1_000_000_000, description="Receive buffer asked for of UDP; `net.core.rmem_max` is its limit."
    )
    edge_syslog_certificate: str = Field("", description="File of the certificate chain (PEM) of `tls://` listeners.")
    edge_syslog_key: str = Field("", description="File of that certificate's private key (PEM).")
    edge_syslog_client_ca: str = Field(
        "",
        description="File of the authorities (PEM) whose clients `tls://` takes; empty: clients show none.",
    )
