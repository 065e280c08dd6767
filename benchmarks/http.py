"""The HTTP edge at work: NDJSON in bodies of 1 MB until Kafka has acknowledged them, beside parsing the same bytes."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.measure import Used, child, cpu, peak
from benchmarks.services import Services, worker
from logflume.local.process import free_ports
from logflume.model.token import SECRET_BYTES, digest, text_of

TENANT = "bench"


def run(services: Services, folder: Path) -> dict[str, Any]:
    """Return what the server used, and what parsing alone does."""
    [port] = free_ports(1)
    settings = services.settings("http", [TENANT], edge_http_port=port)
    token = text_of("bench", secrets.token_bytes(SECRET_BYTES))
    (Path(settings.tenants_dir) / f"{TENANT}.yaml").write_text(
        f'name: {TENANT}\ndatasets: {{{records.DATASET}: }}\ntokens:\n  - {{id: bench, sha256: "{digest(token)}"}}\n'
    )
    with worker("edge serve", settings, services.folder) as server:
        pids = {"edge serve": server.pid, "kafka": services.kafka_pid}
        before = {name: cpu(pid) for name, pid in pids.items()}
        sender = child("post", str(folder), str(port), token)
        used = {name: Used(cpu(pid) - before[name], peak(pid)) for name, pid in pids.items()}
    parse = child("parse", str(folder))
    rows = sender.more["rows"]
    if parse.more["rows"] != rows:
        raise SystemExit(f"{rows} rows were answered, and {parse.more['rows']} are in the bodies")
    return {
        "rows": rows,
        "wall_seconds": sender.wall_seconds,
        "used": {"edge serve": asdict(used["edge serve"])},
        "beside": {"kafka": asdict(used["kafka"]), "sender": asdict(Used(sender.cpu_seconds, sender.peak_bytes))},
        "rows_per_cpu_second": rows / used["edge serve"].cpu_seconds,
        "parse_rows_per_cpu_second": rows / parse.cpu_seconds,
    }
