"""SQL functions of Logflume's own, beside DataFusion's.

| function | gives |
|---|---|
| ``time_bucket('5 minutes', time)`` | the start of the bucket that ``time`` is in |
| ``contains_text('word')`` | whether any text field of the row has the word in it, in whatever case |
| ``contains_text(name, 'word')`` | likewise, of the table that the query calls ``name`` |
| ``ip_in(ClientIP, '192.0.2.0/24')`` | whether the address is in the network (false for what is no address) |
| ``json_text(_extra, 'a.b[0]')`` | what stands there in a JSON object, as text; null where nothing does |
| ``json_number(_extra, 'a.b')`` | likewise, as a number |

The first two are rewritten into DataFusion's before a query runs (``rewrite``), the others are functions of the
query's process, which look at each distinct value once.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from typing import Any, Final

import datafusion
import orjson
import pyarrow as pa

NAMES: Final = frozenset({"time_bucket", "contains_text", "ip_in", "json_text", "json_number"})

_STEP: Final = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")
_NETWORKS: Final = 64
_LONG: Final = re.compile(r"\d{19}")
"""What may be a whole number past 64 bits, which orjson would round."""


def register(context: datafusion.SessionContext) -> None:
    """Give a session the functions that run."""
    text, number, flag = pa.string(), pa.float64(), pa.bool_()
    for name, function, inputs, output in (
        ("ip_in", ip_in, [text, text], flag),
        ("json_text", json_text, [text, text], text),
        ("json_number", json_number, [text, text], number),
    ):
        context.register_udf(datafusion.udf(function, inputs, output, "immutable", name))


def ip_in(addresses: pa.Array, networks: pa.Array) -> pa.Array:
    """Whether each address is in its network. ``ValueError`` for what is no network."""
    known: dict[str, Any] = {}

    def inside(address: str, network: str) -> bool:
        if network not in known:
            if len(known) >= _NETWORKS:
                known.clear()
            known[network] = _network(network)
        try:
            at = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(at, "ipv4_mapped", None)
        return at in known[network] or (mapped is not None and mapped in known[network])

    return _each(addresses, networks, inside, pa.bool_())


def json_text(objects: pa.Array, paths: pa.Array) -> pa.Array:
    """What stands at each path of each JSON text: a string as it is, anything else as JSON."""

    def text(value: Any) -> str | None:
        if isinstance(value, str):
            return _valid(value)
        if value is None:
            return None
        try:
            return orjson.dumps(value).decode()
        except TypeError:  # nested deeper, or larger, than it spells
            pass
        try:
            return _valid(json.dumps(value, ensure_ascii=False, separators=(",", ":")))
        except RecursionError:
            return None

    return _json(objects, paths, text, pa.string())


def json_number(objects: pa.Array, paths: pa.Array) -> pa.Array:
    """What stands at each path of each JSON text, where it is a number."""

    def number(value: Any) -> float | None:
        try:
            return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
        except OverflowError:
            return None

    return _json(objects, paths, number, pa.float64())


def steps(path: str) -> list[str | int]:
    """Return the keys and indexes of a path such as ``a.b[0]``; ``ValueError`` for what is none."""
    found: list[str | int] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            break
        found.append(match[1] if match[1] is not None else int(match[2]))
        at = match.end()
    if at < len(path) or not found:
        raise ValueError(f"{path!r} is no path into JSON, such as a.b[0]")
    return found


def _network(text: str) -> Any:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no network, such as 192.0.2.0/24 or 2001:db8::/32") from None


def _json(objects: pa.Array, paths: pa.Array, spell: Callable[[Any], Any], type: pa.DataType) -> pa.Array:
    ways: dict[str, list[str | int]] = {}

    def get(text: str, path: str) -> Any:
        if path not in ways:
            ways[path] = steps(path)
        value = _read(text)
        for step in ways[path]:
            if isinstance(value, dict) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return spell(value)

    return _each(objects, paths, get, type)


def _read(text: str) -> Any:
    """The value of a JSON text, whole numbers as they stand there; None for what is none, or nested too deeply."""
    try:
        if _LONG.search(text) is None:
            return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass  # it may have a lone surrogate, which `_extra` keeps as it came
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _valid(text: str) -> str:
    """Return ``text`` with U+FFFD for each half of a surrogate pair, which Arrow can't hold."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _each(values: pa.Array, others: pa.Array, function: Callable[[str, str], Any], type: pa.DataType) -> pa.Array:
    """Call ``function`` once for each distinct pair; null where either is."""
    done: dict[tuple[str | None, str | None], Any] = {}
    results = []
    for pair in zip(values.to_pylist(), others.to_pylist(), strict=True):
        if pair not in done:
            done[pair] = None if pair[0] is None or pair[1] is None else function(pair[0], pair[1])
        results.append(done[pair])
    return pa.array(results, type)
