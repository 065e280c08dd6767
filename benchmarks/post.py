"""A sender of NDJSON by HTTP: bodies of 1 MB over a few connections, each answered before the next goes."""

from __future__ import annotations

import http.client
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

from benchmarks import records
from benchmarks.measure import own, report

BODY_BYTES = 1_000_000
CONNECTIONS = 8


def bodies(folder: Path) -> Iterator[bytes]:
    """The records in ``folder``, whoever they belong to, in bodies of about 1 MB."""
    held: list[bytes] = []
    size = 0
    for piece in records.read(folder):
        held.append(piece.data)
        size += len(piece.data)
        if size >= BODY_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def main(folder: Path, port: int, token: str) -> None:
    everything = list(bodies(folder))

    def post(start: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
        rows = 0
        for body in everything[start::CONNECTIONS]:
            connection.request("POST", f"/v1/ingest/{records.DATASET}", body, headers)
            answer = connection.getresponse()
            told = orjson.loads(answer.read())
            if answer.status != 200 or told["errors_total"]:
                raise SystemExit(f"{answer.status}: {told}")
            rows += told["rows"]
        connection.close()
        return rows

    with own() as found, ThreadPoolExecutor(CONNECTIONS) as pool:
        rows = sum(pool.map(post, range(CONNECTIONS)))
    found.more = {"rows": rows, "bodies": len(everything)}
    report(found)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
