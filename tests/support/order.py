"""In which order xdist's workers run the tests: what takes long begins first, and nobody is left with all of it.

xdist cuts the list into as many equal parts as there are workers, and who is done takes half of what another has left,
from its end. So each part begins with its share of the long files, longest test first, and the many short tests behind
them fill the gaps of the end. A file stays together: its fixtures are made once.

How long a file takes says tests/seconds.json, as measured in a run of all (``make seconds``); one that is not in it is
judged by what its tests ask for.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from xml.etree import ElementTree

import pytest

SHORT_SECONDS = 0.1
SECONDS = {"own_kafka": 30.0, "worker": 20.0, "secured": 10.0, "kafka": 5.0, "s3": 5.0, "browser": 5.0}
"""What a test takes that asks for a fixture, about, on two busy cores; the first one that it asks for counts."""
ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "tests" / "seconds.json"
_LEAST_SECONDS = 3
"""What takes less in all is not worth a line there."""
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


def measured() -> dict[str, float]:
    """How long each file took that takes long, by its path from the root."""
    found: dict[str, float] = json.loads(MEASURED.read_text())
    return found


def dealt(items: Sequence[pytest.Item], workers: int, seconds: Mapping[str, float]) -> list[pytest.Item]:
    """The same tests, in an order for so many workers; ``seconds``: see ``measured``."""
    files = [list(file) for _, file in groupby(items, key=lambda item: item.path)]
    taking = {id(file): _file_seconds(file, seconds) for file in files}
    long = sorted((file for file in files if _is_long(file, taking[id(file)])), key=lambda file: -taking[id(file)])
    beginning = {id(file) for file in long}
    short = iter([item for file in files if id(file) not in beginning for item in file])
    hands = [_Hand() for _ in range(workers)]
    for file in long:
        min(hands, key=lambda hand: hand.seconds).take(file, taking[id(file)])
    order: list[pytest.Item] = []
    for number, hand in enumerate(hands):
        part = (len(items) - len(order)) // (workers - number)  # as xdist cuts
        order += [*hand.items, *islice(short, max(0, part - len(hand.items)))]
    return [*order, *short]


def _file_seconds(file: Sequence[pytest.Item], seconds: Mapping[str, float]) -> float:
    path = file[0].path
    known = seconds.get(path.relative_to(ROOT).as_posix()) if path.is_relative_to(ROOT) else None
    return sum(map(expected_seconds, file)) if known is None else known


def _is_long(file: Sequence[pytest.Item], seconds: float) -> bool:
    return seconds > len(file) * SHORT_SECONDS * 1.5


def _file(name: str) -> str:
    """The file of a test by what the report calls its class: the module, and a class within it if there is one."""
    parts = name.split(".")
    module = next(place for place, part in enumerate(parts) if part.startswith("test_"))
    return "/".join(parts[: module + 1]) + ".py"


def main() -> None:
    """Write tests/seconds.json by the JUnit report that is given."""
    took: Counter[str] = Counter()
    for case in ElementTree.parse(sys.argv[1]).iter("testcase"):
        took[_file(case.attrib["classname"])] += float(case.attrib["time"])  # type: ignore[assignment]
    kept = {file: round(seconds) for file, seconds in sorted(took.items()) if seconds >= _LEAST_SECONDS}
    MEASURED.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
