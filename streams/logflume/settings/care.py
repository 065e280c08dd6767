"""Settings of the care of tables."""

from __future__ import annotations

from pydantic import ByteSize, Field

from logflume.settings.stage import Stage, mb


class Care(Stage, title="Care of tables"):
    """How ``logflume care`` and ``logflume table maintain`` look after the tables at rest."""

    care_group: str = Field("logflume-care", description="Consumer group of the care workers: who looks after what.")
    care_seconds: float = Field(20.0, gt=0, description="A table that had work is looked at again after this long.")
    care_idle_seconds: float = Field(
        600.0, gt=0, description="One that had none is looked at after ever longer, up to this; so are new ones found."
    )
    care_stall_seconds: float = Field(
        3600.0, gt=0, description="`/live` fails when one look takes longer than this and `care_seconds`."
    )
    care_file_bytes: ByteSize = Field(
        mb(128),
        ge=1000,
        le=1_000_000_000,
        description="Size of a data file that small ones are merged up to; those above half of it are left alone. A "
        "worker needs about three times as much memory.",
    )
    care_fan_in: int = Field(
        4, ge=2, le=1000, description="So many small files of about one size, date and day of arrival are merged."
    )
    care_keep_hours: int = Field(
        12,
        ge=2,
        description="For how long a file stays in the store that is no longer part of its table: an hour longer than "
        "the longest query at least, those of other engines counted.",
    )
    care_session_timeout_ms: int = Field(
        45_000, ge=1000, description="A care worker that is silent for this long loses its tables to others."
    )
