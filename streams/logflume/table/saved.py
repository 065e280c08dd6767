"""A tenant's saved queries: one document of all of them in the store, of which every change makes a new version.

They lie in ``saved/<tenant>/<version>.json``, beside the tables, out of any query's reach; several servers share them.

SQ1  A change is whole or not there: a version is one object, made only if absent (the one atomic thing that every store
     has been probed for), from the version before it.
SQ2  No change is lost: of two at once one makes the version, the other begins again with what is there then, and what
     it had asked of the old state is asked again.
SQ3  A change that was answered by a failure of the store may have been made, and is found if it was.
SQ4  An older version is deleted by the first change an hour after it was made, but for the one before the newest:
     whoever read it has long made the next one, or given up, so that no version is ever made a second time.
SQ5  Who deletes a tenant makes a version that is empty, and empties those before it in their place: whoever is about to
     make one of them finds it made, and brings nothing back.
"""

from __future__ import annotations

import hashlib
import re
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.fs as pafs
import structlog

from logflume.clock import Clock
from logflume.errors import Refused, Retryable
from logflume.model.tenant import check_tenant_name
from logflume.table.store import Store

MOST: Final = 200
"""Saved queries of one tenant."""
MOST_BYTES: Final = 64_000
"""Of one of them."""
MOST_BYTES_OF_ALL: Final = 1_000_000
_KEPT_NS: Final = 3_600_000_000_000
_ATTEMPTS: Final = 10
_MOST_VERSIONS: Final = 1_000
"""Each is kept for an hour, whole: who changes them in a loop must not fill the store."""
_NAME: Final = re.compile(r"([0-9]{10})\.json")
_OPTIONS: Final = orjson.OPT_SORT_KEYS

_log = structlog.get_logger(__name__)

Entry = Mapping[str, Any]
Change = Callable[[Mapping[str, Entry]], Mapping[str, Entry]]
"""Gives the entries as they shall be, or raises why not."""


@dataclass(frozen=True, slots=True)
class Saved:
    """All saved queries of a tenant, by name, at one version; 0: there never was one."""

    version: int
    entries: Mapping[str, Entry] = field(default_factory=dict)
    change: str = ""

    @property
    def tag(self) -> str:
        """What tells this version from others."""
        return f'"v{self.version}"'


def tag(entry: Entry) -> str:
    """Return what tells an entry from others: a strong ETag."""
    return f'"{hashlib.sha256(orjson.dumps(entry, option=_OPTIONS)).hexdigest()[:32]}"'


def folder(tenant: str) -> str:
    """Return where a tenant's saved queries lie, below the store's URL."""
    return f"saved/{check_tenant_name(tenant)}"


class SavedQueries:
    """See SQ1 to SQ4. Safe for threads; every call blocks on the store, and raises ``Retryable`` when that fails."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def read(self, tenant: str) -> Saved:
        """Return what is saved now."""
        return self._newest(tenant)[0]

    def change(self, tenant: str, change: Change) -> Saved:
        """Change it, and return what is saved then. Raises what ``change`` does, and ``Refused`` beyond the bounds."""
        return self._change(tenant, change, _MOST_VERSIONS)

    def forget(self, tenant: str) -> None:
        """Delete what is saved, and what was (SQ5). Doing it again changes nothing."""
        now = self.read(tenant)
        if now.entries:
            now = self._change(tenant, lambda _: {}, sys.maxsize)
        for version in self._versions(tenant):
            if version < now.version:
                self._store.write(_path(tenant, version), pa.py_buffer(_encode(Saved(version))))

    def _change(self, tenant: str, change: Change, most_versions: int) -> Saved:
        for _ in range(_ATTEMPTS):
            now, versions = self._newest(tenant)
            if len(versions) > most_versions:
                raise Refused(f"the saved queries were changed {_MOST_VERSIONS} times within the hour; try again later")
            made = Saved(now.version + 1, change(now.entries), uuid.uuid4().hex)
            if self._made(tenant, made):
                self._tidy(tenant, made.version, versions)
                return made
        raise Retryable(f"{self._store.uri(folder(tenant))}: others changed it {_ATTEMPTS} times meanwhile")

    def _newest(self, tenant: str) -> tuple[Saved, dict[int, int]]:
        """The newest version; and when each that there is was made (ns)."""
        for _ in range(_ATTEMPTS):
            versions = self._versions(tenant)
            if not versions:
                return Saved(0), versions
            found = self._read(tenant, max(versions))
            if found is not None:
                return found, versions
        raise Retryable(f"{self._store.uri(folder(tenant))}: what is listed there is gone each time it is read")

    def _made(self, tenant: str, saved: Saved) -> bool:
        """Whether the version was made by this change (SQ1, SQ3)."""
        data = _encode(saved)
        _check(saved.entries, len(data))
        try:
            if self._store.put_if_absent(_path(tenant, saved.version), data) is not None:
                return True
        except Retryable:
            there = self._read(tenant, saved.version)
            if there is None:
                raise
            return there.change == saved.change
        there = self._read(tenant, saved.version)  # perhaps one's own, of a request that was answered late
        return there is not None and there.change == saved.change

    def _read(self, tenant: str, version: int) -> Saved | None:
        path = _path(tenant, version)
        try:
            with self._store.filesystem.open_input_stream(self._store.full(path)) as stream:
                data = stream.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Retryable(f"{self._store.uri(path)} could not be read: {error}") from error
        try:
            content = orjson.loads(data)
            return Saved(version, dict(content["entries"]), str(content["change"]))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise Retryable(f"{self._store.uri(path)} holds no saved queries: {error}") from error

    def _versions(self, tenant: str) -> dict[int, int]:
        path = folder(tenant)
        try:
            selector = pafs.FileSelector(self._store.full(path), allow_not_found=True)
            found = self._store.filesystem.get_file_info(selector)
        except OSError as error:
            raise Retryable(f"{self._store.uri(path)} could not be listed: {error}") from error
        names = ((_NAME.fullmatch(info.base_name), info.mtime_ns) for info in found)
        return {int(match[1]): made or 0 for match, made in names if match}

    def _tidy(self, tenant: str, newest: int, versions: Mapping[int, int]) -> None:
        """Delete what is old (SQ4). The change is made already, so a failure is only told."""
        old = self._clock.now_ns() - _KEPT_NS
        try:
            for version, made in versions.items():
                if version < newest - 1 and made < old:
                    self._store.delete(_path(tenant, version))
        except Retryable as error:
            _log.warning("saved.not-tidied", tenant=tenant, error=str(error))


def _path(tenant: str, version: int) -> str:
    return f"{folder(tenant)}/{version:010}.json"


def _encode(saved: Saved) -> bytes:
    return orjson.dumps({"change": saved.change, "entries": saved.entries}, option=_OPTIONS)


def _check(entries: Mapping[str, Entry], size: int) -> None:
    if len(entries) > MOST:
        raise Refused(f"a tenant has at most {MOST} saved queries; delete one")
    if size > MOST_BYTES_OF_ALL:
        raise Refused(f"the saved queries of a tenant have at most {MOST_BYTES_OF_ALL} bytes; delete one")
