"""Deletion of all rows of a table, or of all that a tenant has saved, with a receipt that stays in the store.

D1  What is to be removed is written down first (``ordered.json``), then removed from the table by one commit, then
    deleted from the store, then the receipt is written. A death in between is made good by whoever looks next
    (``resume``).
D2  A table with a hold is refused, at the very version on which the removal would be committed.
D3  The table itself stays, empty, with how far each sink has come: rows that were deleted can't come back by a replay.
D4  A receipt is written once and never changed; ``sha256`` is that of all its other entries.
D5  What is old is so by the store's own time. No worker's clock, slow or fast, has a receipt written while an object
    that the table had still lies there.

D6  What a tenant has saved is a deletion of its own, with or without tables: once ordered, it is ended.

``deletions/<tenant>/<dataset>/<version>-<mark>/`` holds both, outside of what is deleted; for what is saved, ``_saved``
stands in the place of a dataset, as no dataset is called.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import structlog

from logflume import crash, metrics
from logflume.care import change, hold
from logflume.care.change import Standing
from logflume.care.timekeeper import MOST_SECONDS
from logflume.clock import Clock
from logflume.errors import LogflumeError, Misconfigured, Refused, Retryable
from logflume.model.tenant import check_tenant_name
from logflume.table import actions, log, schema
from logflume.table.ids import upkeep
from logflume.table.log import Change, Removal
from logflume.table.saved import SavedQueries
from logflume.table.store import Store
from logflume.table.table import COMMITTED_WITHIN_SECONDS

_FOLDER: Final = "deletions"
_SAVED: Final = "_saved"
_ORDERED: Final = "ordered.json"
_RECEIPT: Final = "receipt.json"
_ATTEMPTS: Final = 20
_UNDER_WAY_SECONDS: Final = 3600.0
"""Who wrote an order down commits it at once, or is dead: until then it is left to them."""

_logger = structlog.get_logger(__name__)

Receipt = Mapping[str, Any]
"""As it lies in the store: see ``docs/care.md``."""


@dataclass(frozen=True, slots=True)
class _Order:
    """A removal that is written down. ``told``: what the receipt will say of it."""

    folder: str
    version: int
    mark: str
    told: Mapping[str, Any]

    @property
    def saved(self) -> bool:
        """Whether it is of what a tenant has saved, and of no table."""
        return self.told["dataset"] is None

    @property
    def path(self) -> str:
        """Of the table."""
        return f"tables/{self.told['tenant']}/{self.told['dataset']}"


def delete(store: Store, tenant: str, dataset: str, *, by: str, reason: str, clock: Clock) -> Receipt:
    """Delete all rows of a table as it stands.

    Raises ``Refused`` for a table with a hold, ``Misconfigured`` when there is none, ``Retryable``: call it again.
    """
    path = store.table(tenant, dataset)
    for order in _unfinished(store, f"{_FOLDER}/{tenant}/{dataset}"):
        _resume(store, order, clock)
    for _ in range(_ATTEMPTS):
        standing = change.read(store, path)
        if standing is None:
            raise Misconfigured(
                f"there is no table {store.uri(path)}; `logflume table list` shows those that there are"
            )
        _refuse_held(standing)
        removal = Change(
            "DELETE",
            tuple(Removal(file.path, file.date, file.size) for file in standing.files),
            about={"by": by, "reason": reason},
        )
        order = _write_down(standing, removal, tenant, dataset, by, reason, clock)
        crash.point("care.deletion-ordered")
        if log.change(store, path, standing.table, standing.anchor, removal, clock):
            crash.point("care.deletion-committed")
            return _finish(store, order, clock)
        store.delete(f"{order.folder}/{_ORDERED}")
        metrics.CARE_CONFLICTS.inc()
    raise Retryable(f"{store.uri(path)}: {_ATTEMPTS} times others were quicker: call it again")


def delete_saved(store: Store, tenant: str, *, by: str, reason: str, clock: Clock) -> Receipt | None:
    """Delete all that a tenant has saved (D6); None: it never saved anything. Raises ``Retryable``: call it again."""
    for order in _unfinished(store, f"{_FOLDER}/{check_tenant_name(tenant)}/{_SAVED}"):
        _finish_saved(store, order, clock)
    saved = SavedQueries(store, clock).read(tenant)
    if not saved.version:
        return None
    told = {
        "tenant": tenant,
        "dataset": None,
        "version": saved.version,
        "by": by,
        "reason": reason,
        "ordered": _now(clock),
        "saved_queries": len(saved.entries),
    }
    order = _order(store, f"{tenant}/{_SAVED}", saved.version, uuid.uuid4().hex, told)
    crash.point("care.deletion-ordered")
    return _finish_saved(store, order, clock)


def resume(store: Store, clock: Clock) -> list[Receipt]:
    """End what somebody began and did not end (D1); return the receipts. Raises ``Retryable``.

    An order that can't be ended is logged, with what to do about it, and holds up no other.
    """
    done = []
    for order in _unfinished(store, _FOLDER):
        try:
            receipt = _resume(store, order, clock)
        except LogflumeError as error:
            metrics.CARE_LOOKS.labels("failed").inc()
            _logger.error("care.deletion-not-ended", order=order.folder, error=str(error))
            continue
        if receipt is not None:
            done.append(receipt)
    return done


def receipts(store: Store, tenant: str | None = None) -> Iterator[Receipt]:
    """Yield all receipts, or a tenant's, oldest first in each table. Raises ``Retryable``."""
    for place in sorted(store.list_below(f"{_FOLDER}/{tenant}" if tenant else _FOLDER)):
        if place.endswith(f"/{_RECEIPT}"):
            yield orjson.loads(store.read(place) or b"{}")


