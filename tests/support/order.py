"""In which order xdist's workers run the tests: what takes long begins first, and nobody is left with all of it.

xdist cuts the list into as many equal parts as there are workers, and who is done takes half of what another has left,
from its end. So each part begins with its share of the long files, longest test first, and the many short tests behind
them fill the gaps of the end. A file stays together: its fixtures are made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

import pytest

SHORT_SECONDS = 0.1
SECONDS = {"own_kafka": 30.0, "worker": 20.0, "secured": 10.0, "kafka": 5.0, "s3": 5.0, "browser": 5.0}
"""What a test takes that asks for a fixture, about, on two busy cores; the first one that it asks for counts."""
SHARE_OF_TIMEOUT = 0.1
"""Of a time-out of its own, a test takes about this much."""


@dataclass
class _Hand:
    items: list[pytest.Item] = field(default_factory=list)
    seconds: float = 0.0

    def take(self, items: Sequence[pytest.Item], seconds: float) -> None:
        self.items += items
        self.seconds += seconds


def expected_seconds(item: pytest.Item) -> float:
    """How long a test takes, judged by what it asks for."""
    own = item.get_closest_marker("timeout")
    if own is not None and own.args:
        return SHARE_OF_TIMEOUT * float(own.args[0])
    asked = getattr(item, "fixturenames", ())
    return next((seconds for name, seconds in SECONDS.items() if name in asked), SHORT_SECONDS)


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The same tests, in an order for so many workers."""
    files = [list(file) for _, file in groupby(items, key=lambda item: item.path)]
    longest = {id(file): max(map(expected_seconds, file)) for file in files}
    long = sorted((file for file in files if longest[id(file)] > SHORT_SECONDS), key=lambda file: -longest[id(file)])
    short = iter([item for file in files if longest[id(file)] <= SHORT_SECONDS for item in file])
    hands = [_Hand() for _ in range(workers)]
    for file in long:
        min(hands, key=lambda hand: hand.seconds).take(file, sum(map(expected_seconds, file)))
    order: list[pytest.Item] = []
    for number, hand in enumerate(hands):
        part = (len(items) - len(order)) // (workers - number)  # as xdist cuts
        order += [*hand.items, *islice(short, max(0, part - len(hand.items)))]
    return [*order, *short]
