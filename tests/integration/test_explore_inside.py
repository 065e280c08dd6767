"""What a query can't reach (E1), with the checks of its SQL left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from logflume.explore.engine import frames
from logflume.explore.gateway import Gateway
from logflume.table.store import Store
from tests.support.asking import forks
from tests.support.queries import Inside
from tests.support.tables import append


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, [f"id-{n:02}" for n in range(20)])
    append(store, ["theirs"], tenant="globex")
    return store


@pytest.fixture(scope="module")
def inside(store: Store) -> Iterator[Inside]:
    with Gateway(store) as gateway:
        yield Inside(store, forks(), gateway)


@pytest.mark.parametrize("confined", [True, False])
def test_e1_its_own_files_are_read(inside: Inside, confined: bool) -> None:
    assert inside("SELECT * FROM own", confined=confined) == ("", 20)


@pytest.mark.parametrize("confined", [True, False])
@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "COPY own TO 's3://q/own/out.parquet'",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION 's3://q/theirs/'",
        "CREATE VIEW x AS SELECT 1",
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO own SELECT * FROM own",
        "DELETE FROM own",
        "DROP TABLE own",
        "SET datafusion.catalog.information_schema = true",
        "SET datafusion.runtime.memory_limit = '100G'",
        "PREPARE p AS SELECT 1",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM '{file}'",
        "SELECT * FROM 's3://q/theirs/'",
        "SELECT * FROM 's3://q/own/'",
        "SELECT * FROM 'file://{file}'",
        "SELECT * FROM 'http://127.0.0.1:1/x.parquet'",
        "SELECT * FROM read_parquet('{file}')",
        "SELECT * FROM theirs",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM information_schema.df_settings",
        "SHOW ALL",
    ],
)
def test_e1_without_the_checks_of_its_sql_a_query_reads_and_writes_nothing_else(
    inside: Inside, store: Store, tmp_path: Path, sql: str, confined: bool
) -> None:
    """``confined`` off: the engine's own guards are enough for these, and stand by themselves."""
    (file, *_) = Path(store.full("tables/globex/http_requests")).glob("_date=*/*.parquet")
    failed, rows = inside(sql.format(file=file, folder=tmp_path), confined=confined)
    assert failed not in ("", "died")
    assert rows == 0
    assert not list(tmp_path.iterdir())


def test_e1_a_key_opens_no_other_queries_files_under_any_name(inside: Inside) -> None:
    assert inside("SELECT * FROM theirs", confined=True, tables=("theirs",)) == ("", 0)  # nothing is listed there
    assert inside("SELECT * FROM theirs", confined=True, tables=("theirs",), key=inside.their_key) == ("", 1)
    assert inside("SELECT * FROM own", confined=True, key=inside.their_key) == ("", 0)
    failed, rows = inside("SELECT * FROM own", confined=True, key="guessed")
    assert failed
    assert rows == 0


def test_rows_of_many_bytes_come_in_frames_that_the_parent_takes(inside: Inside) -> None:
    assert inside("SELECT repeat('x', 5000000) || \"RayID\" FROM own", confined=True) == ("", 20)
    assert frames.MOST_BYTES / 4 < inside.largest <= frames.MOST_BYTES


def test_a_row_that_fits_into_no_frame_is_refused_with_its_size(inside: Inside) -> None:
    sql = f"SELECT repeat('x', {frames.MOST_BYTES}) FROM own WHERE \"RayID\" = 'id-07'"
    failed, rows = inside(sql, confined=True, memory_bytes=1 << 29)
    assert "one row of the answer has 67,10" in failed
    assert rows == 0
