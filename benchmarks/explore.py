"""Asking a large table: a record by its id, aggregates beside DuckDB, a first page, and what any query costs.

As a module it is the measured process: ``python -m benchmarks.explore FOLDER FILES ROWS``, with the store of its
settings. The table comes to be as a sink's does, a file a commit; its rows lie in order of time, within one day.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
from datafusion import SessionContext
from datafusion.object_store import AmazonS3
from deltalake import DeltaTable

from benchmarks import least
from benchmarks.explored import DATASET, END, TENANT, Requests
from benchmarks.measure import child, own, report
from benchmarks.services import BUCKET, Services, environment
from logflume import contract, memory, model
from logflume.clock import SystemClock
from logflume.errors import Fatal
from logflume.explore.find import find
from logflume.explore.query import Explorer, opened
from logflume.explore.snapshots import Snapshots
from logflume.explore.span import Span
from logflume.settings import Settings
from logflume.table import log
from logflume.table.ids.upkeep import extend
from logflume.table.store import Store
from logflume.table.table import Table
from tests.support import duck

PAGES: Final = 40
REPEATS: Final = 3
OTHERS: Final = 9
AGGREGATES: Final = {
    "status": "SELECT EdgeResponseStatus, count(*) AS n FROM http_requests GROUP BY 1 ORDER BY 1",
    "clients": (
        "SELECT ClientIP, count(*) AS n, sum(EdgeResponseBytes) AS bytes FROM http_requests "
        "WHERE EdgeResponseStatus >= 400 GROUP BY 1 ORDER BY n DESC, ClientIP LIMIT 10"
    ),
    "minutes": (
        "SELECT date_trunc('minute', EdgeStartTimestamp) AS minute, count(*) AS n, sum(EdgeResponseBytes) AS bytes, "
        "max(EdgeTimeToFirstByteMs) AS worst FROM http_requests GROUP BY 1 ORDER BY 1"
    ),
}
PAGE: Final = "SELECT * FROM http_requests WHERE EdgeResponseStatus >= 400 ORDER BY EdgeStartTimestamp DESC LIMIT 100"
_INDEX: Final = {"seconds": 1, "cpu_seconds": 1, "megabytes": 1, "parts": 0}
LAST: Final = Span(since=datetime.fromtimestamp(END, UTC) - timedelta(minutes=15))


def run(running: Services, folder: Path, files: int, rows: int) -> dict[str, Any]:
    """Return every figure; see ``main``."""
    settings = running.settings("explore", [], explore_seconds=600)  # a busy machine is no failure
    shutil.rmtree(folder, ignore_errors=True)
    return child("explore", str(folder), str(files), str(rows), environment=environment(settings)).more


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """What is compared with the aims; of aggregates the worst."""
    find, sql = found["find"], found["sql"]
    return {
        "find_ratio": find["full_seconds"] / find["cold_seconds"],
        "find_other_ratio": find["full_seconds"] / find["other_seconds"],
        "find_warm_ratio": find["full_seconds"] / find["warm_seconds"],
        "find_narrow_ratio": find["narrow_seconds"] / find["cold_seconds"],
        "sql_ratio": max(each["ours"] / each["duckdb"] for each in sql["s3"].values()),
        "sql_local_ratio": max(each["ours"] / each["duckdb"] for each in sql["local"].values()),
        "page_p95_seconds": found["page"]["p95"],
    }


def tables(found: dict[str, Any]) -> Iterator[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
    """Titles, columns and rows of what was measured."""
    of = found["find"]
    size = f"{found['rows']:,} rows, {found['files']} files, {found['bytes'] / 1e6:,.0f} MB in S3"
    yield (
        f"One record by its id: {size}",
        ("", "seconds", "MB read", "files opened", "times faster than the full scan", "than the narrow one"),
        [
            (
                title,
                f"{of[f'{name}_seconds']:.3f}",
                f"{of[f'{read}_bytes'] / 1e6:.1f}",
                f"{of[f'{read}_files']}",
                *(f"{of[f'{scan}_seconds'] / of[f'{name}_seconds']:.1f}" for scan in ("full", "narrow")),
            )
            for title, name, read in (
                ("full scan: DataFusion as it comes", "full", "full"),
                ("narrow scan: our engine, one column first", "narrow", "narrow"),
                ("find, cold, without an index", "bare", "bare"),
                ("find, cold", "cold", "cold"),
                ("find, warm, the first time of each file", "other", "other"),
                ("find, warm, most of them again", "warm", "warm"),
                ("find, warm, no such id", "absent", "absent"),
            )
        ],
    )
    yield (
        "The index of ids",
        ("made in s", "CPU s", "MB", "parts"),
        [tuple(f"{of[f'index_{name}']:.{digits}f}" for name, digits in _INDEX.items())],
    )
    yield (
        "Aggregates",
        ("", "ours s", "DuckDB s", "ratio"),
        [
            (f"{title}: {name}", f"{each['ours']:.3f}", f"{each['duckdb']:.3f}", f"{each['ours'] / each['duckdb']:.2f}")
            for place, title in (("s3", "S3"), ("local", "folder"))
            for name, each in found["sql"][place].items()
        ],
    )
    page = [f"{found['page'][name] * 1e3:.0f}" for name in ("p50", "p95", "worst")]
    yield "First page of the last 15 minutes, newest first, warm", ("", "p50 ms", "p95 ms", "worst ms"), [("", *page)]
    columns = ("whole", "check", "log", "fork", "begin", "rows")
    yield (
        "The least that a query costs, ms",
        ("", *columns),
        [(name, *(f"{each[part]:.1f}" for part in columns)) for name, each in found["small"].items()],
    )


def main(folder: Path, files: int, rows: int) -> None:
    """Fill the table and measure, in a process of its own."""
    memory.setup()
    settings = Settings()
    store = Store.from_settings(settings)
    with own() as found:
        requests = Requests(files, rows)
        found.more = {"files": files, "rows": rows, **fill(store, requests)}
        found.more["find"] = _find(settings, store, requests)
        with opened(settings, store, datasets(), serves=True) as explorer:
            found.more["sql"] = {"s3": _sql(explorer, _duckdb(store))}
            found.more["page"] = _page(explorer)
        found.more["small"] = least.costs(settings, store, datasets())
        local = _copy(store, folder)
        with opened(settings, local, datasets(), serves=True) as explorer:
            found.more["sql"]["local"] = _sql(explorer, _duckdb(local))
        shutil.rmtree(folder)
    report(found)


@cache
def datasets() -> dict[str, model.Dataset]:
    """The contract's, read once: whoever asks has read it at its start."""
    return dict(model.load(contract.find()))


