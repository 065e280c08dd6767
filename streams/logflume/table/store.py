"""The object store that holds the tables: where it is, how each client reaches it, and its one atomic operation.

Three clients share it, each for what it does best: obstore makes and looks up single objects, pyarrow reads and lists
data, and delta-rs reads the logs. All have bounded time-outs. Layout: ``<store_url>/tables/<tenant>/<dataset>/``.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from logflume import metrics
from logflume.durable import make_folder, sync_folder
from logflume.errors import Misconfigured, Retryable
from logflume.model.tenant import check_tenant_name
from logflume.table.turns import Turns

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from logflume.settings import Settings
    from logflume.table.bucket import Bucket
    from logflume.table.log import Head

CONNECT_SECONDS = 5
REQUEST_SECONDS = 30
UPLOAD_SECONDS = 120  # of an object, or of a part of 8 MB: slow links get there too
ATTEMPTS = 3
HEADS = 50_000  # a head is about 1 kB: tables whose last state is remembered

_CLOCK = "care/clock"


class Store:
    """A bucket and prefix, or a folder. Safe for threads; one a process is enough.

    Every path that its methods take or return is relative to ``url``, with ``/`` between segments.
    """

    def __init__(self, url: str, *, endpoint: str = "", region: str = "us-east-1", key: str = "", secret: str = ""):
        parts = urlsplit(url)
        if parts.scheme not in ("s3", "file"):
            raise Misconfigured(f"the store's URL must begin with s3:// or file:///, not {url!r} (LOGFLUME_STORE_URL)")
        self.local = parts.scheme == "file"
        if self.local and (parts.netloc or not parts.path.startswith("/")):
            raise Misconfigured(f"a store in a folder needs an absolute path, file:///…, not {url!r}")
        if not self.local and not parts.netloc:
            raise Misconfigured(f"the store's URL {url!r} names no bucket: s3://bucket/prefix (LOGFLUME_STORE_URL)")
        path = unquote(parts.path).strip("/")
        if "//" in path:
            raise Misconfigured(f"the store's URL {url!r} has an empty part (LOGFLUME_STORE_URL)")
        self.root = f"/{path}" if self.local else f"{parts.netloc}/{path}".rstrip("/")
        self.url = f"{parts.scheme}://{self.root}"
        self._endpoint, self._region, self._key, self._secret = endpoint, region, key, secret
        self.heads = Heads(HEADS)
        self.turns = Turns()

    @classmethod
    def from_settings(cls, settings: Settings) -> Store:
        """Return the store that the settings name; ``Misconfigured`` when they name none."""
        if settings.store_access_key and os.environ.get("AWS_SESSION_TOKEN"):
            raise Misconfigured(
                "AWS_SESSION_TOKEN is set beside LOGFLUME_STORE_ACCESS_KEY, and belongs to other keys: unset one"
            )
        return cls(
            settings.require("store_url"),
            endpoint=settings.store_endpoint,
            region=settings.store_region,
            key=settings.store_access_key,
            secret=settings.store_secret_key.get_secret_value(),
        )

    def table(self, tenant: str, dataset: str) -> str:
        """Return the path of a tenant's table; ``Misconfigured`` for a name that is no tenant's."""
        return f"tables/{check_tenant_name(tenant)}/{dataset}"

    def uri(self, path: str) -> str:
        """Return the address of ``path`` as delta-rs takes it."""
        return f"{self.url}/{path}"

    def full(self, path: str) -> str:
        """Return the address of ``path`` as ``filesystem`` takes it: bucket and key, or an absolute file name."""
        return f"{self.root}/{path}"

    @property
    def endpoint(self) -> str:
        """The address of an S3 service that is not Amazon's, or empty."""
        return self._endpoint

    @cached_property
    def delta_options(self) -> dict[str, str]:
        """delta-rs's ``storage_options``."""
        if self.local:
            return {}
        options = {
            "AWS_REGION": self._region,
            "timeout": f"{REQUEST_SECONDS}s",
            "connect_timeout": f"{CONNECT_SECONDS}s",
            "max_retries": str(ATTEMPTS),
            "retry_timeout": f"{REQUEST_SECONDS}s",
        }
        if self._key:
            options |= {"AWS_ACCESS_KEY_ID": self._key, "AWS_SECRET_ACCESS_KEY": self._secret}
        if self._endpoint:
            plain = self._endpoint.startswith("http://")
            options |= {"AWS_ENDPOINT_URL": self._endpoint, "AWS_ALLOW_HTTP": str(plain).lower()}
        return options

    @cached_property
    def filesystem(self) -> pafs.FileSystem:
        """pyarrow's file system: reads and lists."""
        if self.local:
            return pafs.LocalFileSystem()
        return pafs.S3FileSystem(
            access_key=self._key or None,
            secret_key=self._secret or None,
            region=self._region,
            endpoint_override=self._endpoint or None,
            connect_timeout=CONNECT_SECONDS,
            request_timeout=REQUEST_SECONDS,
            retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
        )

    @cached_property
    def objects(self) -> ObjectStore:
        """obstore's store of everything below ``url``: what reads pieces of objects."""
        if not self.local:
            return self._bucket.objects
        from obstore.store import LocalStore  # late: the pipeline's own reads go elsewhere

        return LocalStore(self.root)

    @cached_property
    def _bucket(self) -> Bucket:
        from logflume.table.bucket import Bucket  # late: not needed for a folder

        return Bucket(
            self.root,
            endpoint=self._endpoint,
            region=self._region,
            key=self._key,
            secret=self._secret,
            connect=CONNECT_SECONDS,
            request=REQUEST_SECONDS,
            upload=UPLOAD_SECONDS,
            attempts=ATTEMPTS,
        )

    def write(self, path: str, data: pa.Buffer) -> None:
        """Write a whole object; durable when it returns. Raises ``Retryable``."""
        try:
            with _timed("write"):
                if self.local:
                    _write_file(Path(self.full(path)), data)
                else:
                    self._bucket.put(path, data)
        except OSError as error:
            raise Retryable(f"{self.uri(path)} could not be written: {error}") from error

    def tag(self, path: str) -> str | None:
        """Return what tells this object from others that had or will have its name; ``None`` when there is none.

        Raises ``Retryable``.
        """
        try:
            with _timed("look"):
                return _file_tag(Path(self.full(path))) if self.local else self._bucket.tag(path)
        except OSError as error:
            raise Retryable(f"{self.uri(path)} could not be looked up: {error}") from error

    def written_at(self, path: str) -> float | None:
        """Return when an object was written, by the store's clock (seconds since 1970); ``None``: there is none.

        S3 tells whole seconds. Raises ``Retryable``.
        """
        try:
            return _file_time(Path(self.full(path))) if self.local else self._bucket.written_at(path)
        except OSError as error:
            raise Retryable(f"{self.uri(path)} could not be looked up: {error}") from error

    def now(self) -> float:
        """Return the store's own time (seconds since 1970), by an object that is written for it. Raises ``Retryable``.

        A folder's is that of the machine which has it.
        """
        self.write(_CLOCK, pa.py_buffer(b"written to learn the store's time\n"))
        written_at = self.written_at(_CLOCK)
        if written_at is None:
            raise Retryable(f"{self.uri(_CLOCK)} was written and is gone")
        return written_at

    def any_below(self, folder: str) -> bool:
        """Whether there is any object in ``folder``. Raises ``Retryable``."""
        try:
            with _timed("list"):
                return _any_file(Path(self.full(folder))) if self.local else self._bucket.any_below(folder)
        except OSError as error:
            raise Retryable(f"{self.uri(folder)} could not be listed: {error}") from error

    def put_if_absent(self, path: str, data: bytes) -> str | None:
        """Make an object unless one is there: of any number of callers at once, exactly one gets its ``tag``.

        ``None``: one is there, somebody else's or one's own of a request that was answered late. ``Retryable``: it
        failed, *or succeeded unheard*. After both, look before you go on.
        The promise is the store's (``If-None-Match: *``; a hard link): see ``probe``.
        """
        try:
            with _timed("make"):
                return _link_file(Path(self.full(path)), data) if self.local else self._bucket.put_if_absent(path, data)
        except OSError as error:
            raise Retryable(f"{self.uri(path)} could not be made: {error}") from error

    def read(self, path: str) -> bytes | None:
        """Return a whole object; ``None`` when there is none. Raises ``Retryable``."""
        import obstore  # late: as above
        from obstore.exceptions import BaseError

        try:
            with _timed("read"):
                return obstore.get(self.objects, path).bytes().to_bytes()
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise Retryable(f"{self.uri(path)} could not be read: {error}") from error

    def list_below(self, folder: str) -> list[str]:
        """Return the paths of all objects in ``folder`` and its folders. Raises ``Retryable``."""
        return list(self.written_below(folder))

    def written_below(self, folder: str) -> dict[str, float]:
        """Return when each object in ``folder`` and its folders was written (see ``written_at``)."""
        try:
            selector = pafs.FileSelector(self.full(folder), recursive=True, allow_not_found=True)
            with _timed("list"):
                found = self.filesystem.get_file_info(selector)
        except OSError as error:
            raise Retryable(f"{self.uri(folder)} could not be listed: {error}") from error
        files = (each for each in found if each.type == pafs.FileType.File)
        return {each.path[len(self.root) + 1 :]: (each.mtime_ns or 0) / 1e9 for each in files}

    def delete(self, path: str) -> None:
        """Delete one object, which may be gone already; of a table's files only what ``care`` knows nobody needs."""
        try:
            with _timed("delete"):
                if self.local:
                    Path(self.full(path)).unlink(missing_ok=True)
                else:
                    self._bucket.delete(path)
        except OSError as error:
            raise Retryable(f"{self.uri(path)} could not be deleted: {error}") from error


