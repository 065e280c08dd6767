"""How the page spells a value of a record."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from logflume.page.html import cell, whole

TOKYO = ZoneInfo("Asia/Tokyo")


@pytest.mark.parametrize(
    ("value", "type", "shown"),
    [
        ("2025-11-25T12:00:00Z", "timestamp", "2025-11-25 21:00:00.000"),
        ("2025-11-25T12:00:00.5Z", "timestamp[us, tz=UTC]", "2025-11-25 21:00:00.500"),
        ("9999-12-31T23:59:59Z", "timestamp", "9999-12-31 23:59:59.000"),  # later there than any time
        ("2025-11-25T12:00:00Z", "string", "2025-11-25T12:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "string", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_only_a_time_is_shown_as_one(value: str, type: str, shown: str) -> None:
    assert str(cell(value, TOKYO, type)) == str(whole(value, TOKYO, type)) == shown
