"""Tables are plain Delta: DuckDB and polars give the answers that ``logflume query`` gives (docs/engines.md)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable
from pyarrow.fs import FileSelector

from logflume.cli.main import DONE, run
from logflume.explore import query
from logflume.model import dataset
from logflume.model.dataset import Field, FieldType
from logflume.table import log
from logflume.table.store import Store
from tests.support import duck
from tests.support.asking import forks
from tests.support.services import S3
from tests.support.tables import DAY, NOON, SMALL, append

SECOND = 1_000_000_000
GROWN = replace(
    SMALL, fields=(*SMALL.fields, Field("OriginDurationMs", FieldType.INT), Field("BotScore", FieldType.FLOAT))
)
BEFORE = log.CHECKPOINT_EVERY + 2
COMMITS = BEFORE + 8
"""Part of the log is a checkpoint then; before the last eight the dataset has grown."""
ROWS = 40
SINCE, UNTIL = datetime(2025, 11, 26, 12, 0, 10, tzinfo=UTC), datetime(2025, 11, 27, 12, 0, 30, 250_000, tzinfo=UTC)
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Question:
    """One question, in the SQL that DuckDB and Logflume have in common, and in polars's own way."""

    sql: str
    polars: Callable[[pl.LazyFrame], pl.LazyFrame]


status, host, at = pl.col("EdgeResponseStatus"), pl.col("ClientRequestHost"), pl.col("EdgeStartTimestamp")
duration, score = pl.col("OriginDurationMs"), pl.col("BotScore")

QUESTIONS = {
    "how many": Question("SELECT count(*) AS n FROM http_requests", lambda f: f.select(pl.len().alias("n"))),
    "by value, null too": Question(
        "SELECT EdgeResponseStatus AS status, count(*) AS n FROM http_requests GROUP BY 1 ORDER BY n DESC, status",
        lambda f: f.group_by(status.alias("status")).agg(n=pl.len()).sort("n", "status", descending=[True, False]),
    ),
    "within a time": Question(
        "SELECT count(*) AS n, min(EdgeStartTimestamp) AS first, max(EdgeStartTimestamp) AS last FROM http_requests "
        f"WHERE EdgeStartTimestamp >= TIMESTAMPTZ '{SINCE.isoformat()}' AND "
        f"EdgeStartTimestamp < TIMESTAMPTZ '{UNTIL.isoformat()}'",
        lambda f: f.filter(at >= SINCE, at < UNTIL).select(
            pl.len().alias("n"), at.min().alias("first"), at.max().alias("last")
        ),
    ),
    "by day": Question(
        'SELECT "_date" AS day, count(*) AS n, count(DISTINCT ClientRequestHost) AS hosts FROM http_requests '
        "GROUP BY 1 ORDER BY 1",
        lambda f: (
            f.group_by(pl.col("_date").alias("day")).agg(n=pl.len(), hosts=host.drop_nulls().n_unique()).sort("day")
        ),
    ),
    "one record": Question(
        "SELECT RayID, EdgeResponseStatus FROM http_requests WHERE RayID = '7-3'",
        lambda f: f.filter(pl.col("RayID") == "7-3").select("RayID", "EdgeResponseStatus"),
    ),
    "a field that came later": Question(
        "SELECT count(OriginDurationMs) AS n, sum(OriginDurationMs) AS all_of_them, max(BotScore) AS score "
        "FROM http_requests",
        lambda f: f.select(
            duration.count().alias("n"), duration.sum().alias("all_of_them"), score.max().alias("score")
        ),
    ),
    "where it is null": Question(
        "SELECT count(*) AS n FROM http_requests WHERE OriginDurationMs IS NULL AND ClientRequestHost = 'a.example'",
        lambda f: f.filter(duration.is_null(), host == "a.example").select(pl.len().alias("n")),
    ),
    "whole rows": Question(
        "SELECT * FROM http_requests ORDER BY _src_topic, _src_partition, _src_offset, _src_row LIMIT 200",
        lambda f: f.sort("_src_topic", "_src_partition", "_src_offset", "_src_row").head(200),
    ),
}


def connect(s3: S3) -> Store:
    return Store(s3.new_bucket(), endpoint=s3.endpoint, key=s3.access_key, secret=s3.secret_key)


