"""``logflume table list`` when a table is broken."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from logflume.cli.main import build
from logflume.table.store import Store
from tests.support.tables import append


def test_a_table_that_was_deleted_in_part_is_told_and_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(f"file://{tmp_path}")
    for n in (1, 2):
        append(store, [f"{n}"], upto=n)
    append(store, ["theirs"], tenant="globex")
    store.delete("tables/acme/http_requests/_delta_log/00000000000000000000.json")
    monkeypatch.setenv("LOGFLUME_STORE_URL", store.url)
    listed = CliRunner().invoke(build("table"), ["table", "list", "--json"])
    assert listed.exit_code == 1
    assert [each["tenant"] for each in orjson.loads(listed.stdout)] == ["globex"]
    assert "tables/acme/http_requests: the log lacks its beginning" in listed.stderr