class Heads:
    """The last known heads of tables, by path: the ``most`` used last, the others forgotten. Safe for threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heads: OrderedDict[str, Head] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: str) -> Head | None:
        """Return what is known of the table at ``path``."""
        with self._lock:
            if path in self._heads:
                self._heads.move_to_end(path)
            return self._heads.get(path)

    def put(self, path: str, head: Head) -> None:
        """Remember ``head`` as the last known; an older one costs its user a lost race, never a row."""
        with self._lock:
            self._heads[path] = head
            self._heads.move_to_end(path)
            if len(self._heads) > self._most:
                self._heads.popitem(last=False)

    def forget(self, path: str) -> None:
        """Forget the table at ``path``: its log must be read again."""
        with self._lock:
            self._heads.pop(path, None)

    def __len__(self) -> int:
        return len(self._heads)


@contextmanager
def _timed(operation: str) -> Iterator[None]:
    """Measure a request; an object that is not there is an answer."""
    began = time.monotonic()
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception:
        metrics.STORE_ERRORS.labels(operation).inc()
        raise
    finally:
        metrics.STORE_SECONDS.labels(operation).observe(time.monotonic() - began)


def _write_file(path: Path, data: pa.Buffer) -> None:
    make_folder(path.parent)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def _file_tag(path: Path) -> str | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _file_time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _any_file(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))


def _link_file(path: Path, data: bytes) -> str | None:
    """A reader sees the whole file or none: written aside, then linked, which fails when the name is taken."""
    make_folder(path.parent)
    aside = path.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        with aside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)
        sync_folder(path.parent)
        return _file_tag(aside)
    except FileExistsError:
        return None
    finally:
        aside.unlink(missing_ok=True)