def digest(receipt: Mapping[str, Any]) -> str:
    """Return what a receipt's ``sha256`` must be (D4)."""
    rest = {name: value for name, value in receipt.items() if name != "sha256"}
    return hashlib.sha256(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)).hexdigest()


def refuse_held(store: Store, path: str) -> None:
    """Raise ``Refused`` when a table has a hold; for who deletes several, before the first."""
    standing = change.read(store, path)
    if standing is not None:
        _refuse_held(standing)


def _refuse_held(standing: Standing) -> None:
    held = hold.of(standing.properties)
    if held is not None:
        raise Refused(
            f"{standing.store.uri(standing.path)} is held by {held.by} since {held.since} ({held.reason}): no row "
            f"of it is deleted until `logflume table release`"
        )


def _write_down(
    standing: Standing, removal: Change, tenant: str, dataset: str, by: str, reason: str, clock: Clock
) -> _Order:
    version = standing.version + 1
    files = sorted((file.path, file.size, file.rows) for file in standing.files)
    times = [time for file in standing.files for time in (file.oldest, file.newest) if time is not None]
    told = {
        "tenant": tenant,
        "dataset": dataset,
        "table": str(standing.table.metadata().id),
        "version": version,
        "by": by,
        "reason": reason,
        "ordered": _now(clock),
        "files": len(files),
        "rows": sum(rows for _, _, rows in files),
        "bytes": sum(size for _, size, _ in files),
        "oldest": min(times).isoformat() if times else None,
        "newest": max(times).isoformat() if times else None,
        "objects": [{"path": path, "bytes": size, "rows": rows} for path, size, rows in files],
    }
    return _order(standing.store, f"{tenant}/{dataset}", version, removal.mark, told)


def _order(store: Store, what: str, version: int, mark: str, told: Mapping[str, Any]) -> _Order:
    order = _Order(f"{_FOLDER}/{what}/{version:020}-{mark}", version, mark, told)
    store.put_if_absent(f"{order.folder}/{_ORDERED}", orjson.dumps(told, option=orjson.OPT_INDENT_2))
    return order


