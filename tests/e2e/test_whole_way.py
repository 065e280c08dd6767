"""The whole way with nothing broken: in by client and as plain records, sorted, at rest, counted, and read back."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from logflume import contract
from logflume.clock import SystemClock
from logflume.edge import Client
from logflume.formats import combined, to_records
from logflume.kafka import status
from logflume.kafka.status import OTHERS, Share, merged
from logflume.model import load
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.asking import Asking
from tests.support.oracle import TENANTS, tenant_of
from tests.support.pipeline import Pipeline
from tests.support.waiting import until

DATA = Path(__file__).parents[2] / os.environ.get("LOGFLUME_TEST_DATA", "../shared/data")
DATASETS = load(contract.find())

pytestmark = pytest.mark.timeout(400)


def test_records_of_clients_and_plain_ones_come_to_rest_once_each_and_are_found(pipeline: Pipeline) -> None:
    sorter, sink = pipeline.sort(), pipeline.sink(LOGFLUME_STATUS_SECONDS="0.5")
    pipeline.sent(5000)
    pipeline.assert_exactly_once()
    assert pipeline.stored_rows() == 5000
    store = Store.from_settings(pipeline.settings)
    asking = Asking(store, DATASETS)
    counts = Counter(tenant_of(number) for number in range(5000))
    assert set(counts) == set(TENANTS)
    for tenant, count in counts.items():
        assert asking(tenant, "SELECT count(*) AS n FROM events").table.to_pylist() == [{"n": count}]
    told = until(lambda: named(pipeline.settings), 30, "the sink tells of its tenants")
    assert set(told) <= set(TENANTS)
    assert sum(share.fresh_seconds > 0 for share in told.values()) == len(told)
    assert sorter.stop() == 0
    assert sink.stop() == 0
    pipeline.judge.assert_drained()


def named(settings: Settings) -> dict[str, Share]:
    """What sinks tell of single tenants."""
    told = [seen.status.condition.tenants for seen in status.read(settings, SystemClock()).workers()]
    return {share.tenant: share for share in merged(chain.from_iterable(told), 10) if share.tenant != OTHERS}


def rows_at_rest(settings: Settings, tenant: str, dataset: str) -> pa.Table | None:
    store = Store.from_settings(settings)
    uri = store.uri(store.table(tenant, dataset))
    if not DeltaTable.is_deltatable(uri, store.delta_options):
        return None
    files = DeltaTable(uri, storage_options=store.delta_options).file_uris()
    tables = [pq.read_table(file.removeprefix("s3://"), filesystem=store.filesystem) for file in files]
    return pa.concat_tables(tables, promote_options="default")


def test_all_lines_of_a_real_log_go_the_whole_way_and_come_back_equal(pipeline: Pipeline) -> None:
    settings = pipeline.settings
    Path(settings.tenants_dir, "apache.yaml").write_text("name: apache\ndatasets:\n  http_requests:\n")
    data = gzip.decompress((DATA / "apache_access.log.gz").read_bytes())
    lines = data.decode().splitlines()
    assert len(lines) == 10_000
    pipeline.sort()
    pipeline.sink()
    with Client(settings) as edge:
        assert edge.log_combined("apache", "http_requests", data).rows == 10_000

    def whole() -> pa.Table | None:
        table = rows_at_rest(settings, "apache", "http_requests")
        return table if table is not None and table.num_rows >= 10_000 else None

    table = until(whole, 120, "10,000 rows at rest", pause=1.0)
    assert Counter(combined.to_combined(to_records(table))) == Counter(lines)
