"""A million requests and more of one tenant, an attack among them, straight into a store: for those who look at them.

The times end when they are made. The attack begins at six tenths of the span, and lasts one of them. A few records are
hostile to whoever shows them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.explored import END, SPAN_SECONDS, TENANT, Requests
from logflume import contract, model
from logflume.block.schema import sorted_schema
from logflume.demo import scenes
from logflume.table.store import Store
from logflume.table.table import Table

ROWS: Final = 1_200_000
_FILES: Final = 12
HOSTILE: Final = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
FORMULA: Final = '=HYPERLINK("http://203.0.113.1/","x")'
_SEED: Final = 7


@dataclass(frozen=True)
class Attacked:
    """What was made. Times are seconds of Unix."""

    tenant: str
    rows: int
    begin: int
    end: int
    attack: tuple[int, int]
    attacker: str
    blocked: str
    """The RayID of a request that a rule blocked, and that has a firewall event."""
    rule: str
    """What that rule is called."""


def fill(store: Store, *, rows: int = ROWS, tenant: str = TENANT, end: int | None = None) -> Attacked:
    """Write the tables ``http_requests`` and ``firewall_events``."""
    datasets = model.load(contract.find())
    end = int(time.time()) if end is None else end
    requests = Requests(_FILES, rows)
    window = end - SPAN_SECONDS * 4 // 10, end - SPAN_SECONDS * 3 // 10
    table = Table(store, datasets["http_requests"], tenant)
    last = pa.table({})
    for number in range(_FILES):
        last = _told(requests.rows_of(number), end - END, window, number)
        table.append("logflume/page/0", number + 1, np.full(last.num_rows, number, np.int64), last)
    events = _events(last, datasets["firewall_events"])
    Table(store, datasets["firewall_events"], tenant).append(
        "logflume/page/1", 1, np.zeros(events.num_rows, np.int64), events
    )
    blocked = events.filter(pc.equal(events["Action"], "block")).slice(0, 1).to_pylist()[0]
    return Attacked(
        tenant,
        requests.rows,
        end - SPAN_SECONDS,
        end,
        window,
        scenes.ATTACKER,
        blocked["RayID"],
        blocked["Description"],
    )


def _told(rows: pa.Table, later: int, window: tuple[int, int], number: int) -> pa.Table:
    rng = np.random.default_rng((_SEED, number))
    count = rows.num_rows
    columns: dict[str, Any] = {name: rows.column(name) for name in rows.column_names}
    for name in ("EdgeStartTimestamp", "EdgeEndTimestamp", "_received"):
        columns[name] = pc.add(columns[name], pa.scalar(later * 1_000_000_000, pa.duration("ns")))
    at = np.asarray(columns["EdgeStartTimestamp"].cast(pa.int64())) // 1_000_000_000
    ruled = np.asarray(pc.not_equal(columns["SecurityAction"], ""))
    attack = (at >= window[0]) & (at < window[1]) & (rng.random(count) < 0.4) & ~ruled
    passed = attack | ((rng.random(count) < 0.0005) & ~ruled)
    own = attack & (rng.random(count) < 0.9)
    uris = pa.array([each["uri"] for each in scenes.paths(rng, 100)[-scenes.ATTACK_PATHS :]])
    asked = uris.take(pa.array(rng.integers(0, len(uris), count)))
    mask = pa.array(passed)

    def chosen(when: Any, then: Any, name: str) -> Any:
        return pc.if_else(pa.array(when), then, columns[name])

    columns["WAFAttackScore"] = pa.array(np.where(passed, rng.integers(1, 20, count), rng.integers(40, 99, count)))
    others = pc.equal(columns["ClientIP"], scenes.ATTACKER)  # whoever the pool lets ask from there is not the attacker
    columns["ClientIP"] = pc.if_else(others, "198.51.100.7", columns["ClientIP"])
    columns["ClientIP"] = chosen(own, scenes.ATTACKER, "ClientIP")
    columns["ClientCountry"] = chosen(own, "nl", "ClientCountry")
    columns["OriginResponseBytes"] = pc.if_else(mask, 0, columns["OriginResponseBytes"])
    columns["ClientRequestURI"] = pc.if_else(mask, asked, columns["ClientRequestURI"])
    columns["ClientRequestPath"] = pc.list_element(pc.split_pattern(columns["ClientRequestURI"], "?", max_splits=1), 0)
    odd = rng.random(count) < 0.0002
    odd[-3:] = True  # the newest are among them
    columns["ClientRequestUserAgent"] = chosen(odd, HOSTILE, "ClientRequestUserAgent")
    columns["ClientRequestReferer"] = pc.if_else(pa.array(odd), FORMULA, pa.scalar(None, pa.string()))
    return pa.table(columns)


def _events(rows: pa.Table, dataset: model.Dataset) -> pa.Table:
    """The firewall's decisions about what rules matched."""
    of = rows.filter(pc.not_equal(rows["SecurityAction"], ""))
    rules = {rule.id: rule for rule in scenes.RULES}
    matched = [rules[id] for id in of["SecurityRuleID"].to_pylist()]
    columns: dict[str, Any] = {
        "RayID": of["RayID"],
        "Datetime": of["EdgeStartTimestamp"],
        "Action": [rule.action for rule in matched],
        "RuleID": [rule.id for rule in matched],
        "Description": [rule.description for rule in matched],
        "Source": [rule.source for rule in matched],
        **{name: of[name] for name in ("ClientIP", "ClientCountry", "ClientRequestHost", "ClientRequestPath")},
        **{name: of[name] for name in of.column_names if name.startswith("_") and name != "_extra"},
    }
    schema = sorted_schema(dataset)
    return pa.table([_column(columns.get(field.name), field.type, of.num_rows) for field in schema], schema=schema)


def _column(values: Any, type: pa.DataType, count: int) -> Any:
    if values is None:
        return pa.nulls(count, type)
    return pa.array(values, type) if isinstance(values, list) else values.cast(type)
