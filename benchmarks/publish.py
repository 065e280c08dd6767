"""An application with the client library: hands over NDJSON of many tenants and waits until Kafka has it all."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import records
from benchmarks.measure import own, report
from logflume.edge import Client
from logflume.settings import Settings


def main(folder: Path) -> None:
    rows = 0
    with own() as found, Client(Settings()) as client:
        for piece in records.read(folder):
            rows += client.log_ndjson(piece.tenant, records.DATASET, piece.data).rows
        client.flush(120)
    found.more = {"rows": rows}
    report(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
