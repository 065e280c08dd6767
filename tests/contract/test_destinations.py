"""What every destination promises (D1 to D5), kept by all of them; docs/destinations.md says the same in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from logflume.destinations import Destination
from logflume.errors import Misconfigured, Refused
from tests.support import places
from tests.support.careless_store import careless_store
from tests.support.services import S3

PART = 5 << 20
LARGE = bytes(range(256)) * (3 * PART // 256 - 100)  # three parts, the last one shorter


@dataclass
class Kept:
    """A destination, and what a reader finds there."""

    destination: Destination
    objects: Callable[[], dict[str, bytes]]


def _files(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(params=["folder", "s3", "careless"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    """One of each kind: a folder, a real S3 server, and one that ignores ``If-None-Match``."""
    if request.param == "folder":
        root = tmp_path / "out"
        yield Kept(places.folder(root).open(), lambda: _files(root))
    elif request.param == "s3":
        s3: S3 = request.getfixturevalue("s3")
        url = s3.new_bucket()
        keys = (s3.access_key, s3.secret_key)
        place = places.bucket(url, s3.endpoint, keys, tmp_path, destination_part_bytes=PART)
        yield Kept(place.open(), lambda: places.objects(s3, url))
    else:
        with careless_store() as store:
            place = places.bucket("s3://b/jobs", str(store), ("key", "secret"), tmp_path, destination_part_bytes=PART)
            yield Kept(place.open(), lambda: store.below("/b/jobs/"))


def test_d1_an_object_is_there_whole_under_exactly_its_name_when_write_returns(kept: Kept) -> None:
    name = "acme/http requests/2026-11-22/é+%41=&x.ndjson.gz"
    receipt = kept.destination.write(name, b"some bytes")
    assert (receipt.name, receipt.bytes, receipt.made) == (name, 10, True)
    assert kept.objects() == {name: b"some bytes"}
    assert kept.destination.holds(name)
    assert not kept.destination.holds("acme/http requests")


@pytest.mark.parametrize("data", [b"", b"x", LARGE], ids=["empty", "small", "parts"])
def test_d2_writing_the_same_again_leaves_the_destination_as_after_the_first_time(kept: Kept, data: bytes) -> None:
    kept.destination.write("a/1", data)
    assert kept.destination.write("a/1", data).bytes == len(data)
    assert kept.objects() == {"a/1": data}


@pytest.mark.parametrize("view", [bytes, bytearray, memoryview, pa.py_buffer], ids=lambda view: view.__name__)
def test_d3_write_takes_any_buffer_and_leaves_it_as_it_is(kept: Kept, view: Callable[[bytes], memoryview]) -> None:
    data = view(b"\x00\xff" * 50)
    kept.destination.write("a", data)
    assert kept.objects() == {"a": b"\x00\xff" * 50}
    assert bytes(memoryview(data)) == b"\x00\xff" * 50


def test_d3_threads_may_write_at_once_the_same_names_and_others(kept: Kept) -> None:
    names = [f"part/{number % 20}" for number in range(60)]
    with ThreadPoolExecutor(12) as pool:
        receipts = list(pool.map(lambda name: kept.destination.write(name, name.encode() * 1000), names))
    assert kept.objects() == {name: name.encode() * 1000 for name in names}
    assert [receipt.name for receipt in receipts] == names


def test_a_name_that_could_leave_the_destination_is_refused(kept: Kept) -> None:
    for name in ("", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\\b", "a\nb", ".unfinished/a", "x" * 256):
        for call in (partial(kept.destination.write, name, b"x"), partial(kept.destination.holds, name)):
            with pytest.raises(Refused, match="no object's name"):
                call()
    assert kept.objects() == {}


@pytest.mark.parametrize("keys", [("nobody", "wrong"), ("", "wrong")], ids=["unknown", "wrong secret"])
def test_wrong_credentials_are_misconfigured_and_no_message_holds_them(
    s3: S3, tmp_path: Path, keys: tuple[str, str]
) -> None:
    key, secret = keys[0] or s3.access_key, keys[1]
    place = places.bucket(s3.new_bucket(), s3.endpoint, (key, secret), tmp_path)
    with pytest.raises(Misconfigured, match="403") as refused:
        place.open().write("a", b"x")
    assert secret not in str(refused.value)
    assert secret not in repr(place.open())
