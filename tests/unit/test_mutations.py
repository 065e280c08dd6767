"""The list of mutations is current: a rule that moved would silently be no longer tried."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.mutations.table import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutations_text_occurs_once_and_its_test_exists(mutation: Mutation) -> None:
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.new != mutation.old
    file, _, test = mutation.test.partition("::")
    assert f"def {test}(" in (ROOT / file).read_text()


def test_each_mutation_has_a_name_of_its_own() -> None:
    assert [name for name, count in Counter(m.name for m in MUTATIONS).items() if count > 1] == []
