"""A folder as destination: crashes, full disks, rights (F1 to F3)."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from logflume.clock import ManualClock
from logflume.destinations.folder import Folder
from logflume.errors import Misconfigured, Retryable

DAY = 86_400


def test_f1_a_file_has_its_bytes_on_disk_before_its_name_and_its_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    real_sync, real_link = os.fsync, os.link

    def fsync(handle: int) -> None:
        done.append("sync " + str(Path(f"/proc/self/fd/{handle}").readlink()).replace(str(tmp_path), ""))
        real_sync(handle)

    def link(old: Path, new: Path) -> None:
        done.append("link")
        real_link(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    Folder(tmp_path).write("a/b/1", b"x")
    assert done[:2] == ["sync ", "sync /a"]  # the folders that were made, in those above them
    assert done[2].startswith("sync /.unfinished/")
    assert done[3:] == ["link", "sync /a/b"]


def test_f2_a_name_that_is_taken_is_never_replaced(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.write("a", b"first")
    before = (tmp_path / "a").stat()
    assert not folder.write("a", b"first").made
    assert (tmp_path / "a").stat().st_ino == before.st_ino


def test_f2_of_two_who_write_at_once_one_makes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: False)  # both looked before either wrote
    assert Folder(tmp_path).write("a", b"x").made
    assert not Folder(tmp_path).write("a", b"x").made
    assert list((tmp_path / ".unfinished").iterdir()) == []


def test_f3_what_a_crash_left_is_deleted_a_day_later_and_not_before(tmp_path: Path) -> None:
    left = tmp_path / ".unfinished" / "x.tmp"
    left.parent.mkdir()
    left.write_bytes(b"half")
    clock = ManualClock(time.time_ns())
    clock.advance(DAY - 60)
    Folder(tmp_path, clock).write("a", b"x")
    assert left.exists()
    clock.advance(120)
    Folder(tmp_path, clock).write("b", b"x")
    assert not left.exists()


def _failing(number: int) -> Any:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, Retryable),
        (errno.EDQUOT, Retryable),
        (errno.EIO, Retryable),
        (errno.EROFS, Misconfigured),
        (errno.EACCES, Misconfigured),
    ],
    ids=errno.errorcode.get,
)
def test_what_a_disk_refuses_is_typed_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _failing(number))
        with pytest.raises(kind, match=f"a can't be stored or looked up: {os.strerror(number)}"):
            Folder(tmp_path).write("a", b"x")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert Folder(tmp_path).write("a", b"x").made


def test_a_file_system_without_hard_links_takes_whole_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", _failing(errno.EPERM))
    folder = Folder(tmp_path)
    assert folder.write("a", b"x").made
    assert not folder.write("a", b"x").made
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["a"]


def test_a_folder_that_is_not_there_is_misconfigured_and_not_made(tmp_path: Path) -> None:
    for call in (lambda: Folder(tmp_path / "no").write("a", b"x"), lambda: Folder(tmp_path / "no").holds("a")):
        with pytest.raises(Misconfigured, match="there is no such folder"):
            call()
    assert not (tmp_path / "no").exists()


def test_a_folder_in_an_objects_place_is_misconfigured(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(Misconfigured, match="a can't be stored"):
        Folder(tmp_path).write("a", b"x")
    assert not Folder(tmp_path).holds("a")
