"""The in-process limit: parse, block, sort, Parquet by the product's own functions, on one core, without Kafka.

Files hold 100,000 rows whoever they belong to: what tenants and tables cost comes on top of this limit.
"""

from __future__ import annotations

import os
import sys
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from aiokafka.structs import ConsumerRecord

from benchmarks import records
from benchmarks.measure import own, report
from logflume import contract, model
from logflume.block.sorted import decode_sorted
from logflume.edge.buffer import Buffer, Cut
from logflume.edge.lines import Lines
from logflume.edge.packing import Packer
from logflume.edge.spool import Message
from logflume.sort.commit import Range
from logflume.sort.gather import Gatherer
from logflume.sort.regroup import Cover, Piece, Regrouper
from logflume.sort.routing import Routing
from logflume.sort.transport import Chunk
from logflume.table import parquet

BLOCK_ROWS = 4_000
BLOCK_BYTES = 4_000_000
UNIT_BYTES = 16_000_000
FILE_ROWS = 100_000
PARTITIONS = 16
MESSAGE_BYTES = 4 << 20


def cuts(folder: Path) -> list[Cut]:
    """The records as the client's buffer closes them."""
    made: list[Cut] = []
    buffer = Buffer(records.DATASET)
    for piece in records.read(folder):
        lines = Lines(piece.data)
        buffer.add_lines(piece.tenant, lines.data, len(lines), time.time_ns(), lines.numbers)
        if buffer.rows >= BLOCK_ROWS or buffer.size >= BLOCK_BYTES:
            made.append(buffer.cut(len(made)))
    return [*made, buffer.cut(len(made))] if buffer.rows else made


def chunks(messages: list[Message]) -> list[list[Chunk]]:
    """Blocks as the sorter gets them, in units of UNIT_BYTES."""
    units: list[list[ConsumerRecord]] = [[]]
    size = 0
    for offset, message in enumerate(messages):
        size += message.raw_bytes
        if size > UNIT_BYTES:
            units.append([])
            size = message.raw_bytes
        headers = tuple((name, value) for name, value in message.headers)
        units[-1].append(
            ConsumerRecord(message.topic, 0, offset, 0, 1, None, message.value, None, 0, len(message.value), headers)
        )
    return [
        [Chunk("ingest", "A" * 22, 0, unit, UNIT_BYTES, Range(unit[0].offset, unit[-1].offset, 0.0))] for unit in units
    ]


def main(folder: Path) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    datasets = model.load(contract.find())
    dataset = datasets[records.DATASET]
    waiting = cuts(folder)
    packer = Packer(datasets, topic=lambda name: name, deadletter_topic="dead", edge="bench", epoch=0)
    gatherer = Gatherer(dataset)
    regrouper = Regrouper(dataset, "ingest", "A" * 22, "bench", Routing(dataset.name, PARTITIONS), MESSAGE_BYTES)
    marks = [time.process_time()]
    with own() as found:
        messages = list(chain.from_iterable(packer.pack(cut).messages for cut in waiting))
        marks.append(time.process_time())
        pieces: list[Piece] = []
        for unit in chunks(messages):
            gathered = gatherer.gather(unit)
            covers = [Cover(c.topic_id, c.partition, c.first, c.last) for c in unit]
            pieces += chain.from_iterable(regrouper.regroup(gathered, covers, {}))
        marks.append(time.process_time())
        rows = size = 0
        held: list[pa.RecordBatch] = []
        for piece in pieces:
            held.append(decode_sorted(piece.value, piece.headers)[1])
            rows += held[-1].num_rows
            if sum(batch.num_rows for batch in held) >= FILE_ROWS or piece is pieces[-1]:
                table = parquet.at_rest(pa.Table.from_batches(held), dataset)
                size += parquet.encode(table, dataset).data.size
                held = []
        marks.append(time.process_time())
    stages = np.diff(marks).tolist()
    found.more = {"rows": rows, "bytes_out": size, "edge": stages[0], "sort": stages[1], "sink": stages[2]}
    found.more["block_bytes"] = sum(len(m.value) for m in messages)
    found.more["sorted_bytes"] = sum(len(p.value) for p in pieces)
    report(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
