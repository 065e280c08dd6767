"""The order of the tests: each worker begins with its share of the long ones, and each test is run once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.order import MEASURED, ROOT, dealt, expected_seconds, main, measured


@dataclass(frozen=True)
class Item:
    """What the order asks of a test."""

    path: Path
    name: str
    fixturenames: tuple[str, ...] = ()
    timeout: float | None = None

    def get_closest_marker(self, name: str) -> Any:
        assert name == "timeout"
        return None if self.timeout is None else pytest.mark.timeout(self.timeout).mark


def file(name: str, count: int, *fixtures: str, timeout: float | None = None) -> list[pytest.Item]:
    made = [Item(Path(name), f"{name}{number}", fixtures, timeout) for number in range(count)]
    return cast("list[pytest.Item]", made)


def test_a_test_takes_as_long_as_what_it_asks_for() -> None:
    [short, shared, worker, long] = [
        *file("a", 1, "tmp_path"),
        *file("b", 1, "kafka", "s3"),
        *file("c", 1, "kafka", "worker"),
        *file("d", 1, timeout=900),
    ]
    assert expected_seconds(short) < expected_seconds(shared) < expected_seconds(worker) < expected_seconds(long)


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7])
def test_each_worker_begins_with_its_share_of_the_long_files_and_each_test_is_there_once(workers: int) -> None:
    long = [file(f"long{number}", 3, "worker") for number in range(8)]
    items = [
        *file("demo", 2, timeout=900),
        *(item for each in long for item in each),
        *file("short", 100),
        *file("others", 50),
    ]
    order = dealt(items, workers, {})
    assert sorted(id(item) for item in order) == sorted(id(item) for item in items)
    rest, parts = list(order), []
    for left in range(workers, 0, -1):  # as xdist cuts
        parts.append(rest[: len(rest) // left])
        rest = rest[len(rest) // left :]
    assert parts[0][:2] == items[:2], "the longest first"
    for part in parts:
        took = [expected_seconds(item) for item in part]
        assert took == sorted(took, reverse=True)
        assert took[0] > 1
    shares = [sum(expected_seconds(item) for item in each) for each in parts]
    assert max(shares) - min(shares) < 2 * 90 + 1, "no more apart than what can't be parted"


@pytest.mark.parametrize("workers", [2, 4])
def test_a_long_file_stays_together(workers: int) -> None:
    items = [each for number in range(5) for each in file(f"long{number}", 4, "kafka")] + file("short", 40)
    order = [item.path.name for item in dealt(items, workers, {})]
    for number in range(5):
        at = order.index(f"long{number}")
        assert order[at : at + 4] == [f"long{number}"] * 4


def test_more_long_tests_than_a_workers_part_are_all_run() -> None:
    items = [*file("long", 30, "worker"), *file("short", 2)]
    assert sorted(id(item) for item in dealt(items, 4, {})) == sorted(id(item) for item in items)


def test_a_file_that_was_measured_takes_as_long_as_that() -> None:
    slow, quick = ROOT / "tests" / "unit" / "slow.py", ROOT / "tests" / "unit" / "quick.py"
    items = [*file(str(quick), 3, "worker"), *file("others", 40), *file(str(slow), 2)]
    seconds = {"tests/unit/slow.py": 100.0, "tests/unit/quick.py": 0.3}
    assert [item.path for item in dealt(items, 1, seconds)[:2]] == [slow, slow]
    assert [item.path for item in dealt(items, 1, {})[:3]] == [quick] * 3


def test_what_was_measured_is_of_files_that_are_there() -> None:
    assert all((ROOT / path).is_file() for path in measured())


def test_the_table_is_made_of_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, table = tmp_path / "tests.xml", tmp_path / "seconds.json"
    report.write_text(
        "<testsuites><testsuite>"
        '<testcase classname="tests.e2e.test_b" name="one" time="2.6"/>'
        '<testcase classname="tests.e2e.test_c.TestC" name="one" time="7.0"/>'
        '<testcase classname="tests.e2e.test_b" name="two" time="2"/>'
        '<testcase classname="tests.unit.test_a" name="one" time="1.9"/>'
        "</testsuite></testsuites>"
    )
    monkeypatch.setattr("tests.support.order.MEASURED", table)
    monkeypatch.setattr("sys.argv", ["order", str(report)])
    main()
    assert json.loads(table.read_text()) == {"tests/e2e/test_b.py": 5, "tests/e2e/test_c.py": 7}
    assert MEASURED.is_file()
