"""The list of mutations is current: a rule that moved would silently be no longer tried."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.mutations import run
from tests.mutations.mutation import Mutation
from tests.mutations.table import MUTATIONS
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutations_text_occurs_once_and_its_test_exists(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.new != mutation.old
    file, _, test = mutation.test.partition("::")
    assert f"def {test}(" in (ROOT / file).read_text()


def test_each_mutation_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(m.name for m in MUTATIONS).items() if count > 1] == []


def test_what_hangs_is_killed_with_all_it_started_and_is_not_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = "setsid sleep 600 & echo $! > pid; sleep 600"
    code, output = run.bounded(["bash", "-c", start], tmp_path, os.environ, 1)
    assert "it hung for 1 s" in output
    child = int((tmp_path / "pid").read_text())

    def gone() -> bool:
        return not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE

    until(gone, 30, "the child's end")  # a killed process goes when the kernel gets to it
    assert not _verdict(tmp_path, monkeypatch, code, output)


def test_a_test_that_pytest_itself_ended_for_its_time_is_not_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "bounded", lambda *_: (1, "E   Failed: Timeout (>300.0s) from pytest-timeout."))
    assert run.pytest(tmp_path, ["x"])[0] not in (0, 1)
    assert not _verdict(tmp_path, monkeypatch, *run.pytest(tmp_path, ["x"]))
    assert _verdict(tmp_path, monkeypatch, 1, "assert 1 == 2")


def _verdict(copy: Path, monkeypatch: pytest.MonkeyPatch, code: int, output: str) -> bool:
    (copy / "file").write_text("old")
    monkeypatch.setattr(run, "pytest", lambda *_: (code, output))
    try:
        return run.verdict(copy, Mutation("rule", "file", "old", "new", "test"))[0]
    finally:
        monkeypatch.undo()
