"""The bench's records, made once and kept in files, so that making them costs no measured process anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from logflume.demo.scenes import tenant_names
from logflume.demo.traffic import Shape, Traffic

DATASET = "http_requests"
END_NS = 1_763_812_800_000_000_000
CHUNK_ROWS = 20_000
PIECE_ROWS = 100
"""Records that a tenant hands over at once, at most; the pieces of a chunk come in random order."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Records of one tenant, as NDJSON."""

    tenant: str
    data: bytes


def write(folder: Path, rows: int, tenants: int, *, skew: float = 1.1, seed: int = 1) -> tuple[int, int]:
    """Write ``rows`` HTTP requests into ``folder``; returns rows and bytes. No maps, arrays or odd values: the peers'
    reader of JSON could not take them.
    """
    shape = Shape(tenants=tenants, skew=skew, ruled_share=0.02, nested_share=0, odd_share=0, attack=False)
    traffic = Traffic(rows, seed=seed, end_ns=END_NS, shape=shape)
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    size = 0
    pieces: list[Piece] = []
    number = held = 0
    for batch in traffic.batches(CHUNK_ROWS):
        if batch.dataset != DATASET:
            continue
        bounds = np.append(np.insert(batch.ends, 0, 0)[:-1:PIECE_ROWS], len(batch.data)).tolist()
        pieces += [Piece(batch.tenant, batch.data[a:b]) for a, b in pairwise(bounds)]
        size += len(batch.data)
        held += batch.rows
        if held >= CHUNK_ROWS:
            _write(folder / f"{number:04d}.arrow", [pieces[i] for i in rng.permutation(len(pieces))])
            pieces, held, number = [], 0, number + 1
    if pieces:
        _write(folder / f"{number:04d}.arrow", pieces)
    return rows, size


def write_even(folder: Path, tenants: int, rounds: int, rows_each: int) -> int:
    """Write ``rows_each`` records of every tenant in every round, each time as one piece; returns rows."""
    rows = tenants * rounds * rows_each
    shape = Shape(tenants=1, ruled_share=0, nested_share=0, odd_share=0, attack=False)
    names = tenant_names(tenants)
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for batch in Traffic(rows, seed=2, end_ns=END_NS, shape=shape).batches(CHUNK_ROWS // rows_each * rows_each):
        bounds = [0, *batch.ends[rows_each - 1 :: rows_each].tolist()]
        pieces = []
        for a, b in pairwise(bounds):
            pieces.append(Piece(names[number % tenants], batch.data[a:b]))
            number += 1
        _write(folder / f"{number:08d}.arrow", pieces)
    return rows


def _write(path: Path, pieces: list[Piece]) -> None:
    table = pa.table({"tenant": [p.tenant for p in pieces], "data": pa.array([p.data for p in pieces], pa.binary())})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def read(folder: Path) -> Iterator[Piece]:
    """The pieces in ``folder``, a file at a time."""
    for path in sorted(folder.glob("*.arrow")):
        with pa.memory_map(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
            tenants = table["tenant"].to_pylist()
            yield from (Piece(t, d.as_py()) for t, d in zip(tenants, table["data"], strict=True))
