"""What a table's log says of its files that delta-rs does not tell: those that were removed, and tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from logflume.errors import Retryable
from logflume.table import log
from logflume.table.store import Store

VALUE_BYTES: Final = log.VALUE_BYTES


def removed(store: Store, path: str) -> set[str]:
    """Return the names of the data files that a table's log says were removed, by whatever clock. Raises ``Retryable``.

    delta-rs tells only of those that were removed before now: of none by a worker whose clock is ahead.
    """
    return {unquote(action["path"]) for action in _actions(store, path, "remove", ("path",))}


def value_bytes(store: Store, path: str) -> dict[str, int]:
    """Return by name of a data file the bytes of its values (see ``weight``), where the log says them.

    Raises ``Retryable``.
    """
    found = {}
    for action in _actions(store, path, "add", ("path", "tags")):
        text = dict(action["tags"] or ()).get(VALUE_BYTES) or ""
        if text.isascii() and text.isdigit():
            found[unquote(action["path"])] = int(text)
    return found


def _actions(store: Store, path: str, kind: str, members: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the actions of a kind since, and in, the last checkpoint, with these members."""
    last = log.last_checkpoint(store, path)
    for place in sorted(store.list_below(f"{path}/_delta_log")):
        name = place.rpartition("/")[2]
        version = name.partition(".")[0]
        if not version.isdigit():
            continue
        if int(version) > last and name == f"{version}.json":
            actions = map(orjson.loads, (store.read(place) or b"").splitlines())
            yield from ({each: action[kind].get(each) for each in members} for action in actions if kind in action)
        elif int(version) == last and name.endswith(".parquet"):
            yield from _of_checkpoint(store, place, kind, members)


def _of_checkpoint(store: Store, place: str, kind: str, members: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    try:
        with store.filesystem.open_input_file(store.full(place)) as file:
            held = pq.ParquetFile(file).read(columns=[f"{kind}.{each}" for each in members])
    except (OSError, pa.ArrowException) as error:
        raise Retryable(f"{store.uri(place)} could not be read: {error}") from error
    if held.num_columns:
        yield from (
            {name: each.get(name) for name in members}
            for each in held.column(kind).to_pylist()
            if each and each["path"]
        )
