"""Settings that only tests set."""

from __future__ import annotations

from pydantic import Field

from logflume.settings.stage import Stage


class Testing(Stage, title="Tests"):
    """What only tests set."""

    crash_at: str = Field("", description="For tests: the crash point, `name` or `name:N`, at which the process ends.")
