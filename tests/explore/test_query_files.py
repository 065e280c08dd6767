"""An answer as a file, whole or not at all; and how far a long query is, told while people wait."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from logflume.cli import filed
from logflume.cli.main import DONE, REFUSED, WRONG_USE, run
from logflume.cli.progress import Progress
from logflume.errors import Refused, Retryable
from logflume.explore import query
from logflume.explore.answers import Seen
from logflume.explore.engine.engine import Scanned
from logflume.table.store import Store
from tests.support.asking import Asking, forks
from tests.support.tables import SMALL, append
from tests.support.waiting import until

ALL = "SELECT * FROM http_requests ORDER BY RayID"
Write = Callable[[Path, pa.Schema, Iterator[pa.RecordBatch]], int]


def batches(rows: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, rows, 1000):
        yield pa.record_batch({"n": list(range(start, min(start + 1000, rows)))})


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def read(path: Path) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.read_table(path)
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


@pytest.fixture(params=[("parquet", filed.write_parquet), ("arrow", filed.write_arrow)], ids=["parquet", "arrow"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Write]:
    name, write = request.param
    return tmp_path / f"rows.{name}", write


SCHEMA = pa.schema([("n", pa.int64())])


def test_all_rows_are_in_the_file(written: tuple[Path, Write]) -> None:
    path, write = written
    path.write_text("what stood there")
    assert write(path, SCHEMA, batches(250_500)) == 250_500
    assert read(path).column("n").to_pylist() == list(range(250_500))
    assert names(path.parent) == [path.name]
    assert write(path, SCHEMA, batches(0)) == 0
    assert read(path).schema.names == ["n"]


def test_row_groups_are_larger_than_an_answers_batches(tmp_path: Path) -> None:
    filed.write_parquet(tmp_path / "x", SCHEMA, batches(250_500))
    metadata = pq.read_metadata(tmp_path / "x")
    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [100_000, 100_000, 50_500]


def test_no_part_of_an_answer_has_the_files_name(written: tuple[Path, Write]) -> None:
    path, write = written

    def failing() -> Iterator[pa.RecordBatch]:
        yield from batches(200_000)
        assert not path.exists()
        raise Refused("the query failed")

    with pytest.raises(Refused, match="the query failed"):
        write(path, SCHEMA, failing())
    assert names(path.parent) == []
    path.write_text("what stood there")
    with pytest.raises(KeyboardInterrupt):
        write(path, SCHEMA, (_ for _ in ()).throw(KeyboardInterrupt))
    assert path.read_text() == "what stood there"
    assert names(path.parent) == [path.name]


def test_a_disk_that_fails_is_told_with_the_files_name(
    written: tuple[Path, Write], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = written

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Retryable, match=rf"{path.name} could not be written: .*No space left"):
        write(path, SCHEMA, batches(10))
    assert names(path.parent) == []


def test_two_columns_of_one_name_have_two(written: tuple[Path, Write]) -> None:
    path, write = written
    twice = pa.RecordBatch.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    write(path, twice.schema, iter([twice]))
    assert read(path).to_pylist() == [{"a": 1, "a:2": 2}]


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    store = Store(f"file://{tmp_path}/store")
    append(store, ["one", "two", "three"], RequestHeaders=[[("k", "v")], None, []])
    monkeypatch.setenv("LOGFLUME_STORE_URL", store.url)
    monkeypatch.setattr(query, "opened", partial(query.opened, forks=forks()))

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(["query", *arguments, "--tenant", "acme"])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_the_command_writes_what_it_would_print(command: Command, tmp_path: Path) -> None:
    told = [json.loads(line)["RayID"] for line in command(ALL, "--json")[1].splitlines()]
    for option, path in (("--parquet", tmp_path / "x.parquet"), ("--arrow", tmp_path / "x.arrow")):
        code, out, err = command(ALL, option, str(path))
        assert (code, out) == (DONE, "")
        assert "3 rows in" in err
        assert read(path).column("RayID").to_pylist() == told
        assert dict(read(path).column("RequestHeaders").to_pylist()[0]) == {"k": "v"}
    code, _, err = command(ALL, "--parquet", str(tmp_path / "x.parquet"), "--limit", "2")
    assert "There are more rows: this is the limit of 2." in err
    assert read(tmp_path / "x.parquet").num_rows == 2


def test_the_command_makes_no_file_of_a_query_that_fails(command: Command, tmp_path: Path) -> None:
    before = names(tmp_path)
    assert command("SELECT nothing FROM http_requests", "--parquet", str(tmp_path / "x"))[0] == REFUSED
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--parquet", "{}"), "is a folder"),
        (("--parquet", "{}/none/x"), "there is no folder"),
        (("--parquet", "{}/x", "--json"), "--json and --parquet exclude each other"),
        (("--parquet", "{}/x", "--arrow", "{}/y"), "--parquet and --arrow exclude each other"),
    ],
)
def test_where_no_file_can_be_the_query_does_not_run(
    command: Command, tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    code, _, err = command(ALL, *(option.format(tmp_path) for option in options))
    assert code == WRONG_USE
    assert why in err


# --- progress ---------------------------------------------------------------------------------------------------------


def screen(terminal: bool = True) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, force_terminal=terminal, width=120), file


SEEN = Seen(1_234, Scanned(3, 7_000, 2_500_000, 10_000_000))


def test_a_long_query_says_how_far_it_is_and_then_no_more() -> None:
    console, file = screen()
    with Progress(lambda: SEEN, console=console, after_seconds=0.01) as progress:
        until(lambda: "3 of 7,000 files, 2.5 MB of 10.0 MB, 1,234 rows" in file.getvalue(), 10, "it")
        assert list(progress.until_read(batches(3000)))
        ended = file.getvalue()
        assert ended.endswith("\x1b[2K")  # its line is empty again
    assert file.getvalue() == ended


def test_one_that_waits_says_so() -> None:
    console, file = screen()
    with Progress(lambda: None, console=console, after_seconds=0.01):
        until(lambda: "waiting, 0 s" in file.getvalue(), 10, "it")


def test_nothing_is_shown_of_a_short_one_nor_where_nobody_looks() -> None:
    asked = []
    for terminal, after in ((True, 60.0), (False, 0.0)):
        console, file = screen(terminal)
        with Progress(lambda: asked.append(1), console=console, after_seconds=after) as progress:
            list(progress.until_read(batches(10)))
        assert file.getvalue() == ""
    assert asked == []


def test_how_far_a_query_of_the_tables_is_can_be_seen(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}")
    append(store, ["one", "two"])
    given = Asking(store, {"http_requests": SMALL})
    with query.opened(given.settings, store, given.datasets, forks=forks()) as explorer:
        assert explorer.seen() is None
        with explorer.query("acme", ALL) as result:
            assert sum(batch.num_rows for batch in result.batches) == 2
            seen = explorer.seen()
            assert seen is not None
            assert (seen.rows, seen.scanned.files, seen.scanned.of_files) == (2, 1, 1)
