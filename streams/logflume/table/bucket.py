"""A bucket, by obstore (Rust's object_store, which delta-rs is built on as well): put, put if absent, look up, delete.

CPU of one request on SeaweedFS: 0.3 ms. A PUT takes 1.4 by pyarrow's file system, and 2.4 by s3fs, which also takes a
second to import; a flush of a small table makes three requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import obstore
import pyarrow as pa
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 2


class Bucket:
    """Objects of one S3 service below a prefix. Safe for threads. Every method raises ``OSError`` when S3 fails."""

    def __init__(
        self,
        root: str,
        *,
        endpoint: str,
        region: str,
        key: str,
        secret: str,
        connect: float,
        request: float,
        upload: float,
        attempts: int,
    ) -> None:
        """``root``: bucket and prefix. Seconds after which an attempt ends: ``connect`` to be connected, ``upload`` to
        put an object or a part of 8 MB of one, ``request`` for everything else. Without ``key`` the credentials come
        from ``AWS_*`` variables, or from the container's or instance's role.
        """
        bucket, _, prefix = root.partition("/")
        options: dict[str, Any] = {}
        if endpoint:
            options["endpoint"] = endpoint
        if key:
            options |= {"access_key_id": key, "secret_access_key": secret}

        def store(seconds: float) -> S3Store:
            return S3Store(
                bucket,
                prefix=prefix or None,
                region=region,
                client_options={
                    "allow_http": endpoint.startswith("http://"),
                    "connect_timeout": timedelta(seconds=connect),
                    "timeout": timedelta(seconds=seconds),  # of a whole attempt, its upload included
                },
                # No attempt begins after this; the one before it may have taken all of its time.
                retry_config={"max_retries": attempts, "retry_timeout": timedelta(seconds=2 * seconds)},
                **options,
            )

        self._s3 = self.objects = store(request)
        self._uploads = store(upload)

    def put(self, path: str, data: pa.Buffer) -> None:
        """Write a whole object; in parts of 8 MB when it is larger."""
        signed = memoryview(data)  # Arrow's bytes are, obstore's are not
        with _os_errors():
            obstore.put(self._uploads, path, signed.cast("B"), chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    def put_if_absent(self, path: str, data: bytes) -> str | None:
        """Make an object and return its tag; ``None`` when one is there. After ``OSError`` it may have been made."""
        with _os_errors():
            try:
                made = obstore.put(self._s3, path, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return None
        return str(made["e_tag"])  # an answer without one is an error to obstore: such an object may have been made

    def tag(self, path: str) -> str | None:
        """Return what tells this object from others of its name: its ETag; ``None`` when there is no object."""
        with _os_errors():
            try:
                found = obstore.head(self._s3, path)
            except FileNotFoundError:
                return None
        return found["e_tag"] or f"{found['size']}-{found['last_modified'].timestamp()}"

    def written_at(self, path: str) -> float | None:
        """Return when an object was last written (seconds since 1970); ``None`` when there is no object."""
        with _os_errors():
            try:
                return obstore.head(self._s3, path)["last_modified"].timestamp()
            except FileNotFoundError:
                return None

    def any_below(self, folder: str) -> bool:
        """Whether there is an object whose path begins with ``folder`` and a slash."""
        with _os_errors():
            return any(obstore.list(self._s3, folder, chunk_size=1))

    def delete(self, path: str) -> None:
        """Delete an object, which may be gone already."""
        with _os_errors():
            try:
                obstore.delete(self._s3, path)
            except FileNotFoundError:
                return


def said(error: Exception) -> str:
    """Return an error of obstore's in short: without the structure that it was made from."""
    return str(error).split("\n\nDebug source:")[0]


@contextmanager
def _os_errors() -> Iterator[None]:
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        raise OSError(said(error)) from error
