"""Legal hold: while a table has one, nothing removes a row of it, neither retention nor deletion.

It is a property of the table, in the very log to which a removal would have to be committed: so the two have an order,
and neither an old configuration nor a worker that is late can pass it. It stays when the tenant leaves the
configuration. Merging files goes on, since it removes no row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from logflume.care import change
from logflume.care.change import Standing
from logflume.clock import Clock
from logflume.errors import Misconfigured
from logflume.table.log import Change
from logflume.table.store import Store

_HOLD: Final = "logflume.hold"
_RELEASED: Final = "logflume.hold.released"


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds a table, since when (ISO 8601, UTC), and why."""

    by: str
    reason: str
    since: str


def of(properties: Mapping[str, str]) -> Hold | None:
    """Return the hold that a table's properties tell of; one that can't be read is one all the same."""
    text = properties.get(_HOLD)
    if text is None:
        return None
    try:
        found = orjson.loads(text)
        return Hold(str(found["by"]), str(found["reason"]), str(found["since"]))
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Hold("", text, "")


def put(store: Store, path: str, by: str, reason: str, clock: Clock) -> Hold:
    """Hold a table from now on; a hold that it has is replaced. ``Misconfigured``: there is no such table."""
    hold = Hold(by, reason, _now(clock))

    def decide(standing: Standing) -> Change:
        return Change("SET TBLPROPERTIES", properties={**standing.properties, _HOLD: _json(hold)}, about={"by": by})

    if change.settle(store, path, decide, clock) is None:
        raise Misconfigured(f"there is no table {store.uri(path)} to hold; `logflume table list` shows those there are")
    return hold


def release(store: Store, path: str, by: str, reason: str, clock: Clock) -> Hold | None:
    """End a table's hold, and return it; ``None``: it had none. The table remembers the last one, and who ended it."""
    had: Hold | None = None

    def decide(standing: Standing) -> Change | None:
        nonlocal had
        had = of(standing.properties)
        if had is None:
            return None
        kept = {name: value for name, value in standing.properties.items() if name != _HOLD}
        told = orjson.dumps({"by": by, "reason": reason, "at": _now(clock), "hold": asdict(had)}).decode()
        return Change("UNSET TBLPROPERTIES", properties={**kept, _RELEASED: told}, about={"by": by})

    change.settle(store, path, decide, clock)
    return had


def _json(hold: Hold) -> str:
    return orjson.dumps(asdict(hold)).decode()


def _now(clock: Clock) -> str:
    return datetime.fromtimestamp(clock.now_ns() / 1e9, UTC).isoformat(timespec="seconds")
