"""Saved queries on a real S3: the promises that rest on its conditional puts and its listings."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from logflume.clock import ManualClock, SystemClock
from logflume.table import saved
from logflume.table.saved import Entry, SavedQueries
from logflume.table.store import Store
from tests.support.services import S3


def test_sq1_to_sq4_hold_on_s3(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "_ATTEMPTS", 100)
    store = Store(s3.new_bucket(), endpoint=s3.endpoint, key=s3.access_key, secret=s3.secret_key)
    clock = ManualClock(now_ns=SystemClock().now_ns())
    servers = [SavedQueries(store, clock) for _ in range(3)]
    assert servers[0].read("acme").entries == {}

    def save(number: int) -> None:
        def change(entries: Mapping[str, Entry]) -> Mapping[str, Entry]:
            return {**entries, f"{number:02}": {"note": "x"}}

        servers[number % 3].change("acme", change)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(save, range(9)))
    found = servers[0].read("acme")
    assert (found.version, sorted(found.entries)) == (9, [f"{n:02}" for n in range(9)])
    clock.advance(2 * 3600)
    save(9)
    left = store.filesystem.get_file_info([store.full(f"saved/acme/{n:010}.json") for n in range(1, 11)])
    assert [info.base_name for info in left if info.is_file] == ["0000000009.json", "0000000010.json"]
    assert sorted(servers[1].read("acme").entries) == [f"{n:02}" for n in range(10)]
    assert servers[1].read("globex").entries == {}
