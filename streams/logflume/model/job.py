"""File jobs: which rows of a tenant come to rest as objects, where, in which format and how large."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson


class FileFormat(StrEnum):
    """What the objects of a job are; the value is also the end of their names."""

    NDJSON_GZ = "ndjson.gz"
    NDJSON_ZST = "ndjson.zst"
    CSV = "csv"
    CSV_GZ = "csv.gz"
    PARQUET = "parquet"
    AVRO = "avro"
    ARROW = "arrow"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a job's objects go: ``url`` is ``s3://bucket/prefix`` or ``file:///folder``.

    The rest is for S3. ``credentials`` names a folder of the setting ``secrets_dir`` with the files ``access_key`` and
    ``secret_key``; empty: the environment's or the machine's own role. ``role`` (an ARN) is assumed with those.
    ``encryption`` is ``""``, ``AES256`` or ``aws:kms`` (then with ``kms_key``, or the bucket's own).
    """

    url: str
    endpoint: str = ""
    region: str = ""
    path_style: bool = False
    credentials: str = ""
    role: str = ""
    encryption: str = ""
    kms_key: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A tenant's rows of one dataset, written as objects of at most about ``max_rows`` rows or ``max_bytes`` in memory,
    the first of whose rows waited at most ``max_age_seconds``.

    ``fields`` are the columns in their order, among them perhaps ``_received``, ``_extra`` and the coordinates
    ``_src_*``; empty: all fields of the dataset, then ``_extra`` and ``_received``. ``key`` is its name in the tenant's
    file: it never changes, as objects and cursors carry it.
    """

    key: str
    dataset: str
    target: Target
    format: FileFormat
    fields: tuple[str, ...] = ()
    max_rows: int = 100_000
    max_bytes: int = 64_000_000
    max_age_seconds: float = 300.0

    def definition(self) -> dict[str, Any]:
        """Return what decides the bytes and the place of an object, as JSON values: an intent freezes it."""
        target = {name: getattr(self.target, name) for name in Target.__slots__}
        return {"dataset": self.dataset, "target": target, "format": str(self.format), "fields": list(self.fields)}

    @property
    def fingerprint(self) -> str:
        """The same for jobs that write the same bytes to the same place."""
        text = orjson.dumps(self.definition(), option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(text, digest_size=8).hexdigest()
