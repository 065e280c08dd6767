"""T1 to T4 of the follower under any order of writing, rotating, crashing and reading."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from logflume.edge.tail.followed import Limits
from tests.support.schedules import examples
from tests.support.tail import Tail, cut, pack, write


class Rotations(RuleBasedStateMachine):
    """Each line is ``<content> <number>``: a content is what is written from one rotation to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.log = self.folder / "app.log"
        self.tail = Tail(self.folder / "app.log*", limits=Limits(record_bytes=2000, open_files=2))
        self.contents = itertools.count(1)
        self.content = next(self.contents)
        self.written: dict[int, int] = defaultdict(int)
        self.half = False
        self.others = 0

    def teardown(self) -> None:
        self.tail.spool.full = False
        self._end_line()
        found: dict[str, list[int]] = defaultdict(list)
        for text in self.tail.settle():
            content, number, *_ = text.split(" ")
            found[content].append(int(number))
        self.tail.follower.close()
        shutil.rmtree(self.folder)
        expected = {str(content): list(range(count)) for content, count in self.written.items()}
        assert found == expected

    def _line(self, content: int) -> str:
        number = self.written[content]
        self.written[content] += 1
        return f"{content} {number} {'x' * (number % 7) * 40}"

    def _end_line(self) -> None:
        if self.half:
            write(self.log, " whole")
            self.half = False

    def _anew(self) -> None:
        self.content = next(self.contents)

    @rule(count=st.integers(1, 30))
    def more(self, count: int) -> None:
        self._end_line()
        write(self.log, *(self._line(self.content) for _ in range(count)))

    @rule()
    def half_a_line(self) -> None:
        self._end_line()
        write(self.log, self._line(self.content), end="")
        self.half = True

    @rule()
    def another_file(self) -> None:
        self.others += 1
        content = next(self.contents)
        write(self.folder / f"app.log-other{self.others}", *(self._line(content) for _ in range(3)))

    @rule()
    def look(self) -> None:
        self.tail.follower.scan()

    @rule()
    def read(self) -> None:
        self.tail.follower.turn()

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        self.tail.clock.advance(seconds)

    @rule(full=st.booleans())
    def kafka_is_away(self, full: bool) -> None:
        self.tail.spool.full = full

    @rule()
    def crash(self) -> None:
        self.tail.crash()

    def _shift(self) -> Path:
        """Make room for ``app.log.1``; the oldest that were not packed stay."""
        self._end_line()
        numbered = [path for path in self.folder.iterdir() if path.suffixes and path.suffixes[-1][1:].isdigit()]
        for path in sorted(numbered, key=lambda path: -int(path.suffix[1:])):
            path.rename(path.with_suffix(f".{int(path.suffix[1:]) + 1}"))
        return self.folder / "app.log.1"

    @precondition(lambda self: self.log.exists())
    @rule()
    def rotate(self) -> None:
        self.log.rename(self._shift())
        self._anew()

    @precondition(lambda self: self.log.exists())
    @rule()
    def copy_and_cut(self) -> None:
        cut(self.log, self._shift())
        self._anew()

    @precondition(lambda self: self.log.exists() and not self.tail.spool.full)
    @rule()
    def copy_be_seen_and_cut(self) -> None:
        """The log was seen before its copy: of two new files nobody can say which is the copy."""
        copy = self._shift()
        self.tail.run()
        shutil.copy2(self.log, copy)
        self.tail.follower.scan()
        self.tail.follower.turn()
        cut(self.log)
        self._anew()

    @precondition(lambda self: _size(self.folder / "app.log.1") and not self.tail.spool.full)
    @rule(more=st.booleans())
    def pack_the_last(self, more: bool) -> None:
        """What nobody began to read would be lost: a packed file is not read for itself."""
        last = self.folder / "app.log.1"
        self.tail.clock.advance(20)
        self.tail.settle()
        if more:
            content = next(content for content in self.written if f"\n{content} ".encode() in b"\n" + last.read_bytes())
            write(last, self._line(content))
        packed = pack(last)
        packed.rename(self.folder / f"app.log.{next(self.contents)}x.gz")

    @precondition(lambda self: not self.tail.spool.full)
    @rule()
    def delete_what_was_read(self) -> None:
        self.tail.settle()
        for path in self.folder.glob("app.log.*"):
            path.unlink()

    @invariant()
    def descriptors_are_few(self) -> None:
        held = [link for link in Path("/proc/self/fd").iterdir() if str(self.folder) in _target(link)]
        deleted = [link for link in held if _target(link).endswith("(deleted)")]
        assert len(held) - len(deleted) <= 3, held


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _target(link: Path) -> str:
    try:
        return os.readlink(link)  # noqa: PTH115 - a Path would be normalised
    except OSError:
        return ""


TestRotations = Rotations.TestCase
TestRotations.settings = settings(max_examples=examples(20), stateful_step_count=20)
