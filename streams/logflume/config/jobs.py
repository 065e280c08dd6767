"""The ``jobs:`` of a tenant's file: read whole and checked, each mistake with its file, line and field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from logflume import contract
from logflume.block.schema import sorted_schema
from logflume.config.mistakes import Mistakes
from logflume.model import secret
from logflume.model.dataset import Dataset
from logflume.model.job import MAX_AGE_SECONDS, MAX_BYTES, MAX_ROWS, FileFormat, Job, Target, is_key
from logflume.model.tenant import TenantDataset

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_ENCRYPTIONS = ("AES256", "aws:kms")
_MOST_ROWS = 10_000_000
_LEAST_BYTES, _MOST_BYTES = 64 << 10, 1 << 30
_MOST_AGE_SECONDS = 3600
_OF_S3 = ("endpoint", "region", "path_style", "credentials", *secret.FIELDS, "role", "encryption", "kms_key")
_LIMITS = ("max_rows", "max_bytes", "max_age_seconds")


def read(
    root: contract.Section, wanted: Mapping[str, TenantDataset], datasets: Mapping[str, Dataset], mistakes: Mistakes
) -> Mapping[str, Job]:
    """Return the jobs under ``jobs``, by key; ``wanted`` are the tenant's datasets. What is wrong is gathered."""
    found: dict[str, Job] = {}
    with mistakes.gathered():
        if "jobs" not in root:
            return found
        section = root.section("jobs")
        for key in section:
            with mistakes.gathered():
                found[key] = _job(section, key, wanted, datasets)
    return found


def _job(
    section: contract.Section, key: str, wanted: Mapping[str, TenantDataset], datasets: Mapping[str, Dataset]
) -> Job:
    if not is_key(key):
        raise section.mistake(key, "a job's key is lower case letters, digits, _ and -, 64 at most")
    job = section.section(key)
    job.only(("dataset", "destination", "format", "fields", *_OF_S3, *_LIMITS))
    dataset = job.text("dataset")
    if dataset not in wanted:
        raise job.mistake("dataset", f"the tenant has no dataset {dataset!r}; it has: {', '.join(wanted) or 'none'}")
    format = job.text("format", str(FileFormat.NDJSON_GZ))
    if format not in list(FileFormat):
        raise job.mistake("format", f"{format!r} is no format; the formats are: {', '.join(FileFormat)}")
    return Job(
        key=key,
        dataset=dataset,
        target=_target(job),
        format=FileFormat(format),
        fields=_fields(job, datasets[dataset]),
        max_rows=job.integer("max_rows", MAX_ROWS, least=1, most=_MOST_ROWS),
        max_bytes=job.integer("max_bytes", MAX_BYTES, least=_LEAST_BYTES, most=_MOST_BYTES),
        max_age_seconds=job.integer("max_age_seconds", MAX_AGE_SECONDS, least=1, most=_MOST_AGE_SECONDS),
    )


def _target(job: contract.Section) -> Target:
    url = job.text("destination")
    parts = urlsplit(url)
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
            raise job.mistake("destination", f"{_shown(url)}: a folder is file:///folder, three slashes")
        for name in _OF_S3:
            if name in job:
                raise job.mistake(name, "is for s3:// only")
        return Target(url)
    if parts.scheme != "s3" or not parts.netloc:
        raise job.mistake("destination", f"{_shown(url)} is neither s3://bucket/prefix nor file:///folder")
    if "@" in parts.netloc or ":" in parts.netloc or parts.query or parts.fragment:
        raise job.mistake("destination", "no key, port or query belongs here; see `credentials`, `endpoint`")
    credentials = job.text("credentials", "")
    if credentials and not _NAME.fullmatch(credentials):
        raise job.mistake("credentials", "is the name of a folder in secrets_dir: letters, digits, _ . -")
    references = _references(job)
    encryption = job.text("encryption", "")
    if encryption and encryption not in _ENCRYPTIONS:
        raise job.mistake("encryption", f"{encryption!r} is not one of {', '.join(_ENCRYPTIONS)}")
    kms_key = job.text("kms_key", "")
    if kms_key and encryption != "aws:kms":
        raise job.mistake("kms_key", "goes with encryption: aws:kms")
    return Target(
        url=url,
        endpoint=job.text("endpoint", ""),
        region=job.text("region", ""),
        path_style=job.flag("path_style", False),
        credentials=credentials,
        role=job.text("role", ""),
        encryption=encryption,
        kms_key=kms_key,
        **references,
    )


def _shown(url: str) -> str:
    """The URL without what may be a secret in it."""
    parts = urlsplit(url)
    return repr(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url[:140])


def _references(job: contract.Section) -> dict[str, str]:
    """Return where the target's secrets are found, by field. No message repeats what stands there."""
    found: dict[str, str] = {}
    for name in secret.FIELDS:
        if name not in job:
            continue
        text = job.written(name)
        try:
            secret.parse(text)
        except ValueError as error:
            raise job.mistake(name, str(error)) from None
        found[name] = text
    if not found:
        return found
    if "credentials" in job:
        raise job.mistake("credentials", f"stands beside {', '.join(found)}: give one or the other")
    for name in ("access_key", "secret_key"):
        if name not in found:
            raise job.mistake(next(iter(found)), f"needs {name} beside it")
    return found


def _fields(job: contract.Section, dataset: Dataset) -> tuple[str, ...]:
    if "fields" not in job:
        return ()
    known = sorted_schema(dataset).names
    fields = job.texts("fields")
    for number, name in enumerate(fields):
        if name not in known:
            raise job.mistake("fields", f"{dataset.name} has no field {name!r}; it has: {', '.join(known)}")
        if name in fields[:number]:
            raise job.mistake("fields", f"{name} stands twice")
    if not fields:
        raise job.mistake("fields", "name at least one field, or leave it out for all")
    return tuple(fields)
