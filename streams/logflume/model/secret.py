"""References to secrets: a configuration says where a secret is found, and never holds one.

``env:NAME`` is a variable of the process that needs it, ``file:/path`` a file on its machine. What a worker may read by
them its own settings say (``secret_env_prefix``, ``secrets_dir``): who writes a configuration must not get to read what
else the worker has. So only operators' files may use them, nothing that came by the API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from logflume.model.job import Job, Target
from logflume.model.owner import Owner

FIELDS = ("access_key", "secret_key", "session_token")
"""Of a target: those that are references."""

_ENV = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_FILE = re.compile(r"/[^\x00-\x1f\x7f]{1,1000}")


class Kind(StrEnum):
    """Where a secret lies."""

    ENV = "env"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Reference:
    """``place`` is a variable's name, or a path."""

    kind: Kind
    place: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}"


def parse(text: str) -> Reference:
    """Read a reference. ``ValueError``, which does not repeat the text, as that may be a secret."""
    kind, colon, place = text.partition(":")
    if colon and kind == Kind.ENV and _ENV.fullmatch(place):
        return Reference(Kind.ENV, place)
    if colon and kind == Kind.FILE and _FILE.fullmatch(place) and ".." not in place.split("/"):
        return Reference(Kind.FILE, place)
    raise ValueError("is env:NAME (capitals, digits and _) or file:/path, never the secret itself")


def references(target: Target) -> dict[str, str]:
    """Return the target's references by field, those that are not empty."""
    return {name: text for name in FIELDS if (text := getattr(target, name))}


def check(job: Job) -> None:
    """``ValueError`` when a job's secrets are no references, or when it must not have any as the API owns it."""
    found = references(job.target)
    for name, text in found.items():
        try:
            parse(text)
        except ValueError as error:
            raise ValueError(f"job {job.key}: {name} {error}") from None
    if job.owner is Owner.API and (found or job.target.credentials):
        named = ", ".join([*found, *(["credentials"] if job.target.credentials else [])])
        raise ValueError(f"job {job.key}: only operators' files may refer to secrets ({named}), and the API owns it")
