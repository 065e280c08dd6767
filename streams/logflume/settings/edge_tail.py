"""Settings of an edge that follows files."""

from __future__ import annotations

from pydantic import ByteSize, Field

from logflume.settings.stage import Stage


class EdgeTail(Stage, title="Edge, files"):
    """How ``logflume edge tail`` reads files."""

    edge_tail_record_bytes: ByteSize = Field(
        ByteSize(256_000),
        ge=1000,
        le=16_000_000,
        description="Most bytes of one record that `logflume edge tail` reads; a longer line is cut there.",
    )
    edge_tail_open_files: int = Field(512, ge=1, description="Files that it keeps open; more are opened in turn.")
    edge_tail_record_seconds: float = Field(
        2.0, ge=0, description="A file that was not written to for so long has its last record whole."
    )
    edge_tail_partial_seconds: float = Field(
        10.0, ge=0, description="A rotated file that was not written to for so long has its last line whole."
    )