def _unfinished(store: Store, folder: str) -> list[_Order]:
    places = set(store.list_below(folder))
    found = []
    for place in sorted(places):
        at = place.removesuffix(f"/{_ORDERED}")
        if at == place or f"{at}/{_RECEIPT}" in places:
            continue
        text = store.read(place)
        if text is None:
            continue
        version, _, mark = at.rpartition("/")[2].partition("-")
        try:
            found.append(_Order(at, int(version), mark, dict(orjson.loads(text))))
        except (TypeError, ValueError) as error:
            metrics.CARE_LOOKS.labels("failed").inc()
            _logger.error("care.deletion-unreadable", order=store.uri(place), error=str(error))
    return found


def _resume(store: Store, order: _Order, clock: Clock) -> Receipt | None:
    if order.saved:
        return _finish_saved(store, order, clock)
    if log.made(store, order.path, order.version, order.mark):
        return _finish(store, order, clock)
    if store.tag(log.entry_path(order.path, order.version)) is None:
        written_at = store.written_at(f"{order.folder}/{_ORDERED}")
        if written_at is None or store.now() - written_at < _UNDER_WAY_SECONDS:
            return None
        standing = change.read(store, order.path)
        if standing is not None and standing.version >= order.version:
            raise Refused(
                f"{store.uri(order.folder)}: whether this deletion was committed can't be told any more, the log's "
                f"entry {order.version} is gone. Look whether its objects are, and take the order away."
            )
    store.delete(f"{order.folder}/{_ORDERED}")  # somebody else has that version, or nobody: it never was committed
    return None


def _finish(store: Store, order: _Order, clock: Clock) -> Receipt:
    """Delete what the commit removed, and whatever had been removed before; then write the receipt."""
    ordered = [f"{order.path}/{each['path']}" for each in order.told["objects"]]
    for place in ordered:
        store.delete(place)
    earlier, left = 0, 0
    standing = change.read(store, order.path)
    if standing is not None:
        gone, left = _strangers(standing, store.written_at(f"{order.folder}/{_ORDERED}"))
        for name in gone:
            store.delete(f"{order.path}/{name}")
        earlier = len(gone)
        log.forget(store, order.path)
    upkeep.forget(store, order.path)
    receipt = _receipt(store, order, clock, earlier_objects=earlier, left_objects=left)
    metrics.CARE_FILES.labels("deleted").inc(len(ordered) + earlier)
    _logger.info("care.deleted", table=order.path, by=order.told["by"], rows=order.told["rows"], receipt=order.folder)
    return receipt


def _finish_saved(store: Store, order: _Order, clock: Clock) -> Receipt:
    tenant = order.told["tenant"]
    SavedQueries(store, clock).forget(tenant)
    receipt = _receipt(store, order, clock)
    _logger.info("care.saved-deleted", tenant=tenant, by=order.told["by"], receipt=order.folder)
    return receipt


def _receipt(store: Store, order: _Order, clock: Clock, **more: int) -> Receipt:
    """Write it: all is gone."""
    crash.point("care.deletion-done")
    told = {**order.told, "done": _now(clock), **more}
    receipt = {**told, "sha256": digest(told)}
    store.put_if_absent(f"{order.folder}/{_RECEIPT}", orjson.dumps(receipt, option=orjson.OPT_INDENT_2))
    return receipt


def _strangers(standing: Standing, ordered_at: float | None) -> tuple[set[str], int]:
    """Of the data files that are no part of the table: which go (D5), and how many somebody may be about to commit.

    Those go that the log says were removed, and those too old to be committed after the order was written.
    """
    store, path = standing.store, standing.path
    written = {place.removeprefix(f"{path}/"): at for place, at in store.written_below(path).items()}
    part = {file.path for file in standing.files}
    strangers = {name: at for name, at in written.items() if name.startswith(f"{schema.DATE}=") and name not in part}
    oldest = (ordered_at or 0.0) - COMMITTED_WITHIN_SECONDS - MOST_SECONDS
    removed = actions.removed(store, path)
    gone = {name for name, at in strangers.items() if name in removed or at < oldest}
    return gone, len(strangers) - len(gone)


def _now(clock: Clock) -> str:
    return datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).isoformat(timespec="seconds")
