"""Settings of an edge's HTTP server."""

from __future__ import annotations

from pydantic import ByteSize, Field

from logflume.settings.stage import Stage, mb


class EdgeHttp(Stage, title="Edge, HTTP"):
    """What ``logflume edge serve`` listens on, and what it takes of one request, one tenant and all of them."""

    edge_http_host: str = Field("127.0.0.1", description="Address on which `logflume edge serve` takes records.")
    edge_http_port: int = Field(8080, ge=0, le=65535, description="Port of the same; 0: any free one, logged.")
    edge_http_certificate: str = Field("", description="File of the certificate chain (PEM); empty: HTTP without TLS.")
    edge_http_key: str = Field("", description="File of the certificate's private key (PEM).")
    edge_http_dataset: str = Field("events", description="Dataset of records whose protocol names none.")
    edge_http_body_bytes: ByteSize = Field(mb(16), ge=1, description="Most bytes of a body as it is sent.")
    edge_http_unpacked_bytes: ByteSize = Field(mb(64), ge=1, description="Most bytes of a body once unpacked.")
    edge_http_records: int = Field(200_000, ge=1, description="Most records of one request.")
    edge_http_work_bytes: ByteSize = Field(
        mb(256), ge=1, description="Memory for all bodies in work and what is made of them; then 503 is answered."
    )
    edge_http_requests: int = Field(512, ge=1, description="Most requests in work at once; then 503 is answered.")
    edge_http_connections: int = Field(2000, ge=1, description="Most open connections; then 503 is answered.")
    edge_http_tenant_share: float = Field(
        0.5, gt=0, le=1, description="What one tenant may have of requests and memory in work; then 429 is answered."
    )
    edge_http_header_bytes: ByteSize = Field(ByteSize(32_000), ge=256, description="Most bytes of a request's head.")
    edge_http_header_seconds: float = Field(10.0, gt=0, description="How long a request's head may take.")
    edge_http_body_seconds: float = Field(
        10.0, gt=0, description="How long a body may take, besides what `edge_http_body_rate` gives it."
    )
    edge_http_body_rate: ByteSize = Field(
        ByteSize(16_000), ge=1, description="Bytes a second that a body must come with, on the whole."
    )
    edge_http_idle_seconds: int = Field(75, ge=1, description="How long a connection is kept between two requests.")
    edge_http_threads: int = Field(2, ge=1, le=64, description="Threads that unpack and read bodies.")
    edge_http_key_seconds: float = Field(
        300.0, gt=0, description="How long the answer to an `Idempotency-Key` is remembered."
    )
    edge_http_keys: int = Field(20_000, ge=1, description="Most keys that are remembered; the oldest go first.")
