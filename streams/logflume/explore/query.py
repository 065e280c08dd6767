"""Run a checked SELECT over the snapshots of a tenant's tables.

delta-rs's own DataFusion (``QueryBuilder``) runs it: it skips files by the log's bounds and by ``_date``, row groups by
their statistics and Bloom filters, and fills columns that older files lack; the FFI bridge from DataFusion pushes no
filter down (0.73 s against 0.05 for one id in 4 million rows). What may run is decided before: by ``check``, and by
DataFusion's own planner, on empty tables, with DDL, DML and statements switched off.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import datafusion
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from logflume.errors import LogflumeError, Refused, Retryable
from logflume.explore.check import Checked, check
from logflume.model.dataset import Dataset
from logflume.model.tenant import check_tenant_name
from logflume.table import log
from logflume.table.store import Store

LIMIT = 10_000
"""Rows that a query without a LIMIT of its own gives."""

# A plain session folds RayID to rayid.
_CONFIG = {"datafusion.sql_parser.enable_ident_normalization": "false"}
_EXPLAIN = {**_CONFIG, "datafusion.explain.physical_plan_only": "true"}
_FILE = re.compile(r"[^/\[\],{}]+\.parquet")

_STORE_FAILED = re.compile(r"Object Store error|Generic \w+ error: .*Error performing", re.IGNORECASE)


class NoTable(LogflumeError):
    """A tenant has no rows at rest in a dataset yet."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """Files that a query opens, of all those of its tables, and their bytes: Bloom filters and pages skip within."""

    files: int
    of_files: int
    bytes: int
    of_bytes: int


@dataclass
class Result:
    """A query's answer, read once: ``batches`` runs the query as it is read. ``limited`` is true when it was cut."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]
    scanned: Scanned
    limit: int | None
    limited: bool = field(default=False)

    def read_all(self) -> pa.Table:
        """Read the whole answer."""
        return pa.Table.from_batches(list(self.batches), self.schema)


def query(store: Store, datasets: Mapping[str, Dataset], tenant: str, sql: str, limit: int = LIMIT) -> Result:
    """Run one SELECT over the tenant's tables, which are named as their datasets.

    ``limit`` applies when the query has no LIMIT of its own. Raises ``Refused`` for what must not run, ``NoTable`` when
    nothing has come to rest in a table that it names, ``Retryable`` when the store fails.
    """
    check_tenant_name(tenant)
    checked = check(sql, datasets)
    tables = {name: _open(store, tenant, name) for name in sorted(checked.tables)}
    _plan(checked, tables)
    # A comment at the end of the query must not swallow the limit. One row more tells whether the limit cut.
    text = checked.sql if checked.limited else f"{checked.sql}\nLIMIT {limit + 1}"
    scanned = _scanned(text, tables)
    try:
        reader = _builder(_CONFIG, tables).execute(text)
        schema = _plain(pa.schema(reader.schema))
    except Exception as error:  # the engine's errors have no type of their own
        raise _failed(error) from error
    result = Result(schema, iter(()), scanned, None if checked.limited else limit)
    result.batches = _read(reader, result)
    return result


def _open(store: Store, tenant: str, dataset: str) -> DeltaTable:
    table = log.open_table(store, store.table(tenant, dataset))
    if table is None:
        raise NoTable(
            f"nothing of the tenant {tenant!r} has come to rest in {dataset} yet: there is no table "
            f"{store.uri(store.table(tenant, dataset))}. `logflume table list` shows those that there are."
        )
    return table


def _plan(checked: Checked, tables: Mapping[str, DeltaTable]) -> None:
    """The second guard: let DataFusion plan the text, with nothing but empty tables to find."""
    context = datafusion.SessionContext(datafusion.SessionConfig(_CONFIG))
    for name, table in tables.items():
        schema = pa.schema(table.schema().to_arrow())
        context.register_record_batches(name, [[pa.RecordBatch.from_pylist([], schema=schema)]])
    options = datafusion.SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)
    try:
        context.sql_with_options(checked.sql, options)
    except Exception as error:  # ValueError today; whatever it is, the query does not run
        raise _failed(error) from error


def _scanned(sql: str, tables: Mapping[str, DeltaTable]) -> Scanned:
    """Ask the engine's plan which files are left after skipping."""
    try:
        plans = pa.table(_builder(_EXPLAIN, tables).execute(f"EXPLAIN VERBOSE {sql}").read_all())
    except Exception as error:
        raise _failed(error) from error
    sizes: dict[str, int] = {}
    for table in tables.values():
        adds = pa.table(table.get_add_actions())
        names = (path.rpartition("/")[2] for path in adds.column("path").to_pylist())
        sizes |= dict(zip(names, adds.column("size_bytes").to_pylist(), strict=True))
    last = str(plans.column("plan")[-1].as_py())  # the only display that lists every file
    opened = sizes.keys() & set(_FILE.findall(last))  # of names that hold a random part each
    return Scanned(len(opened), len(sizes), sum(sizes[name] for name in opened), sum(sizes.values()))


def _builder(config: Mapping[str, str], tables: Mapping[str, DeltaTable]) -> QueryBuilder:
    builder = QueryBuilder(dict(config))
    for name, table in tables.items():
        builder.register(name, table)
    return builder


def _read(reader: object, result: Result) -> Iterator[pa.RecordBatch]:
    left = result.limit
    stream = iter(reader)  # type: ignore[call-overload]
    while True:
        try:
            batch = next(stream, None)
        except Exception as error:
            raise _failed(error) from error
        if batch is None:
            return
        rows = pa.record_batch(batch).cast(result.schema)
        if left is not None:
            if rows.num_rows > left:
                result.limited = True
                rows = rows.slice(0, left)
            left -= rows.num_rows
        if rows.num_rows:
            yield rows
        if result.limited:
            return


def _plain(schema: pa.Schema) -> pa.Schema:
    """Views become plain strings and lists, which every consumer of Arrow knows."""
    return pa.schema([f.with_type(_plain_type(f.type)) for f in schema])


def _plain_type(type: pa.DataType) -> pa.DataType:
    if type == pa.string_view():
        return pa.string()
    if type == pa.binary_view():
        return pa.binary()
    if pa.types.is_list(type):
        return pa.list_(type.value_field.with_type(_plain_type(type.value_type)))
    if pa.types.is_struct(type):
        return pa.struct([f.with_type(_plain_type(f.type)) for f in type])
    if pa.types.is_map(type):
        return pa.map_(type.key_type, type.item_field.with_type(_plain_type(type.item_type)))
    return type


def _failed(error: Exception) -> LogflumeError:
    text = str(error).replace("datafusion.public.", "")
    if isinstance(error, OSError) or _STORE_FAILED.search(text):
        return Retryable(f"the store failed while the query ran: {text}")
    return Refused(f"the query can't run: {text}")
