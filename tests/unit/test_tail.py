"""Files followed into a spool: T1 to T6 of ``logflume.edge.tail.follower``, a test for each way to rotate."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from logflume.edge.tail.followed import Limits
from tests.support.tail import Tail, cut, pack, write


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def test_lines_are_put_once_and_in_order_as_they_come(log: Path) -> None:
    tail = Tail(log)
    write(log, "one", "two")
    assert tail.settle() == ["one", "two"]
    write(log, "three")
    assert tail.settle() == ["one", "two", "three"]


def test_t1_a_crash_at_any_put_neither_loses_nor_repeats(log: Path) -> None:
    tail = Tail(log, limits=Limits(record_bytes=1000))
    write(log, *(f"line {n:06} {'x' * 100}" for n in range(20_000)))
    tail.follower.scan()
    while tail.follower.turn():
        tail.crash()
        tail.follower.scan()
    texts = tail.settle()
    assert tail.spool.puts > 2
    assert [text[5:11] for text in texts] == [f"{n:06}" for n in range(20_000)]


def test_t1_a_put_that_was_refused_is_put_once(log: Path) -> None:
    tail = Tail(log, format="json")
    write(log, '{"message": "a"}')
    tail.spool.full = True
    assert tail.run() == []
    assert tail.follower.full
    write(log, '{"message": "b"}')
    assert tail.run() == []
    tail.spool.full = False
    assert tail.settle() == ["a", "b"]
    assert not tail.follower.full


def test_t5_a_crash_while_the_spool_is_full_loses_nothing(log: Path) -> None:
    tail = Tail(log)
    write(log, "a", "b")
    tail.spool.full = True
    tail.run()
    tail.crash()
    tail.spool.full = False
    assert tail.settle() == ["a", "b"]


def test_a_last_line_without_newline_waits_for_it(log: Path) -> None:
    tail = Tail(log)
    write(log, "one", "tw", end="")
    assert tail.settle() == ["one"]
    write(log, "o")
    assert tail.settle() == ["one", "two"]


def test_t3_a_renamed_file_is_read_to_its_end_and_the_new_one_from_its_beginning(log: Path) -> None:
    tail = Tail(log)
    write(log, "one")
    tail.run()
    old = log.rename(log.with_suffix(".1"))
    write(old, "two")
    write(log, "three")
    write(old, "four", end="")
    assert sorted(tail.settle()) == ["four", "one", "three", "two"]


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_t3_a_file_renamed_while_nobody_followed_is_known_again(log: Path, pattern: str) -> None:
    tail = Tail(log.parent / pattern)
    write(log, "one", "two")
    tail.settle()
    write(log, "three")
    log.rename(log.parent / "app.log.1")
    write(log, "four")
    tail.crash()
    assert sorted(tail.settle()) == ["four", "one", "three", "two"]
    (log.parent / "app.log.1").rename(log.parent / "app.log.2")
    log.rename(log.parent / "app.log.1")
    write(log, "five")
    tail.crash()
    assert sorted(tail.settle()) == ["five", "four", "one", "three", "two"]


def test_t3_a_deleted_file_is_read_to_its_end(log: Path) -> None:
    tail = Tail(log)
    write(log, "one")
    tail.run()
    write(log, "two", "three", end="")
    log.unlink()
    assert tail.settle() == ["one", "two", "three"]
    assert tail.follower.files == 0
    assert not [name for name in tail.spool.marks if name.startswith("tail/")], "its place is forgotten"


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_t3_what_was_not_read_before_it_was_packed_is_read_out_of_the_packed_file(log: Path, pattern: str) -> None:
    tail = Tail(log.parent / pattern)
    write(log, *(f"line {n}" for n in range(5)))
    tail.settle()
    write(log, *(f"line {n}" for n in range(5, 3000)))
    pack(log.rename(log.parent / "app.log.1"))
    write(log, "new")
    tail.crash()
    assert sorted(tail.settle()) == sorted([f"line {n}" for n in range(3000)] + ["new"])
    tail.crash()
    assert len(tail.settle()) == 3001


def test_t3_a_packed_file_that_was_read_wholly_gives_nothing_more(log: Path) -> None:
    tail = Tail(log)
    write(log, "one", "two")
    tail.settle()
    tail.follower.close()
    pack(log)
    tail.crash()
    assert tail.settle() == ["one", "two"]


def test_t3_an_older_packed_file_with_the_same_beginning_is_none_of_it(log: Path) -> None:
    old = log.parent / "app.log.1"
    write(old, "banner", "older")
    os.utime(old, (1, 1))
    pack(old)
    tail = Tail(log)
    write(log, "banner")
    tail.settle()
    log.unlink()
    tail.crash()
    assert tail.settle() == ["banner"]


def test_t3_a_torn_packed_file_is_tried_again_and_ends_nothing(log: Path) -> None:
    tail = Tail(log)
    write(log, *(f"line {n}" for n in range(300)))
    tail.settle()
    write(log, "last")
    tail.follower.close()
    packed = pack(log)
    whole = packed.read_bytes()
    packed.write_bytes(whole[:-20])
    write(log, "new")
    tail.crash()
    assert tail.settle()[-1] == "new"
    packed.write_bytes(whole)
    assert sorted(tail.settle()[300:]) == ["last", "new"]


def test_t3_an_inode_that_is_used_again_is_another_file(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tail = Tail(log.parent / "*.log", limits=Limits(open_files=1))
    write(log, "one", "two")
    tail.settle()
    tail.follower.close()
    # In place, as an inode used again looks to one who was away: other bytes, as many or more.
    log.write_text("three\nfour\nfive\n")
    tail.crash()
    assert tail.settle() == ["one", "two", "three", "four", "five"]


def test_t4_a_file_that_was_cut_is_begun_anew(log: Path) -> None:
    tail = Tail(log)
    write(log, "one", "two")
    tail.settle()
    cut(log)
    write(log, "three")
    assert tail.settle() == ["one", "two", "three"]


def test_t4_a_file_that_was_cut_and_grew_past_its_place_is_begun_anew(log: Path) -> None:
    tail = Tail(log)
    write(log, "one", "two")
    tail.settle()
    cut(log)
    write(log, "three", "four", "five")
    assert tail.settle() == ["one", "two", "three", "four", "five"]


def test_t4_a_record_that_was_read_but_not_at_its_end_survives_the_cut(log: Path) -> None:
    tail = Tail(log)
    write(log, "one", "two", "  more of two")
    assert tail.run() == ["one"]
    cut(log)
    write(log, "three")
    assert tail.settle() == ["one", "two\n  more of two", "three"]


def test_t4_a_copy_that_the_sources_name_gives_what_was_not_read_before_the_cut(log: Path) -> None:
    tail = Tail(log.parent / "app.log*")
    write(log, "one", "two")
    tail.settle()
    write(log, "three")
    cut(log, log.parent / "app.log.1")
    write(log, "four")
    assert sorted(tail.settle()) == ["four", "one", "three", "two"]
    tail.crash()
    assert len(tail.settle()) == 4


def test_t4_a_copy_seen_before_the_cut_is_not_read_twice(log: Path) -> None:
    tail = Tail(log.parent / "app.log*")
    write(log, "one", "two")
    tail.settle()
    copy = log.parent / "app.log.1"
    shutil.copy2(log, copy)
    assert tail.run() == ["one", "two"]
    write(log, "three")
    shutil.copy2(log, copy)
    cut(log)
    write(log, "four")
    assert sorted(tail.settle()) == ["four", "one", "three", "two"]


def test_t4_a_cut_while_nobody_followed_is_found_by_the_content(log: Path) -> None:
    tail = Tail(log.parent / "app.log*")
    write(log, "one", "two")
    tail.settle()
    write(log, "three")
    cut(log, log.parent / "app.log.1")
    write(log, "four", "five", "six")
    tail.crash()
    assert sorted(tail.settle()) == sorted(["one", "two", "three", "four", "five", "six"])


def test_the_nuls_that_a_cut_leaves_before_a_writer_are_left_out(log: Path) -> None:
    tail = Tail(log)
    with log.open("w") as writer:
        writer.write("one\ntwo\n")
        writer.flush()
        tail.settle()
        os.truncate(log, 0)
        writer.seek(50_000_000)
        writer.write("three\n")
        writer.flush()
        assert tail.settle() == ["one", "two", "three"]
    write(log, "four")
    tail.crash()
    assert tail.settle() == ["one", "two", "three", "four"]


def test_links_are_followed_and_a_file_with_two_names_is_read_once(tmp_path: Path) -> None:
    pods, containers = tmp_path / "pods", tmp_path / "containers"
    pods.mkdir()
    containers.mkdir()
    write(pods / "0.log", "one")
    (containers / "x.log").symlink_to(pods / "0.log")
    tail = Tail(containers / "*.log", pods / "*.log")
    assert tail.settle() == ["one"]
    (pods / "0.log").rename(pods / "0.log.old")
    write(pods / "0.log.old", "two")
    write(pods / "0.log", "three")
    tail.crash()
    assert sorted(tail.settle()) == ["one", "three", "two"]


def test_new_files_are_found_in_any_depth_and_excluded_ones_left_out(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "**" / "*.log", exclude=["*debug*"])
    tail.run()
    (tmp_path / "a" / "b").mkdir(parents=True)
    write(tmp_path / "a" / "b" / "x.log", "one")
    write(tmp_path / "a" / "debug.log", "two")
    assert tail.settle() == ["one"]


def test_from_end_leaves_out_what_existed_at_the_very_first_start_and_nothing_else(log: Path) -> None:
    write(log, "old", "half", end="")
    tail = Tail(log.parent / "*.log", from_end=True)
    assert tail.run() == []
    write(log, " a line")
    write(log.parent / "b.log", "new")
    assert sorted(tail.settle()) == ["half a line", "new"]
    tail.crash()
    write(log.parent / "c.log", "later")
    assert sorted(tail.settle()) == ["half a line", "later", "new"]


def test_t6_descriptors_are_bounded_and_closed_files_go_on(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "*.log", limits=Limits(open_files=3))
    names = [tmp_path / f"{n:02}.log" for n in range(20)]
    for turn in range(3):
        for name in names:
            write(name, f"{name.name} {turn}")
        tail.settle()
        held = [link for link in Path("/proc/self/fd").iterdir() if str(tmp_path) in _target(link)]
        assert len(held) <= 3
    assert sorted(tail.spool.texts()) == sorted(f"{name.name} {turn}" for name in names for turn in range(3))


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def test_t6_a_closed_file_that_is_another_one_now_is_begun_anew(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "*.log", limits=Limits(open_files=1))
    write(tmp_path / "a.log", "a1", "a2")
    write(tmp_path / "b.log", "b1")
    tail.settle()
    (tmp_path / "a.log").write_text("x1\nx2\nx3\n")
    (tmp_path / "b.log").write_text("y1\ny2\ny3\n")
    assert sorted(tail.settle()) == ["a1", "a2", "b1", "x1", "x2", "x3", "y1", "y2", "y3"]


def test_the_place_of_a_file_that_is_gone_is_forgotten_after_a_day(log: Path) -> None:
    tail = Tail(log)
    write(log, "one")
    tail.settle()
    tail.follower.close()
    log.unlink()
    tail.crash()
    tail.settle()
    assert [name for name in tail.spool.marks if name.startswith("tail/")]
    tail.crash()
    tail.clock.advance(2 * 86_400)
    tail.settle()
    assert not [name for name in tail.spool.marks if name.startswith("tail/")]


def test_a_file_that_may_not_be_read_costs_no_other(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(log, "one")
    write(log.parent / "b.log", "two")
    true_open = os.open

    def refusing(path: str, *rest: int) -> int:
        if str(path).endswith("b.log"):
            raise PermissionError(13, "not yours", path)
        return true_open(path, *rest)

    monkeypatch.setattr(os, "open", refusing)
    tail = Tail(log.parent / "*.log")
    assert tail.settle() == ["one"]
    monkeypatch.undo()
    assert tail.settle() == ["one", "two"]


def test_a_known_file_that_may_not_be_read_any_more_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = Tail(tmp_path / "*.log", limits=Limits(open_files=1))
    for name in ("a", "b"):
        write(tmp_path / f"{name}.log", f"{name}1")
    tail.settle()
    true_open = os.open

    def refusing(path: str, *rest: int) -> int:
        if str(path).endswith("a.log"):
            raise PermissionError(13, "not yours any more", path)
        return true_open(path, *rest)

    monkeypatch.setattr(os, "open", refusing)
    for name in ("b", "a", "b"):  # whichever is closed meanwhile
        write(tmp_path / f"{name}.log", f"{name}2")
        tail.settle()
    assert [text for text in tail.spool.texts() if text[0] == "b"] == ["b1", "b2", "b2"]
    monkeypatch.undo()
    assert sorted(tail.settle()) == ["a1", "a2", "b1", "b2", "b2"]


@pytest.mark.parametrize("format", ["text", "logfmt", "cri"])
def test_a_file_whose_name_is_no_utf8_is_followed_as_any_other(tmp_path: Path, format: str) -> None:
    log = tmp_path / os.fsdecode(b"r\xe9.log")
    write(log, "one")
    tail = Tail(tmp_path / "*.log", format=format)
    tail.settle()
    log.rename(log.with_suffix(".1"))
    write(log, "two")
    tail.crash()
    tail.settle()
    assert sorted(tail.spool.texts()) == ["one", "two"]
    assert {record["attributes"]["file"] for record in tail.spool.records()} == {str(tmp_path) + r"/r\xe9.log"}


def test_a_quiet_file_is_not_looked_at_between_scans_until_one_sees_it_change(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tail = Tail(log.parent / "*.log")
    write(log, "one", "half", end="")
    tail.settle()
    looked: list[int] = []
    true_fstat = os.fstat

    def fstat(handle: int) -> os.stat_result:
        looked.append(handle)
        return true_fstat(handle)

    monkeypatch.setattr(os, "fstat", fstat)
    for _ in range(20):
        tail.clock.advance(0.25)
        tail.follower.turn()
    assert len(looked) <= 1
    write(log, " a line", "two")
    assert tail.run() == ["one", "half a line"]
    log.rename(log.with_suffix(".old"))
    tail.settle()
    assert tail.settle() == ["one", "half a line", "two"]


def test_the_last_line_of_a_quiet_file_is_taken_once_it_is_renamed(log: Path) -> None:
    tail = Tail(log)
    write(log, "one", "last", end="")
    tail.settle()
    log.rename(log.with_suffix(".1"))
    tail.run()
    assert tail.run() == ["one", "last"]


def test_bad_lines_are_dead_letters_and_cost_no_other(log: Path) -> None:
    tail = Tail(log, format="json")
    log.write_bytes(b'{"message": "a"}\n{"message": \nno json \xff\n\n{"message": "b"}\n')
    assert tail.run() == ["a", "b"]
    assert tail.spool.letters() == [b'{"message": ', b"no json \xff"]


def test_a_line_that_is_too_long_is_cut_and_no_byte_of_it_is_lost(log: Path) -> None:
    tail = Tail(log, limits=Limits(record_bytes=1000))
    write(log, "a", "é" * 3_000_000, "b")
    texts = tail.settle()
    assert texts[0] == "a"
    assert texts[-1] == "b"
    assert "".join(texts[1:-1]) == "é" * 3_000_000
    assert max(map(len, texts)) <= 1000


def test_once_takes_the_last_line_too(log: Path) -> None:
    tail = Tail(log, once=True)
    write(log, "one", "two", end="")
    assert tail.run() == ["one", "two"]
    assert tail.follower.idle


def test_a_tenant_comes_from_the_namespace_and_a_file_of_nobody_is_left(tmp_path: Path) -> None:
    for namespace in ("shop", "bank", "other"):
        folder = tmp_path / "pods" / f"{namespace}_web-1_u-1" / "web"
        folder.mkdir(parents=True)
        write(folder / "0.log", f"2024-05-01T08:00:00.5Z stdout F from {namespace}")
    tail = Tail(
        tmp_path / "pods" / "*" / "*" / "*.log", tenant="", namespaces={"shop": "acme", "bank": "b"}, format="cri"
    )
    tail.settle()
    assert sorted((tenant, record["message"]) for tenant, record in tail.spool.rows()) == [
        ("acme", "from shop"),
        ("b", "from bank"),
    ]
