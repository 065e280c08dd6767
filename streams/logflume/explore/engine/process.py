"""The process of one query: it confines itself, waits for the query, runs it, and sends what comes out.

What it may read lies behind the gateway, by a key that opens the files of this query's tables alone. DataFusion plans
the text with everything but plain queries switched off: the second guard, after ``check``.
"""

from __future__ import annotations

import os
import re
import socket
from typing import Final

import datafusion
import orjson
import pyarrow as pa
import pyarrow.compute  # what is imported later can't be: no file can be opened then
from datafusion.common import DFSchema
from datafusion.object_store import AmazonS3

from logflume.errors import LogflumeError
from logflume.explore import functions
from logflume.explore.engine import frames, sandbox
from logflume.explore.engine.frames import BUCKET, Place, Refusal, TableTask, Task
from logflume.explore.plain import plain, plain_schema

_OVERHEAD_BYTES: Final = 256_000_000
"""For threads' stacks, pages being decoded and what else the engine does not count, beyond its rows."""

_AT_ONCE: Final = 2
"""Files that a query reads for each of its threads, if it reads all in any case: it computes while others wait.

Of others more are read than are needed: the newest hundred rows, say, are often in the first file."""

_PYTHONS: Final = re.compile(r"""PyErr \{ type: .*?, value: \w+\(["'](.*?)["']\), traceback: .*\}""", re.DOTALL)
"""An error of our own functions, as the engine spells it."""

_SETTINGS: Final = {
    "datafusion.sql_parser.enable_ident_normalization": "false",  # a plain session folds RayID to rayid
    "datafusion.execution.parquet.pushdown_filters": "true",
    "datafusion.execution.parquet.reorder_filters": "true",
    "datafusion.execution.parquet.metadata_size_hint": "65536",  # the footer and most indexes in one request
    "datafusion.execution.time_zone": "UTC",
    "datafusion.catalog.information_schema": "false",
}


def measure_stack() -> None:
    """Have the engine find out where this thread's stack ends, in ``/proc``, before nothing can be opened any more.

    It remembers that for the thread, over a fork too. Not knowing it, it takes 2 MB of stack from the system, and gives
    them back, for each step over each expression: half of a small query's CPU. Reading an expression makes no thread.
    """
    datafusion.SessionContext().parse_sql_expr("1 = 1", DFSchema.empty())


def main(stream: socket.socket, parent: int) -> int:
    """Run the task that comes by ``stream``; returns the exit code. ``parent``: whose death ends it."""
    try:
        place = frames.receive_place(stream)
        sandbox.bound(place.memory_bytes + _OVERHEAD_BYTES, place.cpu_seconds)
        if os.getppid() != parent:
            return 1  # it died before it could be asked to tell
        if place.confined:
            sandbox.confine(place.port)
        context = _context(place)
        _run(context, frames.receive_task(stream), place, stream)
    except (EOFError, ConnectionError):
        return 0  # nobody asks, or waits for the answer any more
    except MemoryError:
        frames.send(stream, frames.FAILED, frames.failure("memory", "there is no memory left"))
    except Refusal as refusal:
        frames.send(stream, frames.FAILED, frames.failure("refused", str(refusal)))
    except (LogflumeError, OSError) as error:
        frames.send(stream, frames.FAILED, frames.failure("broken", f"{type(error).__name__}: {error}"))
    return 0


def _run(context: datafusion.SessionContext, task: Task, place: Place, stream: socket.socket) -> None:
    if task.gathers:
        context.sql(f"SET datafusion.execution.target_partitions = {_AT_ONCE * place.threads}")
    _open(context, task, place)
    options = datafusion.SQLOptions().with_allow_ddl(False).with_allow_dml(False).with_allow_statements(False)
    try:
        frame = context.sql_with_options(task.sql, options)
        schema = plain_schema(frame.schema())
        frames.send(stream, frames.SCHEMA, schema.serialize())
        for batch in frame.execute_stream():
            rows = plain(batch.to_pyarrow(), schema)
            if rows.num_rows:
                frames.send_rows(stream, rows)
    except (BrokenPipeError, MemoryError, Refusal):
        raise
    except Exception as error:  # the engine's errors have no type of their own
        raise Refusal(_PYTHONS.sub(r"\1", str(error))) from error
    frames.send(stream, frames.DONE, orjson.dumps({}))


def _context(place: Place) -> datafusion.SessionContext:
    """A session that has run something: its threads are there, and what is made once is made."""
    config = datafusion.SessionConfig(dict(_SETTINGS)).with_target_partitions(place.threads)
    memory = datafusion.RuntimeEnvBuilder().with_disk_manager_disabled().with_greedy_memory_pool(place.memory_bytes)
    context = datafusion.SessionContext(config, memory)
    functions.register(context)
    for batch in context.sql("SELECT 1").execute_stream():
        batch.to_pyarrow()
    return context


def _open(context: datafusion.SessionContext, task: Task, place: Place) -> None:
    """Let the session read what the task's key opens, and no more."""
    store = AmazonS3(
        bucket_name=BUCKET,
        region="none",
        access_key_id="query",
        secret_access_key="query",  # the gateway goes by the session token alone
        session_token=task.key,
        endpoint=f"http://127.0.0.1:{place.port}",
        allow_http=True,
    )
    context.register_object_store("s3://", store, BUCKET)
    for table in task.tables:
        _register(context, table)


def _register(context: datafusion.SessionContext, table: TableTask) -> None:
    """Files may lack columns of the schema: null there. A bounded table is a view; the engine looks through it.

    By ``register_parquet``: a listing table would not go by the settings of Parquet, and read half a megabyte of each
    file's end.
    """
    date = [(table.date, pa.date32())]
    schema = pa.schema([field for field in table.schema if field.name != table.date])
    name = f"{table.name}: files" if table.where else table.name
    context.register_parquet(name, f"s3://{BUCKET}/{table.name}/", table_partition_cols=date, schema=schema)
    if table.where:
        context.register_view(table.name, context.sql(f'SELECT * FROM "{name}" WHERE {table.where}'))
