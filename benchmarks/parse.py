"""``pyarrow.json`` alone, on the bodies that ``post`` sends: the most that reading them could be, on one thread.

As in the bare loop, with the schema of the records alone: the fastest way that keeps every field.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.json as pj

from benchmarks.bare import schema
from benchmarks.measure import own, report
from benchmarks.post import bodies


def main(folder: Path) -> None:
    everything = list(bodies(folder))
    chosen = schema(everything[0].partition(b"\n")[0])
    options = pj.ParseOptions(explicit_schema=chosen, unexpected_field_behavior="error")
    rows = 0
    with own() as found:
        for body in everything:
            reading = pj.ReadOptions(use_threads=False, block_size=len(body) + 1)
            rows += pj.read_json(pa.BufferReader(body), reading, options).num_rows
    found.more = {"rows": rows}
    report(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
