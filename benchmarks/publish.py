"""An application with the client library: hands over NDJSON of many tenants and waits until Kafka has it all."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks import records
from benchmarks.measure import own, report
from logflume.edge import Client
from logflume.settings import Settings


def main(folder: Path, round_pieces: int = 0, pause_seconds: float = 0.0) -> None:
    """Send the records in ``folder``; with rounds, flush and pause after so many pieces."""
    rows = 0
    with own() as found, Client(Settings()) as client:
        for number, piece in enumerate(records.read(folder), start=1):
            rows += client.log_ndjson(piece.tenant, records.DATASET, piece.data).rows
            if round_pieces and number % round_pieces == 0:
                client.flush(120)
                time.sleep(pause_seconds)
        client.flush(120)
    found.more = {"rows": rows}
    report(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(a) for a in sys.argv[2:3]), *(float(a) for a in sys.argv[3:4]))
