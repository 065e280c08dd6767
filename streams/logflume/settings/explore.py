"""Settings of queries, and of the server that takes them."""

from __future__ import annotations

from typing import Literal

from pydantic import ByteSize, Field, SecretStr

from logflume.settings.stage import Stage, mb


class Explore(Stage, title="Explore"):
    """What a query may take, and where ``logflume serve`` answers them."""

    explore_queries: int = Field(4, ge=1, le=256, description="Queries that run at once, each in a process of its own.")
    explore_tenant_queries: int = Field(2, ge=1, description="Queries of one tenant that run at once; others wait.")
    explore_waiting: int = Field(
        16, ge=1, description="Queries of one tenant that may wait for their turn; one more is refused."
    )
    explore_seconds: float = Field(60.0, gt=0, description="How long a query may take.")
    explore_memory_bytes: ByteSize = Field(
        mb(512), ge=16_000_000, description="Memory of a query for its rows; its process has 256 MB more for itself."
    )
    explore_live_bytes: ByteSize = Field(
        mb(64), ge=1_000_000, description="Most rows, in bytes, that one `live` query adds of those that wait in Kafka."
    )
    explore_live_seconds: float = Field(5.0, gt=0, description="How long one `live` query reads them from Kafka.")
    explore_tail_followers: int = Field(8, ge=1, description="How many may follow one tenant's rows at once.")
    explore_tail_bytes: ByteSize = Field(
        mb(8), ge=1_000_000, description="Rows that wait for one follower, in bytes; what comes beyond it does not get."
    )
    explore_tail_rows_a_second: int = Field(
        2_000, ge=1, description="Rows a second that one follower gets at most; the rest are counted for it."
    )
    explore_rows: int = Field(1_000_000, ge=1, description="Most rows of an answer, whatever its LIMIT says.")
    explore_recent_seconds: float = Field(
        900.0,
        ge=0,
        description="What a filter, a histogram and a field's values are about when no time range and no condition on "
        "time is given: the last seconds, or, when the data ended earlier, its own last; the answer says so. 0: all.",
    )
    explore_recent_sql: Literal["on", "off"] = Field(
        "off", description="Whether the same holds for SQL, whose `count(*)` then counts minutes, and says so."
    )
    explore_threads: int = Field(2, ge=1, le=64, description="Threads that a query computes with.")
    explore_sandbox: Literal["on", "off"] = Field(
        "on",
        description="Whether a query's process gives up files and network before it sees the query (Landlock, Linux "
        "5.13). `off`: only by SQL's checks, and by having no keys of the store.",
    )
    serve_host: str = Field("127.0.0.1", description="Address on which `logflume serve` answers.")
    serve_port: int = Field(8090, ge=0, le=65535, description="Port of the same; 0: any free one, logged.")
    serve_certificate: str = Field("", description="File of the certificate chain (PEM); empty: HTTP without TLS.")
    serve_key: str = Field("", description="File of the certificate's private key (PEM).")
    serve_url: str = Field(
        "",
        description="Address under which browsers reach it, such as `https://logs.example.net` behind a proxy with "
        "TLS; empty: that of each request.",
    )
    serve_session_key: SecretStr = Field(
        SecretStr(""),
        description="What sessions of the page are signed with, the same for all that serve it; empty: a random one, "
        "and sessions end with the process.",
    )
    serve_session_hours: float = Field(12.0, gt=0, le=720, description="How long somebody stays signed in at most.")
    serve_connections: int = Field(1000, ge=1, description="Most open connections; then 503 is answered.")
