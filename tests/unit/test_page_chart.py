"""The bars of a histogram."""

from __future__ import annotations

from datetime import UTC

import pytest

from logflume.page.chart import HEIGHT, draw


@pytest.mark.parametrize("most", [1, 2, 3, 7, 9, 10, 11, 13, 99, 101, 20_400, 30_001, 999_999, 10**12 + 1])
def test_the_highest_bar_fills_the_chart_by_three_quarters_and_none_goes_beyond(most: int) -> None:
    told = {
        "since": "2025-11-25T12:00:00Z",
        "until": "2025-11-25T12:00:02Z",
        "width": "1s",
        "width_seconds": 1,
        "starts": ["2025-11-25T12:00:00Z", "2025-11-25T12:00:01Z"],
        "counts": [most, 0],
    }
    chart = draw(told, UTC)
    [piece] = chart.bars[0].pieces
    assert chart.top >= most
    assert 0.75 * HEIGHT <= piece.height <= HEIGHT
    assert chart.bars[1].pieces == ()