def fill(store: Store, requests: Requests) -> dict[str, float]:
    """Write the table, a file a commit."""
    table = Table(store, datasets()[DATASET], TENANT)
    began, size = time.perf_counter(), 0
    for number in range(requests.files):
        rows = requests.rows_of(number)
        offsets = np.full(rows.num_rows, number, np.int64)
        size += table.append("logflume/bench/0", number + 1, offsets, rows).bytes
    return {"bytes": size, "fill_seconds": time.perf_counter() - began}


# --- a record by its id -----------------------------------------------------------------------------------------------


def _find(settings: Settings, store: Store, requests: Requests) -> dict[str, float]:
    """Scans that nothing helps, against ``find`` by an engine that knows nothing, and by one that has found others.

    Both scans are by LIKE with a prefix, which has no use for Bloom filters; ids have no bounds. Full: DataFusion as it
    comes reads every column of every file. Narrow: our engine reads one column, and the others where a row matches.

    Cold: the index stands in the store, and nothing of it or of the table is kept here; the engine has begun. Warm: an
    engine that has found others, in files that it has not looked into yet; and three ids thrice each, as who looks at a
    record looks at it again.
    """
    ids = [requests.id(requests.rows * at // (REPEATS + 2)) for at in range(1, REPEATS + 2)]
    fulls, narrows, warm, start = [], [], [], []
    read: dict[str, float] = {}

    def cold(name: str) -> float:
        runs = []
        for id in ids[:REPEATS]:
            began = time.perf_counter()
            with opened(settings, store, datasets()) as explorer:
                start.append(time.perf_counter() - began)
                _ours(explorer, "SELECT 1")  # else the query's process, which is made ahead, gets ready meanwhile
                runs.append(seconds(lambda e=explorer, i=id: _found(e, i, read, name)))  # type: ignore[misc]
        return statistics.median(runs)

    without = cold("bare")
    index = _indexed(store)
    log.checkpoint(store, _path(store))
    indexed = cold("cold")
    engine = _datafusion(store)
    with opened(settings, store, datasets(), serves=True) as explorer:
        _found(explorer, ids[-1], read, "warm")
        for id in ids[:REPEATS]:
            narrows.append(seconds(lambda i=id: _narrow(explorer, i, read)))  # type: ignore[misc]
            fulls.append(seconds(lambda i=id: _full(engine, i)))  # type: ignore[misc]
            warm += [seconds(lambda i=id: _found(explorer, i, read, "warm")) for _ in range(REPEATS)]  # type: ignore[misc]
        each = [requests.id(requests.rows * (2 * at + 1) // (2 * OTHERS)) for at in range(OTHERS)]
        other = [seconds(lambda i=id: _found(explorer, i, read, "other")) for id in each]  # type: ignore[misc]
        absent = [seconds(lambda: _found(explorer, "f" * 15, read, "absent", 0)) for _ in range(REPEATS)]
    middle = {
        "full_seconds": statistics.median(fulls),
        "full_bytes": Snapshots(store).read(TENANT, DATASET).size,
        "full_files": requests.files,
        "narrow_seconds": statistics.median(narrows),
        "bare_seconds": without,
        "cold_seconds": indexed,
        "warm_seconds": statistics.median(warm),
        "other_seconds": statistics.median(other),
        "absent_seconds": statistics.median(absent),
        "start_seconds": statistics.median(start),
    }
    return {**middle, **index, **read}


def _indexed(store: Store) -> dict[str, float]:
    """Make the index of ids, as a table's care or an explorer in the background does."""
    began, used = time.perf_counter(), time.process_time()
    held = Snapshots(store).read(TENANT, DATASET)
    id_field = datasets()[DATASET].id_field
    assert id_field is not None
    made = extend(store, held.path, id_field, held.named, SystemClock())
    return {
        "index_seconds": time.perf_counter() - began,
        "index_cpu_seconds": time.process_time() - used,
        "index_megabytes": sum(part.size for part in made.parts) / 1e6,
        "index_parts": len(made.parts),
    }


def _found(explorer: Explorer, id: str, read: dict[str, float], name: str, rows: int = 1) -> None:
    [found] = find(explorer, datasets(), TENANT, id, DATASET)
    _expect(found.rows.num_rows == rows, f"{found.rows.num_rows} rows with the id {id}, not {rows}")
    read[f"{name}_bytes"], read[f"{name}_files"] = found.scanned.bytes, found.scanned.files


def _narrow(explorer: Explorer, id: str, read: dict[str, float]) -> None:
    with explorer.query(TENANT, f"SELECT * FROM {DATASET} WHERE \"RayID\" LIKE '{id}%'") as result:
        _expect(result.read_all().num_rows == 1, f"a scan does not find {id}")
        read["narrow_bytes"], read["narrow_files"] = result.scanned.bytes, result.scanned.files


def _full(engine: SessionContext, id: str) -> None:
    found = engine.sql(f"SELECT * FROM {DATASET} WHERE \"RayID\" LIKE '{id}%'").collect()
    _expect(sum(batch.num_rows for batch in found) == 1, f"DataFusion does not find {id}")


def _datafusion(store: Store) -> SessionContext:
    """DataFusion with its own settings over the folder of the table's one day."""
    [folder] = {path.rpartition("/")[0] for path in _files(store)}
    keys = store.delta_options
    engine = SessionContext()
    objects = AmazonS3(
        BUCKET,
        region=keys["AWS_REGION"],
        access_key_id=keys["AWS_ACCESS_KEY_ID"],
        secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        endpoint=keys["AWS_ENDPOINT_URL"],
        allow_http=True,
    )
    engine.register_object_store("s3://", objects, BUCKET)
    engine.register_parquet(DATASET, f"{store.uri(_path(store))}/{folder}/")
    return engine


# --- aggregates -------------------------------------------------------------------------------------------------------


def _sql(explorer: Explorer, peer: duckdb.DuckDBPyConnection) -> dict[str, dict[str, float]]:
    """Seconds of each aggregate, ours and DuckDB's in turn; both have run once before, and must give the same."""
    found = {}
    with closing(peer) as db:
        for name, sql in AGGREGATES.items():
            answers = [_ours(explorer, sql), db.execute(sql).fetchall()]
            _expect(answers[0] == answers[1], f"DuckDB gives something else for {sql}")
            ours, theirs = [], []
            for _ in range(REPEATS):
                ours.append(seconds(lambda s=sql: _ours(explorer, s)))  # type: ignore[misc]
                theirs.append(seconds(lambda s=sql: db.execute(s).fetchall()))  # type: ignore[misc]
            found[name] = {"ours": statistics.median(ours), "duckdb": statistics.median(theirs)}
    return found


def _ours(explorer: Explorer, sql: str) -> list[tuple[Any, ...]]:
    with explorer.query(TENANT, sql) as result:
        return [tuple(row.values()) for row in result.read_all().to_pylist()]


def _duckdb(store: Store) -> duckdb.DuckDBPyConnection:
    """DuckDB that reads the files by itself, for each query anew; as a view, so that each opens them."""
    db = duck.connect(store)
    paths = [store.uri(f"{_path(store)}/{path}").removeprefix("file://") for path in _files(store)]
    db.execute(f"CREATE VIEW {DATASET} AS SELECT * FROM read_parquet({paths!r}, union_by_name = false)")
    return db


def _path(store: Store) -> str:
    return store.table(TENANT, DATASET)


def _files(store: Store) -> list[str]:
    table = DeltaTable(store.uri(_path(store)), storage_options=store.delta_options)
    paths: list[str] = pa.table(table.get_add_actions()).column("path").to_pylist()
    return sorted(paths)


def _copy(store: Store, folder: Path) -> Store:
    """The same table, bytes for bytes, in a folder."""
    local = Store(f"file://{folder.absolute()}")
    target = local.full(_path(local))
    Path(target).mkdir(parents=True)
    pafs.copy_files(store.full(_path(store)), target, store.filesystem, pafs.LocalFileSystem())
    return local


# --- pages --------------------------------------------------------------------------


def _page(explorer: Explorer) -> dict[str, float]:
    """Seconds until the first page is there whole."""

    def ask() -> None:
        with explorer.query(TENANT, PAGE, span=LAST) as result:
            _expect(result.read_all().num_rows == 100, "the first page has fewer than 100 rows")

    ask()
    runs = sorted(seconds(ask) for _ in range(PAGES))
    return {"p50": runs[len(runs) // 2], "p95": runs[int(len(runs) * 0.95) - 1], "worst": runs[-1]}


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Fatal(otherwise)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
