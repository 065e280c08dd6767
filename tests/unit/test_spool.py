"""The spool, failure by failure: SP1 to SP8, J1 to J3, FR1, FR2, and the real disk."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from logflume import metrics
from logflume.clock import ManualClock
from logflume.edge.spool import Message, Sent, Spool, frames
from logflume.edge.spool.disk import Disk
from logflume.edge.spool.frames import Damage, Frame, Kind
from logflume.errors import Refused, Unavailable
from tests.support.disk import FakeDisk

FOLDER = Path("/spool")
ID = b"8 bytes!"


def _message(number: int, size: int = 10) -> Message:
    headers = [("h", b"\xff\x00"), ("none", None)]
    return Message("t", b"key" if number % 2 else None, b"%d." % number + b"x" * size, headers, "events", 3, 99)


def _open(disk: Disk | None, folder: Path = FOLDER, cap: int = 1 << 20, clock: ManualClock | None = None) -> Spool:
    return Spool.open(folder, cap_bytes=cap, clock=clock or ManualClock(), disk=disk, new_id=lambda: ID)


def _numbers(spool: Spool, most: int = 100) -> list[int]:
    return [int(message.value.split(b".")[0]) for _, message in spool.take(most)]


def _segments(disk: FakeDisk) -> list[Path]:
    return sorted(path for path in disk.files if path.suffix == ".segment")


@pytest.mark.parametrize("real", [True, False])
def test_sp1_sp3_what_was_put_comes_out_as_it_was_oldest_first_also_after_a_restart(real: bool, tmp_path: Path) -> None:
    disk, folder = (None, tmp_path / "a" / "spool") if real else (FakeDisk(), FOLDER)
    with _open(disk, folder) as spool:
        spool.put([_message(1), _message(2)], {"place": b"\x00\xff", "other": b"x"})
        spool.put([_message(3)], {"other": b""})
        ((number, message),) = spool.take(1)
        assert message == _message(1)
        spool.sent([Sent(number, "t", "id", 0, 7, spool.tag(number))])
        spool.done(number, 7)
    with _open(disk, folder) as spool:
        assert spool.marks == {"place": b"\x00\xff"}
        assert spool.waiting == 2
        assert [message for _, message in spool.take(9)] == [_message(2), _message(3)]


@pytest.mark.parametrize("size", [0, 1, 60, 10**9])
def test_sp1_an_end_torn_by_a_crash_is_all_or_nothing(size: int) -> None:
    disk = FakeDisk()
    spool = _open(disk)
    spool.put([_message(1)])
    length = disk.size(_segments(disk)[-1])
    disk.fail_syncs = 2  # nothing of the next put is synced, and no other segment takes its place
    with pytest.raises(Unavailable):
        spool.put([_message(2), _message(3)], {"m": b"1"})
    disk.kill()
    spool = _open(disk)
    spool.put([_message(4), _message(5)], {"m": b"2"})
    path = _segments(disk)[-1]
    content = disk.files[path]
    whole = len(content.data)
    disk.kill()
    del content.data[min(whole, length + size) :]
    content.synced = bytes(content.data)
    again = _open(disk)
    assert (again.marks, _numbers(again)) in [({}, [1]), ({"m": b"2"}, [1, 4, 5])]
    assert not [path for path in disk.files if path.parent.name == "quarantine"]


def test_sp2_at_the_cap_it_refuses_and_takes_again_when_there_is_room() -> None:
    disk = FakeDisk()
    spool = _open(disk, cap=10_000)
    kept = 0
    while spool.share < 0.9:
        spool.put([_message(kept, 500)])
        kept += 1
    with pytest.raises(Unavailable, match="edge_spool_bytes"):
        spool.put([_message(kept, 500)])
    assert 5 < kept < 20
    assert 0.9 < spool.share <= 1.0
    assert disk.used <= 10_000
    for number, _ in spool.take(kept):
        spool.done(number, 0)
    assert spool.share < 0.3
    spool.put([_message(kept, 500)])
    assert _numbers(spool) == [kept]


def test_sp2_a_full_disk_is_told_and_nothing_is_taken_until_there_is_room() -> None:
    disk = FakeDisk()
    spool = _open(disk)
    spool.put([_message(1)])
    disk.room = disk.used + 30
    with pytest.raises(Unavailable, match="no room on its disk"):
        spool.put([_message(2, 500)], {"m": b"2"})
    assert spool.marks == {}
    disk.room = 1 << 30
    spool.put([_message(3)])
    disk.cut_power(lambda low, high: high)
    spool = _open(disk)
    assert (spool.marks, _numbers(spool)) == ({}, [1, 3])


@pytest.mark.parametrize("what", ["fail_writes", "fail_syncs"])
def test_j2_a_segment_that_failed_is_left_and_what_was_being_written_goes_to_the_next(what: str) -> None:
    disk = FakeDisk()
    spool = _open(disk)
    spool.put([_message(1)])
    setattr(disk, what, 1)
    spool.put([_message(2)], {"m": b"2"})
    assert len(_segments(disk)) == 2
    spool.put([_message(3)])
    disk.cut_power(lambda low, high: low)  # the first segment would lose whatever it got since
    spool = _open(disk)
    assert (spool.marks, _numbers(spool)) == ({"m": b"2"}, [1, 2, 3])


def test_sp2_a_disk_that_fails_for_good_is_told_and_what_was_refused_does_not_come_back() -> None:
    disk = FakeDisk()
    spool = _open(disk)
    disk.fail_syncs = 5
    with pytest.raises(Unavailable, match="its disk fails"):
        spool.put([_message(1)], {"m": b"1"})
    disk.fail_syncs = 0
    spool.put([_message(2)])
    disk.cut_power(lambda low, high: high)  # all that was ever written is there
    spool = _open(disk)
    assert (spool.marks, _numbers(spool)) == ({}, [2])


def test_sp4_what_was_sent_is_in_doubt_after_a_crash_and_not_given_before_that_is_settled() -> None:
    disk = FakeDisk()
    spool = _open(disk)
    spool.put([_message(1), _message(2), _message(3)])
    (one, _), (two, _) = spool.take(2)
    noted = [Sent(number, "t", "id", 4, 17, spool.tag(number)) for number in (one, two)]
    spool.sent(noted)
    flying = Sent(0, "t", "id", 5, 18, spool.direct_tag())
    (four,) = spool.put_sent([_message(4)], [flying])
    disk.kill()
    spool = _open(disk)
    assert list(spool.doubts) == [*noted, flying._replace(number=four)]
    assert _numbers(spool) == [3]
    spool.done(one, 20)
    spool.again([two, four])
    assert _numbers(spool) == [2, 4]


def test_sp4_a_tag_is_never_given_twice() -> None:
    disk = FakeDisk()
    tags: list[str] = []
    for _ in range(3):
        spool = _open(disk)
        tags += [spool.direct_tag(), spool.direct_tag()]
        spool.put([_message(1)])
        tags += [spool.tag(number) for number, _ in spool.take(9)]
        for number, _ in spool.take(9):
            spool.done(number, 0)
        disk.kill()
        for number in range(1, 3):
            spool.done(number, 0)
    assert len([tag for tag in tags if "." in tag]) == len({tag for tag in tags if "." in tag}) == 6


def test_sp5_marks_stay_when_their_segments_go() -> None:
    disk = FakeDisk()
    spool = _open(disk, cap=20_000)
    spool.put([], {"m": b"1"})
    for number in range(100):
        spool.put([_message(number, 500)])
        for taken, _ in spool.take(9):
            spool.done(taken, 0)
    assert len(_segments(disk)) < 4
    disk.cut_power(lambda low, high: low)
    assert _open(disk, cap=20_000).marks == {"m": b"1"}


def test_marks_that_take_more_than_a_segment_do_not_begin_one_with_every_put() -> None:
    disk = FakeDisk()
    spool = _open(disk)
    spool.put([], {f"place/{number}": b"x" * 100 for number in range(1000)})
    for number in range(10):
        spool.put([_message(number)], {"place/1": b"%d" % number})
    assert len(_segments(disk)) == 2
    disk.kill()
    assert len(_open(disk).marks) == 1000


@pytest.mark.parametrize("where", [2, 20, 30, 100, -3])
def test_sp6_a_broken_record_is_set_aside_and_counted_and_all_others_come(where: int) -> None:
    disk = FakeDisk()
    spool = _open(disk)
    for number in (1, 2, 3):
        spool.put([_message(number, 200)])
    path = _segments(disk)[-1]
    data = bytes(disk.files[path].data)
    found = [each for each in frames.scan(ID, data) if isinstance(each, Frame) and each.head.kind is Kind.MESSAGES]
    record = data[found[1].at : found[1].at + found[1].size]
    disk.kill()
    disk.flip(path, found[1].at + where % found[1].size)
    before = metrics.EDGE_SPOOL_QUARANTINED._value.get()
    spool = _open(disk)
    assert _numbers(spool) == [1, 3]
    assert metrics.EDGE_SPOOL_QUARANTINED._value.get() == before + 1
    (kept,) = [content.data for path, content in disk.files.items() if path.parent.name == "quarantine"]
    assert len(kept) == len(record)
    disk.kill()
    assert _numbers(_open(disk)) == [1, 3]
    assert metrics.EDGE_SPOOL_QUARANTINED._value.get() == before + 1  # known already


@pytest.mark.parametrize("head", [False, True])
def test_sp6_a_record_that_breaks_while_the_spool_is_open_is_set_aside_too(head: bool) -> None:
    disk = FakeDisk()
    spool = _open(disk)
    for number in (1, 2, 3):
        spool.put([_message(number, 200)])
    path = _segments(disk)[-1]
    data = bytes(disk.files[path].data)
    value = data.index(b"2.xxx")
    disk.flip(path, data.rindex(b"LFsp", 0, value) + 20 if head else value + 9)
    assert _numbers(spool) == [1, 3]
    assert spool.waiting == 2
    (kept,) = [bytes(content.data) for path, content in disk.files.items() if path.parent.name == "quarantine"]
    assert kept.count(b"x" * 190) == 1


def test_sp6_what_cannot_be_read_now_is_left_for_the_next_start() -> None:
    disk = FakeDisk()
    spool = _open(disk)
    spool.put([_message(1)])
    spool.put([_message(2)])
    disk.fail_reads = 1
    assert _numbers(spool) == [2]
    assert spool.waiting == 2
    disk.kill()
    assert _numbers(_open(disk)) == [1, 2]


def test_that_a_message_was_sent_survives_one_broken_byte() -> None:
    disk = FakeDisk()
    spool = _open(disk)
    spool.put([_message(1)])
    ((number, _),) = spool.take(1)
    spool.sent([Sent(number, "t", "id", 0, 0, spool.tag(number))])
    path = _segments(disk)[-1]
    data = bytes(disk.files[path].data)
    first, second = [each for each in frames.scan(ID, data) if isinstance(each, Frame) and each.head.kind is Kind.SENT]
    for each in (first, second):
        disk.kill()
        disk.flip(path, each.at + each.size - 2)
        assert len(_open(disk).doubts) == 1
        disk.kill()
        disk.flip(path, each.at + each.size - 2)


def test_sp7_a_second_process_is_refused(tmp_path: Path) -> None:
    with _open(None, tmp_path):
        child = os.fork()
        if child == 0:
            try:
                _open(None, tmp_path)
            except Refused as refused:
                os._exit(3 if "edge_spool_dir" in str(refused) else 4)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    with _open(None, tmp_path):
        pass


def test_sp7_a_forks_child_does_not_keep_the_spool(tmp_path: Path) -> None:
    spool = _open(None, tmp_path)
    stop, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        spool.forget()
        os.write(done[1], b".")
        os.close(stop[1])
        os.read(stop[0], 1)  # until the parent has seen it
        os._exit(0)
    os.read(done[0], 1)
    spool.forget()  # as if the parent had died
    with _open(None, tmp_path):
        pass
    os.close(stop[1])
    os.waitpid(child, 0)


def test_two_spools_in_one_folder_are_refused() -> None:
    disk = FakeDisk()
    _open(disk).close()
    (path,) = _segments(disk)
    disk.files[FOLDER / ("0" * 16 + "-000000000009.segment")] = disk.files[path]
    with pytest.raises(Refused, match="several spools"):
        _open(disk)


def test_sp8_a_full_spool_of_small_messages_is_small_in_memory() -> None:
    disk = FakeDisk()
    spool = _open(disk, cap=1 << 30)
    group = [_message(number) for number in range(1000)]
    spool.put(group)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    on_disk = disk.used
    for _ in range(5):
        spool.put(group)
    grown = tracemalloc.get_traced_memory()[0] - before - 2 * (disk.used - on_disk)  # the fake disk, synced and not
    tracemalloc.stop()
    assert grown < 5_000 * 100  # of some 800,000 bytes on disk; a part is what the first groups cost once


def test_the_age_is_that_of_the_oldest_message_that_is_not_done() -> None:
    clock = ManualClock()
    spool = _open(FakeDisk(), clock=clock)
    assert spool.oldest_seconds == 0.0
    spool.put([_message(1)])
    clock.advance(5)
    spool.put([_message(2)])
    clock.advance(2)
    assert spool.oldest_seconds == pytest.approx(7)
    ((number, _),) = spool.take(1)
    spool.done(number, 0)
    assert spool.oldest_seconds == pytest.approx(2)


def test_a_closed_spool_refuses() -> None:
    spool = _open(FakeDisk())
    spool.close()
    spool.close()
    with pytest.raises(Refused, match="closed"):
        spool.put([_message(1)])


def test_fr2_text_that_looks_like_a_record_is_not_found_inside_a_broken_one() -> None:
    other = frames.frame(b"another!", Kind.MESSAGES, 7, 1, 0, b"forged")
    data = frames.frame(ID, Kind.MESSAGES, 1, 1, 0, b"a" + other + b"b") + frames.frame(ID, Kind.DONE, 1, 0, 0, b"")
    broken = bytes([data[0] ^ 1]) + data[1:]
    damage, good = frames.scan(ID, broken)
    assert isinstance(damage, Damage)
    assert isinstance(good, Frame)
    assert good.head.kind is Kind.DONE


def test_a_later_version_is_refused_and_not_taken_for_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FakeDisk()
    monkeypatch.setattr(frames, "VERSION", 2)
    _open(disk).close()
    monkeypatch.setattr(frames, "VERSION", 1)
    with pytest.raises(Refused, match="version 2"):
        _open(disk)
