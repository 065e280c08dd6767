"""Settings of file jobs' destinations."""

from __future__ import annotations

from pydantic import ByteSize, Field

from logflume.settings.places import OptionalFolder
from logflume.settings.stage import Stage, mb


class Destinations(Stage, title="Destinations of jobs"):
    """How the objects of file jobs are stored, and where the credentials lie that jobs name."""

    secrets_dir: OptionalFolder = Field(
        "",
        description="Folder of the credentials that jobs name: `<name>/access_key`, `<name>/secret_key`, and perhaps "
        "`<name>/session_token`.",
    )
    secret_env_prefix: str = Field(
        "SECRET_",
        pattern="^[A-Z][A-Z0-9_]*_$",
        description="What the names of variables begin with that a job's `env:NAME` may name; no others can be read.",
    )
    destination_timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="How long a job's object may take to be stored; 20 s more for each megabyte, so that slow links "
        "get there too.",
    )
    destination_part_bytes: ByteSize = Field(
        mb(16),
        ge=5 << 20,  # S3's least
        le=512_000_000,
        description="Objects larger than this go to S3 in parts of it.",
    )
