"""Formats out: what encoding a job's object costs on one core, beside the compressor or Parquet writer alone.

The rows have maps, arrays and fields that the dataset does not name, as demo traffic has them. Parsing is not measured.
"""

from __future__ import annotations

import gzip
import io
import os
import statistics
import sys
import time
import zlib
from collections.abc import Callable

import cramjam
import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import records
from benchmarks.measure import own, report
from logflume import contract, memory, model
from logflume.demo.traffic import Traffic
from logflume.formats import JsonParser
from logflume.formats.out import compressed, encode, select
from logflume.model.job import FileFormat

REPEATS = 5


def rows_of(count: int) -> tuple[pa.Table, model.Dataset]:
    """HTTP requests as a sink holds them."""
    dataset = model.load(contract.find())[records.DATASET]
    parser = JsonParser(dataset)
    batches = Traffic(count, seed=1, end_ns=records.END_NS).batches()
    table = pa.Table.from_batches([parser.parse(b.data).batch for b in batches if b.dataset == dataset.name])
    received = pa.array(records.END_NS + np.arange(table.num_rows) * 1_234_567).cast(pa.timestamp("ns", tz="UTC"))
    return table.append_column("_received", received).combine_chunks(), dataset


def alone(format: FileFormat, rows: pa.Table, data: bytes) -> Callable[[], object] | None:
    """What any way to such an object must do, on the same bytes or columns."""
    text = io.BytesIO()
    match format:
        case FileFormat.NDJSON_GZ | FileFormat.CSV_GZ:
            plain = gzip.decompress(data)
            return lambda: zlib.compress(plain, compressed.GZIP_LEVEL, compressed.GZIP)
        case FileFormat.NDJSON_ZST:
            plain = bytes(cramjam.zstd.decompress(data))
            return lambda: cramjam.zstd.compress(plain, level=compressed.ZSTD_LEVEL)
        case FileFormat.PARQUET:
            return lambda: pq.write_table(rows, pa.BufferOutputStream(), compression="zstd", compression_level=1)
        case FileFormat.AVRO:
            reader = fastavro.reader(io.BytesIO(data))
            schema, objects = reader.writer_schema, list(reader)
            return lambda: fastavro.writer(text, schema, objects, codec="deflate")
        case FileFormat.ARROW:
            options = pa.ipc.IpcWriteOptions(compression="zstd")

            def write() -> None:
                with pa.ipc.new_file(pa.BufferOutputStream(), rows.schema, options=options) as writer:
                    writer.write_table(rows)

            return write
        case FileFormat.CSV:
            return None  # nothing is as little as possible there


def seconds(work: Callable[[], object]) -> float:
    """CPU of one call, the median."""
    found = []
    for _ in range(REPEATS):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return statistics.median(found)


def main(count: int) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    memory.setup()  # as workers do
    rows, dataset = rows_of(count)
    text = len(gzip.decompress(encode(rows, FileFormat.NDJSON_GZ, dataset)))
    with own() as found:
        found.more = {"rows": rows.num_rows, "text_bytes": text}
        for format in FileFormat:
            data = encode(rows, format, dataset)
            found.more[f"{format} bytes"] = len(data)
            found.more[f"{format} seconds"] = seconds(lambda f=format: encode(rows, f, dataset))  # type: ignore[misc]
            if bare := alone(format, select(rows, dataset), data):
                found.more[f"{format} alone"] = seconds(bare)
    report(found)


if __name__ == "__main__":
    main(int(sys.argv[1]))
