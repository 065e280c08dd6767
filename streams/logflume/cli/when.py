"""What instant an option names: a time, or how long ago; and how long something lasts."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import typer

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MOST_SECONDS = 100 * 366 * 86_400
_AGO = re.compile(r"(\d{1,9})([smhd])")


def milliseconds(text: str | None, now_ns: int) -> int | None:
    """Return the instant that ``text`` names: ``2h`` (ago; s, m, h, d), or ISO 8601, in UTC unless it says otherwise.

    Raises typer's ``BadParameter`` for anything else.
    """
    if text is None:
        return None
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now_ns // 1_000_000 - int(ago[1]) * _UNITS[ago[2]] * 1000
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: 90s, 15m, 2h, 3d (ago), or such as 2026-01-31T12:00Z") from None
    return round((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() * 1000)


def nanoseconds(text: str) -> int:
    """Return how long ``text`` is: ``2h`` (s, m, h, d), a hundred years at most. Raises ``BadParameter``."""
    span = _AGO.fullmatch(text)
    if span is None or int(span[1]) * _UNITS[span[2]] > _MOST_SECONDS:
        raise typer.BadParameter(f"{text!r} is no span of time: 90s, 15m, 2h, 90d")
    return int(span[1]) * _UNITS[span[2]] * 1_000_000_000
