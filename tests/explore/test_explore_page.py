"""docs/explore.md: its examples run, and it names every function and every limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from logflume import contract
from logflume.explore import functions
from logflume.model import dataset
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.asking import Asking
from tests.support.tables import NOON, append
from tests.unit.test_readme import ROOT, blocks

PAGE = ROOT / "docs" / "explore.md"
DATASETS = dataset.load(contract.find())
EXAMPLES = blocks(PAGE, "sql")


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Asking:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    requests, events = DATASETS["http_requests"], DATASETS["firewall_events"]
    append(
        store,
        ["a", "b"],
        dataset=requests,
        times=[NOON, NOON + 10**9],
        ClientIP=["192.0.2.1", "198.51.100.1"],
        ClientRequestURI=["/WP-login.php", "/"],
        EdgeResponseStatus=[200, 503],
        RequestHeaders=[[("user-agent", "curl")], None],
        _extra=['{"trace":{"id":"t","spans":[{"ms":7}]}}', None],
    )
    append(store, ["a"], dataset=events, Action=["block"], **{events.time_field: [NOON]})
    return Asking(store, DATASETS)


@pytest.mark.parametrize("sql", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs_and_finds_something(ask: Asking, sql: str) -> None:
    assert ask("acme", sql).table.num_rows > 0


def test_every_function_has_an_example_and_every_setting_of_queries_is_named() -> None:
    page = PAGE.read_text()
    assert {name for name in functions.NAMES if not any(f"{name}(" in sql for sql in EXAMPLES)} == set()
    named = {name for name in Settings.model_fields if name.startswith("explore_")}
    assert {name for name in named if name not in page and f"LOGFLUME_{name.upper()}" not in page} == set()


def test_its_decision_is_written_down() -> None:
    assert (ROOT / "docs" / "decisions" / "queries-read-through-a-gateway.md").exists()
    assert Path(PAGE).read_text().count("decisions/queries-read-through-a-gateway.md") == 1
