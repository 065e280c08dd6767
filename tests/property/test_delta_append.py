"""A Hypothesis state machine for the Delta append: T1–T6 of logflume.table.table."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from logflume.table import log
from logflume.table.table import Table
from tests.support import tables
from tests.support.schedules import examples
from tests.support.tables import SMALL, Crash, TroubledStore
from tests.support.walks import Step, Walk, often, walks

WRITERS = 3
APPS = ("logflume/topic/0", "logflume/topic/1")
TROUBLES = (None, None, "crash", "fail", "crash-after", "unheard")


def row_ids(app: str, first: int, end: int) -> list[tuple[int, str]]:
    """A sorted partition: a pure function of its offsets; some hold several of the tenant's rows, some none."""
    return [(offset, f"{app}:{offset}:{row}") for offset in range(first, end) for row in range((offset * 7) % 4)]


class DeltaAppend(RuleBasedStateMachine):
    """Writers with stale knowledge, of either partition, crash, are overtaken, and try again with other cuts."""

    def __init__(self) -> None:
        super().__init__()
        self.happened = Counter[str]()
        self.folder = Path(tempfile.mkdtemp(prefix="logflume-append-"))
        self.stores = [TroubledStore(f"file://{self.folder}") for _ in range(WRITERS)]
        self.progress: dict[str, int | None] = dict.fromkeys(APPS)
        self.expected: list[str] = []

    @initialize()
    def begin(self) -> None:
        self.path = self.stores[0].table("acme", SMALL.name)

    def _append(self, writer: int, app: str, first: int, upto: int) -> None:
        cut = row_ids(app, first, upto)
        offsets = np.array([offset for offset, _ in cut], dtype=np.int64)
        Table(self.stores[writer], SMALL, "acme").append(app, upto, offsets, tables.rows([id for _, id in cut]))

    def _expect(self, app: str, first: int, upto: int) -> None:
        start = max(first, self.progress[app] or 0)
        new = [id for _, id in row_ids(app, start, upto)]
        if new:
            self.expected += new
            self.progress[app] = upto

    def _cut(self, app: str, back: int, ahead: int) -> tuple[int, int]:
        """A cut that leaves no hole: it begins at or before what the table has, and may end before it too."""
        reached = self.progress[app] or 0
        first = max(0, reached - back)
        return first, first + ahead

    @rule(
        writer=st.integers(0, WRITERS - 1),
        app=st.sampled_from(APPS),
        back=st.integers(0, 8),
        ahead=st.integers(1, 14),
        trouble=st.sampled_from(TROUBLES),
    )
    def append(self, writer: int, app: str, back: int, ahead: int, trouble: Any) -> None:
        first, upto = self._cut(app, back, ahead)
        store = self.stores[writer]
        store.trouble = trouble
        asked = trouble is not None
        crashed = False
        had = self.progress[app] or 0
        try:
            self._append(writer, app, first, upto)
        except Crash:
            crashed = True
            store.heads.forget(self.path)  # a process that ended remembers nothing
        reached = asked and store.trouble is None  # an append that had nothing to store puts none
        store.trouble = None
        if reached:
            self.happened[f"trouble: {trouble}"] += 1
        if not (crashed and reached and trouble == "crash"):
            self._expect(app, first, upto)
        new = (self.progress[app] or 0) > had
        self.happened["stored, a part not for the first time" if first < had else "stored"] += new
        self.happened["all there already"] += upto <= had

    @rule(
        writer=st.integers(0, WRITERS - 1),
        others=st.integers(1, WRITERS - 1),
        app=st.sampled_from(APPS),
        other_app=st.sampled_from(APPS),
        back=st.integers(0, 8),
        ahead=st.integers(1, 14),
        other_ahead=st.integers(1, 14),
    )
    def overtaken(
        self, writer: int, others: int, app: str, other_app: str, back: int, ahead: int, other_ahead: int
    ) -> None:
        """Another writer, perhaps of the same partition, commits after this one has read and before it commits."""
        first, upto = self._cut(app, back, ahead)
        other_first, other_upto = self._cut(other_app, 0, other_ahead)

        def overtake() -> None:
            self.happened[f"overtaken by {'the same' if app == other_app else 'another'} partition"] += 1
            self._append((writer + others) % WRITERS, other_app, other_first, other_upto)
            self._expect(other_app, other_first, other_upto)

        self.stores[writer].trouble = overtake
        self._append(writer, app, first, upto)
        self.stores[writer].trouble = None
        self._expect(app, first, upto)

    @rule()
    def checkpoint(self) -> None:
        self.happened["checkpoint"] += bool(self.expected)
        log.checkpoint(self.stores[0], self.path)

    @rule()
    def delete_by_hand(self) -> None:
        self.happened["deleted by hand"] += bool(self.expected)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.folder / self.path)
        self.expected = []
        # What is below the group's commit does not come back: the next cut begins at or before where it was.
        self.progress = dict.fromkeys(APPS)

    @rule()
    def the_table_holds_each_row_once(self) -> None:
        if self.expected:
            assert tables.ids(self.stores[0]) == sorted(self.expected)

    def teardown(self) -> None:
        try:
            self.the_table_holds_each_row_once()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def test_rows_come_back_after_a_table_was_deleted_whose_head_the_writer_remembers() -> None:
    machine = DeltaAppend()
    machine.begin()
    for _ in range(2):
        machine.append(writer=0, app=APPS[0], back=0, ahead=7, trouble=None)
        machine.the_table_holds_each_row_once()
        machine.delete_by_hand()
    machine.teardown()


DeltaAppend.TestCase.settings = settings(
    max_examples=examples(15), stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
)
TestDeltaAppend = DeltaAppend.TestCase

OFTEN = {
    "stored": 50,
    "stored, a part not for the first time": 10,
    "all there already": 8,
    "trouble: crash": 8,
    "trouble: crash-after": 10,
    "trouble: fail": 10,
    "trouble: unheard": 10,
    "overtaken by the same partition": 9,
    "overtaken by another partition": 10,
    "checkpoint": 4,
    "deleted by hand": 2,
}


def _begin(random: Random) -> Walk:
    machine = DeltaAppend()
    machine.begin()

    def cut() -> tuple[int, int]:
        return random.choice([0, 0, random.randint(1, 8)]), random.randint(1, 14)

    def append() -> None:
        machine.append(random.randrange(WRITERS), random.choice(APPS), *cut(), random.choice(TROUBLES))

    def overtaken() -> None:
        apps = random.choice(APPS), random.choice(APPS)
        others = random.randint(1, WRITERS - 1)
        machine.overtaken(random.randrange(WRITERS), others, *apps, *cut(), random.randint(1, 14))

    steps = [
        Step(9, append),
        Step(4, overtaken),
        Step(0.7, machine.checkpoint),
        Step(1, machine.delete_by_hand),
        Step(0.7, machine.the_table_holds_each_row_once),
    ]
    return Walk(machine, steps)


def test_a_table_holds_each_row_once_after_long_histories() -> None:
    happened = walks(_begin, range(examples(6)), 40)
    often(happened, OFTEN)
