"""The demo's file job: one tenant's requests as NDJSON.gz beside its table, and their sum by independent counting."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson
import pyarrow.compute as pc

from logflume.demo.judge import Check, Sent

DATASET = "http_requests"
KEY = "requests"
_AGE_SECONDS = 5


def section(folder: Path) -> str:
    """Return the lines of a tenant's file that ask for the job; its objects lie below ``folder``."""
    return (
        f"jobs:\n  {KEY}:\n    dataset: {DATASET}\n    destination: {folder.absolute().as_uri()}\n"
        f"    format: ndjson.gz\n    max_age_seconds: {_AGE_SECONDS}\n"
    )


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects of a tenant's job at one moment."""

    tenant: str
    paths: frozenset[Path]

    @classmethod
    def of(cls, folder: Path, tenant: str) -> Objects:
        """List them; ``folder`` may not be there yet."""
        return cls(tenant, frozenset((folder / tenant / KEY).glob("*/*.ndjson.gz")))

    def checks(self, before: Objects, sent: Sent, id_field: str) -> tuple[Check, ...]:
        """Compare the records in objects that were not there ``before`` with those that were sent."""
        noted = sent.table()
        theirs = noted.filter(pc.and_(pc.equal(noted["tenant"], self.tenant), pc.equal(noted["dataset"], DATASET)))
        found = [orjson.loads(line).get(id_field) for line in _lines(self.paths - before.paths)]
        rows = Check(f"records of {self.tenant} in its job's objects", theirs.num_rows, len(found))
        ids = {text for text in theirs["id"].to_pylist() if text is not None}
        if not ids:
            return (rows,)
        return (rows, Check("… and ids of them that were sent", len(ids), len(ids & set(found))))


def _lines(paths: Iterable[Path]) -> Iterable[bytes]:
    for path in paths:
        yield from gzip.decompress(path.read_bytes()).splitlines()
