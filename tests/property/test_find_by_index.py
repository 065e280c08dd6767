"""Whatever the index of ids is like, a query is handed every file that has a row with its id."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from unittest import mock

import hypothesis.strategies as st
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings

from logflume.table import parquet
from logflume.table.store import Store
from tests.support.asking import Asking
from tests.support.indexes import asked, asked_each, extended, objects, without_filters
from tests.support.schedules import examples
from tests.support.tables import SMALL, append, held

IDS = [f"{number:x}" for number in range(40)] + ["", "é☃", "x" * 70]
STEPS = st.one_of(
    st.tuples(st.just("file"), st.lists(st.sampled_from([*IDS, None]), min_size=1, max_size=30), st.booleans()),
    st.tuples(st.just("extend")),
    st.tuples(st.just("compact")),
    st.tuples(st.sampled_from(["gone", "cut", "noise", "older", "another's", "mixed up"]), st.integers(0, 1 << 30)),
)


class Walk:
    """A table and its index in a folder, and all that happens to them. ``seen``: catalogues that once stood."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(f"file://{folder}")
        self.folder = Path(self.store.full(self.store.table("acme", "http_requests")))
        self.upto = 0
        self.seen: list[bytes] = []
        self.happened = Counter[str]()
        append(self.store, ["theirs"], tenant="globex")
        extended(self.store, "globex")

    def step(self, kind: str, *more: object) -> None:
        if kind == "file":
            ids, filtered = more
            self.upto += 1_000
            with mock.patch.object(parquet, "encode", parquet.encode if filtered else without_filters):
                append(self.store, ids, upto=self.upto)  # type: ignore[arg-type]
        elif self.upto == 0:
            return
        elif kind == "extend":
            extended(self.store)
            self.seen.append((self.folder / "_ids" / "current").read_bytes())
        elif kind == "compact":
            DeltaTable(self.store.uri(self.store.table("acme", "http_requests"))).optimize.compact()
        else:
            self.harm(kind, Random(more[0]))  # type: ignore[arg-type]
        self.happened[kind] += 1

    def harm(self, kind: str, random: Random) -> None:
        there = sorted(objects(self.store).values())
        if not there:
            return
        path = random.choice(there)
        data = path.read_bytes()
        if kind == "gone":
            path.unlink()
        elif kind == "cut":
            path.write_bytes(data[: random.randrange(len(data) + 1)])
        elif kind == "noise":
            start = random.randrange(len(data) + 1)
            path.write_bytes(data[:start] + random.randbytes(random.randrange(1, 200)) + data[start + 50 :])
        elif kind == "older" and self.seen:
            (self.folder / "_ids" / "current").write_bytes(random.choice(self.seen))
        elif kind == "another's":
            shutil.copy(random.choice(sorted(objects(self.store, "globex").values())), path)
        elif kind == "mixed up":
            other = random.choice(there)
            other_data = other.read_bytes()
            other.write_bytes(data)
            path.write_bytes(other_data)

    def check(self) -> None:
        """Every id that is there, and some that are not."""
        if not self.upto:
            return
        rows = held(self.store)
        files = asked(self.store, []).files
        ids = rows.column("RayID").to_pylist() if "RayID" in rows.column_names else []  # none has one
        by_file: dict[str, set[str]] = {}
        for path, _ in files:
            part = pq.read_table(self.folder / path, partitioning=None)
            by_file[path] = set(part.column("RayID").to_pylist()) if "RayID" in part.column_names else set()
        assert sum(map(len, by_file.values())) >= len(set(ids)) - 1
        looked_for = [*IDS, "absent"]
        for id, look in zip(looked_for, asked_each(self.store, [[id] for id in looked_for]), strict=True):
            handed = {path for (path, _), may in zip(look.files, look.may, strict=True) if may}
            assert handed >= {path for path, has in by_file.items() if id in has}, id


@contextmanager
def walk() -> Iterator[Walk]:
    with tempfile.TemporaryDirectory(prefix="logflume-ids-") as folder:
        yield Walk(Path(folder))


@settings(max_examples=examples(30))
@given(st.lists(STEPS, min_size=2, max_size=9))
def test_a_query_is_handed_every_file_that_has_its_id(steps: list[tuple[object, ...]]) -> None:
    with walk() as walked:
        for kind, *more in steps:
            walked.step(str(kind), *more)
        walked.check()


def test_the_walks_go_where_it_hurts() -> None:
    """Each harm to an index that knows files, and what comes after."""
    ids = [["a", "b", None], ["c", "a"], [None, None], ["d"] * 3]
    for number, kind in enumerate(["gone", "cut", "noise", "older", "another's", "mixed up"] * 3):
        with walk() as walked:
            for more in ids[:2]:
                walked.step("file", more, number % 2 == 0)
            walked.step("extend")
            walked.step("file", ids[2], True)
            walked.step("extend")
            walked.step("file", ids[3], True)
            walked.step(kind, number)
            walked.check()
            walked.step("compact")
            walked.check()
            walked.step("extend")
            walked.check()
            assert walked.happened[kind] == 1


@pytest.mark.parametrize("known", [0, 3, 6])
def test_find_by_index_finds_what_a_scan_finds(tmp_path: Path, known: int) -> None:
    """By the engine, whole: an id once, an id of several files, in a file without filters, absent, empty; and null."""
    store = Store(f"file://{tmp_path}")
    files = [["a", "b", None], ["c", "a"], [None, None], ["", "d"], ["e"], ["f", "a"]]
    for number, ids in enumerate(files):
        with mock.patch.object(parquet, "encode", parquet.encode if number != 4 else without_filters):
            append(store, ids, upto=1_000 * (number + 1))  # type: ignore[arg-type]
        if number + 1 == known:
            extended(store)
    asking = Asking(store, {"http_requests": SMALL})
    shown = '"RayID", "_src_offset", "_date"'
    for id in ["a", "b", "c", "d", "e", "", "absent", "'"]:
        text = id.replace("'", "''")
        where = f"\"RayID\" = '{text}' AND _src_offset >= 0"
        scan = f"\"RayID\" IS NOT NULL AND \"RayID\" || '' = '{text}'"
        found, scanned = (
            asking("acme", f"SELECT {shown} FROM http_requests WHERE {condition} ORDER BY 1, 2")
            for condition in (where, scan)
        )
        assert found.table.equals(scanned.table), id
        [whole] = asking.find("acme", id)
        assert whole.rows.num_rows == scanned.table.num_rows
        assert whole.scanned.files < len(files)
    several = asking("acme", "SELECT \"RayID\" FROM http_requests WHERE \"RayID\" IN ('c', 'e') ORDER BY 1")
    assert several.table.column("RayID").to_pylist() == ["c", "e"]
    assert several.scanned.files == 2
    nulls = asking("acme", 'SELECT count(*) AS n FROM http_requests WHERE "RayID" IS NULL')
    assert nulls.table.column("n").to_pylist() == [3]
