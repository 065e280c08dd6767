"""`logflume top`, driven by textual's pilot: what stands there, by which keys it is sorted, opened and left."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static
from typer.testing import CliRunner

from logflume.cli import main, top_rows
from logflume.cli.top_app import Opened, Top
from logflume.cli.top_rows import History, ordered, spark
from logflume.errors import Retryable
from logflume.kafka.groups import Lag
from logflume.kafka.status import OTHERS, Condition, Identity, InForce, Level, Pressure, Seen, Share, Status
from logflume.watch.causes import Limits
from logflume.watch.look import Finding, Late, Look, Pace, What

LIMITS = Limits(lag_seconds=100.0, partitions_ratio=0.25, memory_bytes=0)
HOSTILE = "\x1b[2Jevil [red]"


def pace(group: str, topic: str, records: int, seconds: float, catch_up: float | None) -> Pace:
    return Pace(group, topic, records, seconds, 0, 10, 10 - records, 1.0, 2.0, catch_up)


def worker(kind: str, id: str, condition: Condition, age: float = 0.0) -> Seen:
    return Seen(Status(Identity(kind, id, "host", 7, "0.1", 0), condition, 0, 2.0, 1200.0), age)


LOOK = Look(
    at_ms=1_700_000_000_000,
    late=(
        Late("sort", Lag("sorts", "ingest.events", 0, 9, 10, 1), 2.0, True),
        Late("sink", Lag("sinks", "sorted.events", 0, 4, 10, 6), 50.0, True),
        Late("sink", Lag("sinks", "sorted.events", 1, 10, 10, 0), 0.0, True),
        Late("sink", Lag("sinks", "sorted.dns_logs", 0, None, 0, 0), 0.0, False),
    ),
    paces=(
        pace("sorts", "ingest.events", 1, 2.0, 1.0),
        pace("sinks", "sorted.events", 6, 50.0, math.inf),
        pace("sinks", "sorted.dns_logs", 0, 0.0, 0.0),
    ),
    findings=(Finding(What.STALLED, "sinks", "sorted.events", 1, "group sinks has committed nothing"),),
    workers=(
        worker("edge", "e", Condition(spool_share=0.25, spool_seconds=9.0, lag_seconds=9.0)),
        worker("sink", "a", Condition(InForce(12, "abc", 1.0), parked_pairs=3, parked_left_seconds=7200.0)),
        worker("sink", HOSTILE, Condition(troubles=("a table is broken",)), age=99.0),
    ),
    tenants=(Share("acme", "events", 5, 50.0, 10, 2000, 60.0), Share(OTHERS, OTHERS, 1, 1.0, 5, 1000, 2.0)),
    pressure=Pressure(Level.SLOW, causes=("sinks are late",)),
)


class Shown:
    """The application on a terminal of no screen, and what it is given to see."""

    def __init__(self, pilot: Pilot[None], app: Top) -> None:
        self.pilot = pilot
        self.app = app

    def rows(self, id: str = "rows") -> list[list[str]]:
        table = self.app.screen_stack[0].query_one(f"#{id}", DataTable)
        return [[str(cell) for cell in table.get_row_at(number)] for number in range(table.row_count)]

    def text(self, id: str) -> str:
        return str(self.app.screen_stack[0].query_one(f"#{id}", Static).render())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await self.pilot.pause(0.02)


def play(
    scene: Callable[[Shown], Awaitable[None]], look: Callable[[], Look] = lambda: LOOK, every: float = 0.05
) -> None:
    async def run() -> None:
        app = Top(look, LIMITS, every)
        async with app.run_test(size=(140, 40)) as pilot:
            shown = Shown(pilot, app)
            await shown.until(lambda: bool(shown.rows("stages")))
            await scene(shown)

    asyncio.run(run())


def test_the_stages_stand_on_top_with_their_curves_and_the_pressure() -> None:
    async def scene(shown: Shown) -> None:
        edge, sort, sink = shown.rows("stages")
        assert edge[:9] == ["edge", "1", "0", "1,200", "–", "9.0", "–", "25%", "0"]
        assert sort[:9] == ["sort", "0", "0", "0", "1", "2.0", "1 s", "2%", "0"]
        assert sink[:9] == ["sink", "1", "1", "1,200", "6", "50.0", "never", "50%", "3"]
        assert set(sink[9]) == {"█"}
        assert "pressure is slow: sinks are late" in shown.text("said")
        assert "1 found of groups" in shown.text("said")

    play(scene)


def test_lists_are_chosen_sorted_and_reversed_by_keys() -> None:
    async def scene(shown: Shown) -> None:
        assert [row[1] for row in shown.rows()] == ["sorted.events", "ingest.events", "sorted.dns_logs"]
        await shown.pilot.press("r")
        assert [row[1] for row in shown.rows()] == ["sorted.dns_logs", "ingest.events", "sorted.events"]
        assert shown.text("title") == "Groups, by late s ▲"
        await shown.pilot.press("s", "r")
        assert shown.text("title") == "Groups, by in s ▼"
        await shown.pilot.press("4")
        assert [row[0] for row in shown.rows()] == ["acme", "all others"]
        await shown.pilot.press("5")
        told = [row[1] for row in shown.rows()]
        assert {"group sinks has committed nothing", "silent for 99 s", "a table is broken"} == set(told)
        await shown.pilot.press("3")
        assert [row[0] for row in shown.rows()] == ["sink", "sink", "edge"]

    play(scene)


def test_a_group_opens_to_its_partitions_and_a_worker_to_all_it_tells() -> None:
    async def scene(shown: Shown) -> None:
        await shown.pilot.press("enter")
        assert shown.text("title") == "Partitions of sinks on sorted.events, by late s ▼"
        assert [row[2] for row in shown.rows()] == ["0", "1"]
        await shown.pilot.press("escape")
        assert shown.text("title").startswith("Groups")
        await shown.pilot.press("3", "down", "enter")
        await shown.until(lambda: isinstance(shown.app.screen, Opened))
        opened = str(shown.app.screen.query_one(Static).render())
        assert "id: \\x1b[2Jevil [red]" in opened, "foreign bytes are neither obeyed nor taken for markup"
        assert "troubles: a table is broken" in opened
        await shown.pilot.press("escape")
        await shown.until(lambda: not isinstance(shown.app.screen, Opened))

    play(scene)


def test_the_cursor_stays_on_its_row_while_looks_come() -> None:
    looks = [LOOK]

    async def scene(shown: Shown) -> None:
        await shown.pilot.press("down")
        table = shown.app.query_one("#rows", DataTable)
        assert table.cursor_row == 1
        first, second, *others = LOOK.paces
        looks.append(replace(LOOK, at_ms=1, paces=(replace(first, seconds=900.0), second, *others)))
        await shown.until(lambda: shown.rows()[0][1] == "ingest.events")
        assert table.cursor_row == 0

    play(scene, lambda: looks[-1])


def test_when_kafka_does_not_answer_what_was_seen_stays_and_it_says_since_when() -> None:
    broken = threading.Event()

    def look() -> Look:
        if broken.is_set():
            raise Retryable("no broker")
        return LOOK

    async def scene(shown: Shown) -> None:
        broken.set()
        await shown.until(lambda: "not looked at since: no broker" in shown.text("said"))
        assert len(shown.rows()) == 3
        broken.clear()
        await shown.until(lambda: "no broker" not in shown.text("said"))

    play(scene, look)


def test_paused_it_does_not_look() -> None:
    counted: list[int] = []

    def look() -> Look:
        counted.append(1)
        return LOOK

    async def scene(shown: Shown) -> None:
        await shown.pilot.press("p")
        await shown.until(lambda: "paused" in shown.text("said"))
        await shown.pilot.pause(0.2)
        before = len(counted)
        await shown.pilot.pause(0.4)
        assert len(counted) == before
        await shown.pilot.press("p")
        await shown.until(lambda: len(counted) > before)

    play(scene, look)


def test_curves_and_orders() -> None:
    assert spark([0, 1, 2, 4, 8]) == "▁▂▃▅█"
    assert spark([0, 0]) == "▁▁"
    assert spark([]) == ""
    rows = [{"a": 1}, {"a": None}, {"a": 3}, {"a": "x"}]
    assert [row["a"] for row in ordered(rows, "a", descending=True)] == ["x", 3, 1, None]
    assert [row["a"] for row in ordered(rows, "a", descending=False)] == [1, 3, "x", None]


def test_every_view_lists_the_columns_that_its_rows_have() -> None:
    history = History(LIMITS)
    history.take(LOOK)
    for view in top_rows.VIEWS:
        [first, *_] = view.rows(LOOK, history)
        assert set(view.columns) <= set(first), view.name
        assert view.order in view.columns


def test_without_its_extra_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError("No module named 'textual'", name="textual.app")

    monkeypatch.setattr(main, "import_module", missing)
    assert main.run(["top"]) == main.WRONG_USE
    assert "top" in main.COMMANDS
    assert CliRunner().invoke(main.build(None), ["--help"]).exit_code == 0
