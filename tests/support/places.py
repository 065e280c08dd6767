"""Places for a job's objects, each as a target and the settings to open it with; and what lies there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import s3fs

from logflume.destinations import Destination, open_destination
from logflume.model.job import Target
from logflume.settings import Settings
from tests.support.services import S3

CREDENTIALS = "job"


@dataclass(frozen=True)
class Place:
    """A target and the settings that open it."""

    target: Target
    settings: Settings

    def open(self) -> Destination:
        return open_destination(self.target, self.settings)


def folder(at: Path, **overrides: Any) -> Place:
    """A folder, made."""
    at.mkdir(parents=True, exist_ok=True)
    return Place(Target(at.as_uri()), Settings(**overrides))


def bucket(url: str, endpoint: str, keys: tuple[str, str], secrets: Path, **overrides: Any) -> Place:
    """A bucket of the service at ``endpoint``; its ``keys`` are written below ``secrets``."""
    own = secrets / CREDENTIALS
    own.mkdir(parents=True, exist_ok=True)
    for name, key in zip(("access_key", "secret_key"), keys, strict=True):
        (own / name).write_text(f"{key}\n")
    target = Target(url, endpoint=endpoint, credentials=CREDENTIALS, path_style=True)
    return Place(target, Settings(secrets_dir=str(secrets), **overrides))


def objects(s3: S3, url: str) -> dict[str, bytes]:
    """All objects below ``url`` by name, as another client of the real server sees them."""
    parts = urlsplit(url)
    root = f"{parts.netloc}{parts.path}"
    client = _client(s3)
    return {path.removeprefix(f"{root}/"): client.cat_file(path) for path in client.find(root)}


def uploads(s3: S3, url: str) -> list[str]:
    """The multipart uploads below ``url`` that are neither complete nor aborted."""
    parts = urlsplit(url)
    open_ones = _client(s3).call_s3("list_multipart_uploads", Bucket=parts.netloc).get("Uploads", [])
    return [upload["Key"] for upload in open_ones if f"/{upload['Key']}".startswith(parts.path)]


def _client(s3: S3) -> s3fs.S3FileSystem:
    return s3fs.S3FileSystem(
        endpoint_url=s3.endpoint,
        key=s3.access_key,
        secret=s3.secret_key,
        client_kwargs={"region_name": "us-east-1"},
        use_listings_cache=False,
    )
