"""What somebody with rights on the store may do to a running pipeline."""

from __future__ import annotations

import pytest

from logflume.table.store import Store
from tests.support.oracle import DATASET, tenant_of
from tests.support.pipeline import Pipeline


@pytest.mark.timeout(400)
def test_a_table_deleted_by_hand_comes_back_with_the_rows_after_it_each_once(pipeline: Pipeline) -> None:
    pipeline.sort()
    pipeline.sink()
    pipeline.sent(1000)
    pipeline.assert_exactly_once()
    tenant = tenant_of(1)
    store = Store.from_settings(pipeline.settings)
    store.filesystem.delete_dir(store.full(store.table(tenant, DATASET)))
    pipeline.oracle.deleted(pipeline.senders[0].journal.session, tenant)
    pipeline.sent(1000)
    pipeline.sent(1000)
    pipeline.assert_at_rest()
    gone = sum(tenant_of(number) == tenant for number in range(1000))
    assert pipeline.stored_rows() == 3000 - gone