@pytest.fixture(scope="module", params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A table of three days with a checkpoint, whose dataset grew on the way."""
    on_s3 = request.param == "s3"
    store = connect(request.getfixturevalue("s3")) if on_s3 else Store(f"file://{tmp_path_factory.mktemp('store')}")
    chance = random.Random(7)
    for commit in range(COMMITS):
        own = GROWN if commit >= BEFORE else SMALL
        later: dict[str, Any] = {}
        if own is GROWN:
            later = {
                "OriginDurationMs": [chance.choice([None, n]) for n in range(ROWS)],
                "BotScore": [n / 4 for n in range(ROWS)],
            }
        append(
            store,
            [f"{commit}-{n}" for n in range(ROWS)],
            upto=(commit + 1) * ROWS,
            times=[NOON + chance.randrange(3) * DAY + chance.randrange(60_000_000) * 1000 for _ in range(ROWS)],
            dataset=own,
            _src_offset=list(range(commit * ROWS, (commit + 1) * ROWS)),
            EdgeResponseStatus=[chance.choice([200, 403, 500, None]) for _ in range(ROWS)],
            ClientRequestHost=[chance.choice(["a.example", "b.example", None]) for _ in range(ROWS)],
            RequestHeaders=[chance.choice([[("k", "v"), ("l", "")], [], None]) for _ in range(ROWS)],
            _extra=[chance.choice([None, '{"more": 1}']) for _ in range(ROWS)],
            BotTags=[chance.choice([["x", "y"], [], None]) for _ in range(ROWS)],
            **later,
        )
    return store


@pytest.fixture
def ours(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[[str], Rows]:
    """What ``logflume query`` answers."""
    monkeypatch.setattr(query, "opened", partial(query.opened, forks=forks()))
    monkeypatch.setattr(Store, "from_settings", staticmethod(lambda _: store))
    monkeypatch.setattr(dataset, "load", lambda _: {"http_requests": GROWN})

    def ask(sql: str) -> Rows:
        file = tmp_path / "answer.parquet"
        assert run(["query", sql, "--tenant", "acme", "--parquet", str(file)]) == DONE
        capsys.readouterr()
        return plain(pl.read_parquet(file))

    return ask


def table(store: Store) -> DeltaTable:
    return DeltaTable(store.uri(store.table("acme", "http_requests")), storage_options=store.delta_options)


def plain(frame: pl.DataFrame) -> Rows:
    """Rows as values, maps as dictionaries, columns by name."""
    rows = frame.to_dicts()
    for row in rows:
        if isinstance(row.get("RequestHeaders"), list):  # as who knows no maps has them
            row["RequestHeaders"] = {each["key"]: each["value"] for each in row["RequestHeaders"]}
    return [dict(sorted(row.items())) for row in rows]


def with_polars(store: Store, question: Question) -> Rows:
    options = {name: value for name, value in store.delta_options.items() if name.startswith("AWS_")}
    frame = pl.scan_delta(store.uri(store.table("acme", "http_requests")), storage_options=options)
    return plain(question.polars(frame).collect())


def with_duckdb(store: Store, question: Question) -> Rows:
    """By deltalake's list of files, which names the columns and the values of ``_date`` too."""
    with duckdb.connect() as connection:
        connection.sql("SET TimeZone = 'UTC'")
        connection.register("http_requests", table(store).to_pyarrow_dataset())
        return plain(connection.sql(question.sql).pl())


def with_duckdbs_own_reader(store: Store, question: Question) -> Rows:
    files = [uri.removeprefix("file://") for uri in table(store).file_uris()]
    reader = f"read_parquet({files}, union_by_name = true, hive_partitioning = true)"
    return with_duckdbs(store, question, reader)


def with_duckdbs_extension(store: Store, question: Question) -> Rows:
    return with_duckdbs(store, question, f"delta_scan('{store.uri(store.table('acme', 'http_requests'))}')")


def with_duckdbs(store: Store, question: Question, reader: str) -> Rows:
    with duck.connect(store) as connection:
        connection.sql(f"CREATE VIEW http_requests AS FROM {reader}")
        return plain(connection.sql(question.sql).pl())


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
def test_other_engines_give_the_same_answers(store: Store, ours: Callable[[str], Rows], question: Question) -> None:
    told = ours(question.sql)
    assert told
    assert with_polars(store, question) == told
    assert with_duckdb(store, question) == told
    assert with_duckdbs_own_reader(store, question) == told
    assert with_duckdbs_extension(store, question) == told


def test_the_table_is_one_whose_log_has_a_checkpoint_and_which_grew(store: Store) -> None:
    assert table(store).version() == COMMITS  # one of them added the columns
    entries = FileSelector(store.full(f"{store.table('acme', 'http_requests')}/_delta_log"))
    assert any(each.base_name.endswith(".checkpoint.parquet") for each in store.filesystem.get_file_info(entries))
    assert {"OriginDurationMs", "BotScore"} <= set(table(store).to_pyarrow_dataset().schema.names)
