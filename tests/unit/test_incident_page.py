"""docs/incident.md names guards, mutations and drills: each of them exists, and no link lacks one of them."""

from __future__ import annotations

import re
from pathlib import Path

from logflume.drill.catalogue import DRILLS
from tests.mutations.table import MUTATIONS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "incident.md").read_text()


def links() -> list[list[str]]:
    """The cells of the table's rows."""
    rows = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    return rows[1:]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_link_of_the_chain_has_a_guard_a_mutation_and_a_drill() -> None:
    assert len(links()) == 8
    for link in links():
        assert all(quoted(cell) for cell in link[2:]), link[0]


def test_the_files_of_the_guards_exist() -> None:
    for link in links():
        for name in quoted(link[2]):
            assert (ROOT / "streams" / "logflume" / name).exists(), name


def test_the_mutations_that_the_page_names_exist() -> None:
    known = {mutation.name for mutation in MUTATIONS}
    for link in links():
        assert set(quoted(link[3])) <= known, link[0]


def test_the_page_names_every_drill_but_those_that_are_no_link_and_no_other() -> None:
    named = {name for link in links() for name in quoted(link[4])}
    assert named == DRILLS.keys() - {"token-revoke", "rolling-restart"}
