"""References to secrets: a configuration says where a secret is found, and never holds one.

``env:NAME`` is a variable of the process that needs it, ``file:/path`` a file on its machine. What a worker may read by
them its own settings say (``secret_env_prefix``, ``secrets_dir``): who writes a configuration must not get to read what
else the worker has. So only operators' files may use them, nothing that came by the API.
"""

from __future__ import annotations

from logflume.model.job import Job, Target
from logflume.model.owner import Owner
from logflume.references import Kind, Reference, parse

__all__ = ["FIELDS", "Kind", "Reference", "check", "parse", "references"]

FIELDS = ("access_key", "secret_key", "session_token")
"""Of a target: those that are references."""


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
