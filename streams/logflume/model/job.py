"""File jobs: which rows of a tenant come to rest as objects, where, in which format and how large."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from logflume.errors import Refused
from logflume.model.owner import Owner

MAX_ROWS, MAX_BYTES, MAX_AGE_SECONDS = 100_000, 64_000_000, 300
"""Of a job that says nothing else."""

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def is_key(text: str) -> bool:
    """Whether ``text`` may be a job's key: it becomes a part of paths."""
    return bool(_KEY.fullmatch(text))


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
    ``secret_key``; or these (and ``session_token``) are references, ``env:NAME`` or ``file:/path``, never the secrets
    themselves; all empty: the environment's or the machine's own role. ``role`` (an ARN) is assumed with those.
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
    access_key: str = ""
    secret_key: str = ""
    session_token: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A tenant's rows of one dataset, written as objects of at most about ``max_rows`` rows or ``max_bytes`` in memory,
    the first of whose rows waited at most ``max_age_seconds``.

    ``fields`` are the columns in their order, among them perhaps ``_received``, ``_extra`` and the coordinates
    ``_src_*``; empty: all fields of the dataset, then ``_extra`` and ``_received``. ``key`` is its name in the tenant's
    file: it never changes, as objects and cursors carry it. ``id`` is its number, given when it is first published (0
    until then) and never given again.
    """

    key: str
    dataset: str
    target: Target
    format: FileFormat
    fields: tuple[str, ...] = ()
    max_rows: int = MAX_ROWS
    max_bytes: int = MAX_BYTES
    max_age_seconds: float = MAX_AGE_SECONDS
    id: int = 0
    owner: Owner = Owner.FILE

    @property
    def limits(self) -> tuple[int, int, float]:
        """``max_rows``, ``max_bytes`` and ``max_age_seconds``: they decide where an object ends, not what is in it."""
        return self.max_rows, self.max_bytes, self.max_age_seconds

    def definition(self) -> dict[str, Any]:
        """Return what decides the bytes and the place of an object, as JSON values: an intent freezes it."""
        target = {name: getattr(self.target, name) for name in Target.__slots__}
        return {"dataset": self.dataset, "target": target, "format": str(self.format), "fields": list(self.fields)}

    @classmethod
    def defined(cls, key: str, definition: Mapping[str, Any]) -> Job:
        """Return the job that gave ``definition``, as far as that goes. Raises ``Refused`` when it is none of ours."""
        try:
            target = Target(**definition["target"])
            fields = tuple(definition["fields"])
            return cls(key, definition["dataset"], target, FileFormat(definition["format"]), fields)
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(
                f"the stored definition of job {key} can't be read ({error}); is it a newer release's?"
            ) from None
