"""A group of settings that belong together: its title and its docstring stand over them in docs/settings.md."""

from __future__ import annotations

from pydantic import BaseModel, ByteSize, ConfigDict


class Stage(BaseModel):
    """Settings of one stage, a base of ``Settings``."""

    # Nobody builds a stage alone: only the validator of Settings is made, which saves each process 15 ms.
    model_config = ConfigDict(defer_build=True)


def mb(megabytes: int) -> ByteSize:
    """A default size."""
    return ByteSize(megabytes * 1_000_000)
