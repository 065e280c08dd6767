"""A target opened: checked against the platform's own tables, with its credentials, and kept for the next who asks."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from logflume.destinations.credentials import Keys, keys_of
from logflume.destinations.destination import Destination
from logflume.destinations.folder import Folder
from logflume.errors import Misconfigured
from logflume.model.job import Target

if TYPE_CHECKING:
    from logflume.settings import Settings

_MOST_OPEN = 256  # each S3 one keeps a few connections

_open: OrderedDict[tuple[object, ...], Destination] = OrderedDict()
_lock = threading.Lock()


def open_destination(target: Target, settings: Settings) -> Destination:
    """Return the destination of ``target``; the same one again while its definition and credentials stay as they are.

    No request is made yet. Cheap enough to call for every object: credentials in files are read each time, so that new
    ones are taken up. Raises ``Misconfigured`` for a bad URL, credentials that can't be read, and for a target that
    overlaps the platform's own tables. Safe for threads.
    """
    scheme, place = _place(target)
    _refuse_overlap(target, scheme, place, settings)
    keys = keys_of(target, settings)
    # A connection must not be shared with a forked process.
    key = (os.getpid(), target, keys, settings.destination_timeout_seconds, settings.destination_part_bytes)
    with _lock:
        if key not in _open:
            _open[key] = Folder(Path(place)) if scheme == "file" else _bucket(target, place, keys, settings)
            if len(_open) > _MOST_OPEN:
                _open.popitem(last=False)  # it ends its connections when its last user lets it go
        _open.move_to_end(key)
        return _open[key]


def _bucket(target: Target, place: str, keys: Keys | None, settings: Settings) -> Destination:
    from logflume.destinations.bucket import Bucket  # late: s3fs takes a second to import

    return Bucket(
        target,
        place,
        keys,
        timeout_seconds=settings.destination_timeout_seconds,
        part_bytes=int(settings.destination_part_bytes),
    )


def _place(target: Target) -> tuple[str, str]:
    """Return ``file`` and the folder, or ``s3`` and ``bucket/prefix``, without a slash at the end."""
    parts = urlsplit(target.url)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise Misconfigured(f"the destination {_shown(target)} must be s3://bucket/prefix or file:///folder alone")
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return "file", f"/{unquote(parts.path).strip('/')}"
    if parts.scheme == "s3" and parts.netloc:
        prefix = unquote(parts.path).strip("/")
        if any(part in ("", ".", "..") for part in prefix.split("/")) and prefix:
            raise Misconfigured(f"the destination {_shown(target)} has an empty part, or '.' or '..'")
        return "s3", f"{parts.netloc}/{prefix}".rstrip("/")
    raise Misconfigured(f"the destination {_shown(target)} is neither s3://bucket/prefix nor file:///folder")


def _shown(target: Target) -> str:
    """The URL without what may be credentials in it."""
    parts = urlsplit(target.url)
    return repr(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")


def _refuse_overlap(target: Target, scheme: str, place: str, settings: Settings) -> None:
    """Files among a table's are deleted by its care, and a job's own would be in every listing of tables."""
    if not settings.store_url:
        return
    ours_scheme, ours = _place(Target(settings.store_url))
    if scheme != ours_scheme:
        return
    if scheme == "file":
        place, ours = str(Path(place).resolve()), str(Path(ours).resolve())
    elif _host(target.endpoint) != _host(settings.store_endpoint):
        return
    theirs, own = f"{place.rstrip('/')}/", f"{ours.rstrip('/')}/"
    if theirs.startswith(own) or own.startswith(theirs):
        raise Misconfigured(
            f"the destination {_shown(target)} overlaps the tables' own store {settings.store_url} "
            f"(LOGFLUME_STORE_URL): give jobs another prefix or bucket"
        )


def _host(endpoint: str) -> tuple[str, int | None]:
    """What tells one S3 service from another; ``""`` is Amazon's."""
    parts = urlsplit(endpoint)
    host = (parts.hostname or "").lower()
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return "", None
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return ("127.0.0.1" if host in ("localhost", "::1") else host), port if host else None
