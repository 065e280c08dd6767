"""``make mutate``: take each rule out of a copy of the tree, and see the named test fail.

First the named tests must pass on the copy as it is. Exit code 1 when a mutation survives, when its old text is gone,
when a test hangs, or when one fails without any mutation. ``run.py NAME …`` runs only the mutations of these names.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.mutations.mutation import Mutation  # noqa: E402
from tests.mutations.table import MUTATIONS  # noqa: E402

_PARTS = ("streams", "deploy", "tests", "topics", "docs", "pyproject.toml", "README.md", "SECURITY.md", "Makefile")
_SECONDS = 400
_FAILED = 1
"""pytest's exit code for tests that ran and failed; anything else is a test that was not run."""
_HUNG = -1
"""A test that took too long has noticed nothing: the machine may have been busy."""


def pytest(copy: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run tests in the copy, its code in front of the installed one: also in the processes that tests start."""
    data = os.environ.get("LOGFLUME_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    environment = os.environ | {"PYTHONPATH": str(copy / "streams"), "LOGFLUME_TEST_DATA": data}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    code, output = bounded(command, copy, environment, _SECONDS)
    return (_HUNG if "from pytest-timeout" in output else code), output[-4000:]


def bounded(command: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float) -> tuple[int, str]:
    """Run a command; after ``seconds`` kill it with all that it started, in whatever session, and return ``_HUNG``."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        parent = psutil.Process(process.pid)
        parent.suspend()  # it shall start no more while its children are counted
        for each in [*parent.children(recursive=True), parent]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        return _HUNG, f"it hung for {seconds:.0f} s\n{process.communicate()[0]}"
    return process.returncode, output


def verdict(copy: Path, mutation: Mutation) -> tuple[bool, str]:
    """Apply a mutation, run its test, take the mutation back. Returns whether the test noticed, and a word on it."""
    file = copy / mutation.file
    text = file.read_text()
    if text.count(mutation.old) != 1:
        return False, f"its old text occurs {text.count(mutation.old)} times"
    file.write_text(text.replace(mutation.old, mutation.new))
    try:
        code, output = pytest(copy, [mutation.test])
    finally:
        file.write_text(text)
    if code == _FAILED:
        return True, "caught"
    return False, "SURVIVED" if code == 0 else f"its test was not run (pytest {code}):\n{output}"


def main() -> int:
    """Run the mutations; returns the exit code."""
    console = Console(width=150 if not sys.stdout.isatty() else None)
    chosen = [m for m in MUTATIONS if not sys.argv[1:] or m.name in sys.argv[1:]]
    if not chosen:
        console.print("no such mutation; there are:", ", ".join(m.name for m in MUTATIONS))
        return 2
    with tempfile.TemporaryDirectory(prefix="logflume-mutate-") as folder:
        copy = Path(folder)
        for part in _PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
            elif (ROOT / part).exists():
                shutil.copy(ROOT / part, copy / part)
        console.print(f"{len(chosen)} mutations. First their tests as things are …")
        code, output = pytest(copy, sorted({re.sub(r"\[.*", "", m.test) for m in chosen}))
        if code:
            console.print(f"without any mutation a test fails:\n{output}", markup=False)
            return 1
        table = Table("rule taken out", "file", "test", "result", "seconds")
        survived = 0
        for mutation in chosen:
            began = time.monotonic()
            caught, word = verdict(copy, mutation)
            survived += not caught
            console.print(f"{mutation.name}: {word}", markup=False)
            table.add_row(
                mutation.rule,
                mutation.file.removeprefix("streams/logflume/"),
                mutation.test.rpartition("::")[2],
                word.splitlines()[0],
                f"{time.monotonic() - began:.0f}",
            )
        console.print(table)
        console.print(f"{len(chosen) - survived} of {len(chosen)} caught")
        return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
