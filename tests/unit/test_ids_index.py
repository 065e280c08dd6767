"""The index of ids beside a table: what it is made of, how it grows, and what of it is not believed. I1 to I3."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path
from random import Random

import numpy as np
import obstore
import pyarrow as pa
import pytest

from logflume.clock import ManualClock, SystemClock
from logflume.errors import Retryable
from logflume.table import bloom, parquet
from logflume.table.bloom import NO_IDS, UNKNOWN, Filters
from logflume.table.ids import catalogue as catalogues
from logflume.table.ids import granules, upkeep
from logflume.table.ids.catalogue import Catalogue, part_of
from logflume.table.pick.rows import Granules
from logflume.table.store import Store
from tests.support.indexes import asked, asked_each, extended, handed, objects, of_bytes, part, without_filters
from tests.support.tables import append

NAME = "0123456789abcdef" * 2


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"file://{tmp_path}")


def fill(store: Store, files: int, first: int = 0, rows: int = 20, tenant: str = "acme") -> None:
    """Files of which each has the ids ``<file>-<row>``."""
    for file in range(first, first + files):
        append(store, [f"{file}-{row}" for row in range(rows)], upto=1000 * (file + 1), tenant=tenant)


def filters(random: Random, *blocks: int) -> Filters:
    return Filters(tuple(random.randbytes(number * bloom.BLOCK_BYTES) for number in blocks))


def test_a_part_gives_back_what_went_into_it_whole_and_stripe_by_stripe() -> None:
    random = Random(3)
    files = [(f"f{number}", 100 + number) for number in range(6)]
    held = [filters(random, 4), filters(random, 2, 4), UNKNOWN, NO_IDS, filters(random, 4, 4, 1), filters(random, 3)]
    part = part_of(NAME, files, held)
    data = part.encode(held).to_pybytes()
    assert len(data) == part.size
    decoded = part.decode(data)
    assert decoded is not None
    assert [sorted(each.bitsets or ()) for each in decoded] == [sorted(each.bitsets or ()) for each in held]
    assert [each.bitsets is None for each in decoded] == [number == 2 for number in range(6)]
    assert list(part.always()) == [2]
    for hash in (bloom.hash_of(str(number)) for number in range(300)):
        found = set(part.always())
        for stripe in part.stripes(hash):
            matches = stripe.matches(data[stripe.start : stripe.end], bloom.mask(hash))
            assert matches is not None
            found |= {owner for owner, _ in matches}
        assert found == {number for number, each in enumerate(held) if each.may_hold(hash)}


def test_a_stripe_tells_which_of_a_files_filters_match() -> None:
    random = Random(6)
    held = [filters(random, 4, 4, 4), filters(random, 4), filters(random, 4, 4)]
    part = part_of(NAME, [(str(number), 1) for number in range(3)], held)
    data = part.encode(held).to_pybytes()
    seen = 0
    for hash in (bloom.hash_of(str(number)) for number in range(2_000)):
        [stripe] = part.stripes(hash)
        matches = stripe.matches(data[stripe.start : stripe.end], bloom.mask(hash))
        each = [
            (file, n, Filters((bits,))) for file, own in enumerate(held) for n, bits in enumerate(own.bitsets or ())
        ]
        assert matches == [(file, number) for file, number, own in each if own.may_hold(hash)]
        seen += len(matches)
    assert seen > 10


def test_i2_a_stripe_is_known_by_its_place_and_by_every_bit() -> None:
    random = Random(4)
    held = [filters(random, 8) for _ in range(3)]
    part = part_of(NAME, [(str(number), 1) for number in range(3)], held)
    data = part.encode(held).to_pybytes()
    first, second = (next(iter(part.stripes(hash))) for hash in (0, 1 << 63))
    bits = np.zeros(8, np.uint32)
    assert first.start != second.start
    assert first.matches(data[first.start : first.end], bits) is not None
    assert first.matches(data[second.start : second.end], bits) is None
    assert first.matches(data[first.start : first.end - 1], bits) is None
    other = next(iter(part_of(NAME[::-1], [(str(number), 1) for number in range(3)], held).stripes(0)))
    assert other.matches(data[first.start : first.end], bits) is None
    for bit in range((first.end - first.start) * 8):
        harmed = bytearray(data[first.start : first.end])
        harmed[bit // 8] ^= 1 << bit % 8
        assert first.matches(bytes(harmed), bits) is None


def test_i2_a_catalogue_is_one_tables_and_one_fields_and_whole() -> None:
    held = [filters(Random(5), 2)]
    made = Catalogue(
        "RayID", (part_of(NAME, [("f", 1)], held), part_of(NAME[::-1], [("g", 2), ("h", 3)], [UNKNOWN, NO_IDS]))
    )
    data = made.encode("tables/acme/http_requests")
    assert catalogues.decode(data, "tables/acme/http_requests", "RayID") == made
    assert set(made.known) == {("f", 1), ("g", 2), ("h", 3)}
    assert catalogues.decode(data, "tables/globex/http_requests", "RayID").parts == ()
    assert catalogues.decode(data, "tables/acme/http_requests", "Other").parts == ()
    for cut in range(len(data)):
        assert catalogues.decode(data[:cut], "tables/acme/http_requests", "RayID").parts == ()
    for bit in range(0, len(data) * 8, 7):
        harmed = bytearray(data)
        harmed[bit // 8] ^= 1 << bit % 8
        assert catalogues.decode(bytes(harmed), "tables/acme/http_requests", "RayID").parts == ()


@pytest.mark.parametrize(
    "told",
    [
        b"null",
        b"[]",
        b'{"field":"RayID"}',
        b'{"field":"RayID","parts":[{"name":"../../globex/http_requests/_ids/x","files":[]}]}',
        b'{"field":"RayID","parts":[{"name":"' + NAME.encode() + b'","files":[["f",-1,[2]]]}]}',
        b'{"field":"RayID","parts":[{"name":"' + NAME.encode() + b'","files":[["f",true,[2]]]}]}',
        b'{"field":"RayID","parts":[{"name":"' + NAME.encode() + b'","files":[["f",1,[0]]]}]}',
        b'{"field":"RayID","parts":[{"name":"' + NAME.encode() + b'","files":[["f",1,[4000000000]]]}]}',
        b'{"field":"RayID","parts":[{"name":"' + NAME.encode() + b'","files":[[["f"],1,[2]]]}]}',
        b'{"field":"RayID","parts":[{"name":"' + NAME.encode() + b'","files":[["f",1,2]]}]}',
        b'{"field":"RayID","parts":[{"name":7,"files":[]}]}',
        b'{"parts":[]}',
    ],
)
def test_i2_what_says_impossible_things_is_no_catalogue_though_its_sum_is_right(told: bytes) -> None:
    table = "tables/acme/http_requests"
    sound = Catalogue("RayID").encode(table)
    head = sound[: sound.index(b"{") - 4]
    data = head + zlib.crc32(told, zlib.crc32(table.encode())).to_bytes(4, "little") + told
    assert catalogues.decode(data, table, "RayID") == Catalogue("RayID")


def test_an_index_names_the_one_file_of_an_id_and_none_for_a_stranger(store: Store) -> None:
    fill(store, 12)
    assert len(handed(store, "7-3")) == 1
    extended(store)
    for file in range(12):
        [found] = handed(store, f"{file}-3")
        assert f"/{1000 * (file + 1)}-" in found
    assert handed(store, "stranger") == []
    look = asked(store, ["3-1", "9-1", "stranger"])
    assert int(look.may.sum()) == 2
    assert (look.unknown, look.spoiled) == (set(), set())


def test_an_index_is_read_by_one_stripe_a_size_whatever_the_number_of_files(store: Store) -> None:
    fill(store, 30)
    extended(store)
    for path in Path(store.full(store.table("acme", "http_requests"))).glob("_date*/*"):
        path.unlink()  # nothing else is read
    look = asked(store, ["stranger"])
    assert look.bytes == 30 * 32 + 4
    assert not look.may.any()


def test_growth_copies_small_parts_into_larger_ones_and_leaves_few(store: Store) -> None:
    for round in range(12):
        fill(store, 3, first=3 * round)
        known = extended(store)
        assert len(known.known) == 3 * (round + 1)
        assert len(known.parts) <= 2
        assert set(objects(store)) == {"current", *(part.name for part in known.parts)}
    assert all(len(handed(store, f"{file}-0")) == 1 for file in range(36))


def test_what_is_up_to_date_is_not_written_again(store: Store) -> None:
    fill(store, 3)
    extended(store)
    before = {name: path.stat().st_mtime_ns for name, path in objects(store).items()}
    extended(store)
    assert {name: path.stat().st_mtime_ns for name, path in objects(store).items()} == before


def test_a_part_is_bounded_and_what_was_done_stands(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "MOST_PART_BYTES", 2 * 64)
    monkeypatch.setattr(upkeep, "_AT_ONCE", 1)
    fill(store, 7)
    once = iter([True, False])
    begun = extended(store, wanted=lambda: next(once))
    assert [len(part.files) for part in begun.parts] == [2]
    assert len(handed(store, "6-0")) == 1
    assert sorted(len(part.files) for part in extended(store).parts) == [1, 2, 2, 2]
    assert handed(store, "stranger") == []


def test_i1_a_file_of_another_size_is_another_file(store: Store) -> None:
    """As when a table was deleted by hand and one from a backup took its place."""
    fill(store, 2)
    extended(store)
    table = store.table("acme", "http_requests")
    had = upkeep.read(store, table, "RayID")
    [part] = had.parts
    files = [(path, size + 1) for (path, size) in (known.file for known in part.files)]
    other = part_of(part.name, files, [NO_IDS, NO_IDS])
    store.write(f"{table}/{catalogues.CURRENT}", pa.py_buffer(Catalogue("RayID", (other,)).encode(table)))
    assert len(asked(store, ["1-0"]).unknown) == 2
    assert len(handed(store, "1-0")) == 1


def test_i1_files_that_can_not_tell_are_always_handed_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 2)
    with monkeypatch.context() as patched:
        patched.setattr(parquet, "encode", of_bytes)
        fill(store, 1, first=2)
    append(store, [None, None], upto=9_000)  # type: ignore[list-item]
    for _ in range(2):
        assert [len(handed(store, id)) for id in ("0-0", "2-0", "stranger")] == [2, 1, 1]
        extended(store)


def test_a_file_without_filters_is_known_by_its_ids(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(parquet, "encode", without_filters)
        fill(store, 1)
    assert len(handed(store, "stranger")) == 1
    extended(store)
    assert [len(handed(store, id)) for id in ("0-0", "stranger")] == [1, 0]


def test_an_index_tells_in_which_granules_an_id_may_be(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(granules, "ROWS", 5)
    fill(store, 3, rows=23)
    extended(store)
    for file, row in ((0, 0), (1, 4), (1, 5), (2, 22)):
        look = asked(store, [f"{file}-{row}"])
        [number] = look.granules
        assert look.granules[number] == Granules(frozenset({row // 5}), 5)
    look = asked(store, ["1-0", "1-11", "1-14"])
    assert [each.may for each in look.granules.values()] == [{0, 2}]


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied", "another's", "gone"])
def test_i2_a_spoiled_part_is_found_out_and_made_anew(store: Store, harm: str) -> None:
    fill(store, 6)
    fill(store, 6, tenant="globex")
    extended(store)
    extended(store, "globex")
    path = part(store)
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "another's":
        shutil.copy(part(store, "globex"), path)
    else:
        flipped = bytes(byte ^ 0xFF for byte in data)
        path.write_bytes({"cut": data[: len(data) // 2], "flipped": flipped, "emptied": b""}[harm])
    assert all(len(handed(store, f"{file}-0")) == 1 for file in range(6))
    look = asked(store, [f"{file}-0" for file in range(6)])
    assert look.spoiled == {path.name}
    assert len(look.unknown) == 6
    extended(store, spoiled=look.spoiled)
    assert path.name not in objects(store)
    assert asked(store, ["stranger"]).unknown == set()


@pytest.mark.parametrize("harm", ["gone", "shorter"])
def test_a_part_that_a_listing_shows_to_be_gone_is_made_anew(store: Store, harm: str) -> None:
    fill(store, 3)
    extended(store)
    path = part(store)
    path.unlink()
    if harm == "shorter":
        path.write_bytes(b"x")
    extended(store)
    assert path.name not in objects(store)
    assert asked(store, ["stranger"]).unknown == set()


def test_i2_a_spoiled_part_is_not_copied_into_another(store: Store) -> None:
    fill(store, 4)
    extended(store)
    path = part(store)
    path.write_bytes(path.read_bytes()[:-40] + bytes(40))
    fill(store, 4, first=4)
    extended(store)
    every = [[f"{file}-{row}"] for file in range(8) for row in range(20)]
    assert [int(look.may.sum()) for look in asked_each(store, every)] == [1] * len(every)
    assert asked(store, ["stranger"]).spoiled == set()


@pytest.mark.parametrize("data", [b"", b"LFids", b"x" * 1000, b"LFids\x00\x00\x02" + bytes(30)])
def test_i2_a_catalogue_that_is_none_is_as_no_index_and_made_anew(store: Store, data: bytes) -> None:
    fill(store, 3)
    extended(store)
    objects(store)["current"].write_bytes(data)
    assert len(handed(store, "1-0")) == 1
    assert len(asked(store, ["1-0"]).unknown) == 3
    extended(store)
    assert asked(store, ["1-0"]).unknown == set()


def test_i2_another_tables_index_tells_nothing(store: Store) -> None:
    fill(store, 3)
    fill(store, 3, tenant="globex")
    extended(store, "globex")
    shutil.copytree(
        objects(store, "globex")["current"].parent, Path(store.full(store.table("acme", "http_requests"))) / "_ids"
    )
    look = asked(store, ["1-0"])
    assert len(look.unknown) == 3
    assert int(look.may.sum()) == 1


def test_i3_of_two_who_write_at_once_both_leave_right_answers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 3)
    extended(store)
    fill(store, 3, first=3)
    whole = upkeep._Upkeep._write

    def overtaken(self: upkeep._Upkeep, stands: Catalogue) -> None:
        monkeypatch.setattr(upkeep._Upkeep, "_write", whole)
        fill(store, 3, first=6)
        extended(store)
        whole(self, stands)

    monkeypatch.setattr(upkeep._Upkeep, "_write", overtaken)
    extended(store)
    assert all(len(handed(store, f"{file}-0")) == 1 for file in range(9))
    extended(store)
    assert asked(store, ["stranger"]).unknown == set()
    assert all(len(handed(store, f"{file}-0")) == 1 for file in range(9))


def test_parts_of_files_that_went_go_with_them(store: Store) -> None:
    """Filters tell whether an id was there: nothing of deleted rows stays."""
    fill(store, 3)
    made = extended(store)
    upkeep.extend(store, store.table("acme", "http_requests"), "RayID", [], SystemClock())
    assert set(objects(store)) == {"current"}
    assert made.parts
    fill(store, 2, first=3)
    assert len(extended(store).known) == 5


def test_what_a_writer_left_that_died_goes_after_an_hour(store: Store) -> None:
    fill(store, 1)
    clock = ManualClock(SystemClock().now_ns())
    extended(store, clock=clock)
    table = store.table("acme", "http_requests")
    obstore.put(store.objects, f"{table}/_ids/{NAME}", b"left")
    extended(store, clock=clock)
    assert NAME in objects(store)
    clock.advance(3_700)
    extended(store, clock=clock)
    assert len(objects(store)) == 2
    assert NAME not in objects(store)


def test_a_data_file_that_is_gone_is_passed_over(store: Store) -> None:
    fill(store, 3)
    gone = sorted(Path(store.full(store.table("acme", "http_requests"))).glob("_date*/1000-*"))
    gone[0].unlink()
    assert len(extended(store).known) == 2
    assert len(handed(store, "0-0")) == 1  # its query will tell that the table has changed


def test_a_store_that_fails_is_told_and_leaves_what_there_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, 2)
    extended(store)
    fill(store, 2, first=2)

    def refuses(path: str, data: object) -> None:
        raise Retryable("read only")

    with monkeypatch.context() as patched:
        patched.setattr(store, "write", refuses)
        with pytest.raises(Retryable, match="read only"):
            extended(store)
    assert all(len(handed(store, f"{file}-0")) == 1 for file in range(4))
