"""Made-up traffic of many tenants: HTTP requests and the firewall events that belong to them, as NDJSON, from a seed.

The same arguments make the same bytes. Every request has a ``RayID`` that no other has, in this or another seed: it is
the id by which a judge knows the record again. One tenant is under the attack of Log Explorer's walk-through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from logflume.demo import scenes

Ids = NDArray[np.uint64]
_HEX = np.frombuffer("".join(f"{i:02x}" for i in range(256)).encode(), np.uint16)
_CLIENTS = 10_000
_PATHS = 3_000
_NESTED = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one tenant and dataset, in the order of their times."""

    tenant: str
    dataset: str
    ids: Ids
    """The ``RayID`` of each record as a number: see ``text_ids``."""
    data: bytes
    """One JSON object a line, each line ended."""
    ends: NDArray[np.int64]
    """Where each line ends in ``data``, its line feed included."""

    @property
    def rows(self) -> int:
        """Number of records."""
        return len(self.ids)

    def records(self) -> list[bytes]:
        """Each record by itself, for messages of one record."""
        return self.data.splitlines()


@dataclass(frozen=True, slots=True)
class Shape:
    """How the traffic is made up; shares are of all requests."""

    tenants: int = 50
    skew: float = 1.1
    """Zipf's exponent; 0 gives every tenant the same."""
    span_seconds: int = 3_600
    ruled_share: float = 0.05
    """Requests that a firewall rule matched: each has a firewall event."""
    nested_share: float = 0.1
    """Requests with maps and arrays."""
    odd_share: float = 0.001
    """Requests with fields or values that the dataset does not foresee."""
    attack: bool = True


class Traffic:
    """``requests`` HTTP requests of the ``span_seconds`` before ``end_ns``, with their firewall events."""

    def __init__(self, requests: int, *, seed: int, end_ns: int, shape: Shape | None = None) -> None:
        self.requests = requests
        self.shape = shape or Shape()
        self.tenants = scenes.tenant_names(self.shape.tenants)
        self.attacked = self.tenants[min(2, len(self.tenants) - 1)]
        self.start_ms = end_ns // 1_000_000 - self.shape.span_seconds * 1000
        self._seed = seed
        weights = (1.0 / np.arange(1, len(self.tenants) + 1)) ** self.shape.skew
        self._shares = np.cumsum(weights / weights.sum())
        self._shares[-1] = 1.0

    @property
    def attack_window_ms(self) -> tuple[int, int]:
        """When the attack runs: two thirds into the span, for a tenth of it (unix ms, end excluded)."""
        span = self.shape.span_seconds * 1000
        return self.start_ms + span * 6 // 10, self.start_ms + span * 7 // 10

    def batches(self, chunk_rows: int = 20_000) -> Iterator[Batch]:
        """All records, oldest chunk first; inside a chunk by tenant, requests before firewall events."""
        for start in range(0, self.requests, chunk_rows):
            yield from self._chunk(start, min(chunk_rows, self.requests - start))

    def _chunk(self, start: int, rows: int) -> Iterator[Batch]:
        rng = np.random.default_rng((self._seed, start))
        plan = self._plan(rng, start, rows)
        requests = self._requests(rng, plan)
        ruled = np.flatnonzero(plan.rule)
        events = self._events(plan, ruled) if len(ruled) else None
        for index in np.unique(plan.tenant).tolist():
            yield self._slice("http_requests", index, requests, plan.tenant, plan.ids)
            if events is not None and len(of := ruled[plan.tenant[ruled] == index]):
                yield self._slice("firewall_events", index, events, plan.tenant[ruled], plan.ids[ruled], len(of))

    def _slice(
        self, dataset: str, tenant: int, lines: pa.StringArray, owners: NDArray[np.int64], ids: Ids, rows: int = 0
    ) -> Batch:
        first, end = np.searchsorted(owners, [tenant, tenant + 1]).tolist()
        assert rows in (0, end - first)
        _, offsets, data = lines.buffers()
        at = np.frombuffer(offsets, np.int32)[first : end + 1].astype(np.int64)
        piece = memoryview(data)[at[0] : at[-1]].tobytes()
        return Batch(self.tenants[tenant], dataset, ids[first:end], piece, at[1:] - at[0])

    def _plan(self, rng: np.random.Generator, start: int, rows: int) -> _Plan:
        """Who asks for what, when, and what becomes of it: one number a row and question, rows in order of tenant."""
        span = self.shape.span_seconds * 1000
        time_ms = self.start_ms + np.sort(((start + rng.random(rows) * rows) * (span / self.requests)).astype(np.int64))
        tenant = np.searchsorted(self._shares, rng.random(rows)).astype(np.int64)
        client = (rng.random(rows) ** 2 * (_CLIENTS - 1)).astype(np.int64) + 1
        path = (rng.random(rows) ** 3 * (_PATHS - scenes.ATTACK_PATHS)).astype(np.int64)
        hit = rng.random(rows) < self.shape.ruled_share
        rule = np.where(hit, rng.integers(1, len(scenes.RULES) + 1, rows), 0)
        # A few likely attacks pass at every tenant all the time: the spike has to stand out from something.
        passed = ~hit & (rng.random(rows) < 0.0005)
        if self.shape.attack:
            begin, end = self.attack_window_ms
            attack = (time_ms >= begin) & (time_ms < end) & (rng.random(rows) < 0.15)
            tenant = np.where(attack, self.tenants.index(self.attacked), tenant)
            client = np.where(attack & (rng.random(rows) < 0.9), 0, client)
            rule = np.where(attack, 0, rule)
            passed |= attack
        path = np.where(
            passed | (rule == 1) | (rule == 2), _PATHS - 1 - rng.integers(0, scenes.ATTACK_PATHS, rows), path
        )
        order = np.argsort(tenant, kind="stable")
        ids = _mixed(np.arange(start, start + rows, dtype=np.uint64) + np.uint64(self._seed << 40))
        return _Plan(ids, tenant[order], time_ms[order], client[order], path[order], rule[order], passed[order])

    def _requests(self, rng: np.random.Generator, plan: _Plan) -> pa.StringArray:
        rows = len(plan.ids)
        p = self._pools
        cached = (rng.random(rows) < 0.55) & (plan.rule == 0) & ~plan.passed
        # What no origin was asked for has no bytes from it: cached, refused at the edge, or the attack.
        outcome = np.where(plan.rule > 0, 2 + plan.rule, np.where(plan.passed, 2, np.where(cached, 0, 1)))
        from_origin = np.where(outcome == 1, 1 + rng.integers(0, 4_095, rows), 0)
        took_ms = rng.integers(0, 1_000, rows)
        score = np.where(
            plan.passed | (plan.rule == 1) | (plan.rule == 2), rng.integers(1, 20, rows), rng.integers(40, 99, rows)
        )
        end = np.where(rng.random(rows) < self.shape.nested_share, rng.integers(1, _NESTED, rows), 0)
        end = np.where(rng.random(rows) < self.shape.odd_share, _NESTED + rng.integers(0, 4, rows), end)
        return _joined(
            '{"RayID":"',
            text_ids(plan.ids),
            '","ParentRayID":"',
            text_ids(rng.integers(0, 1 << 63, rows, np.uint64)),
            '","EdgeStartTimestamp":"',
            *self._time(plan.time_ms),
            '","EdgeEndTimestamp":"',
            *self._time(plan.time_ms + took_ms),
            '",',
            p.clients.take(pa.array(plan.client)),
            p.hosts.take(pa.array(plan.tenant)),
            p.targets.take(pa.array(plan.path)),
            text_ids(rng.integers(0, 1 << 63, rows, np.uint64)),
            '",',
            p.colos.take(pa.array(rng.integers(0, len(p.colos), rows))),
            p.outcomes.take(pa.array(outcome)),
            p.origin_bytes.take(pa.array(from_origin)),
            '"EdgeTimeToFirstByteMs":',
            p.numbers.take(pa.array(took_ms)),
            ',"EdgeResponseBytes":',
            p.numbers.take(pa.array(rng.integers(200, 60_000, rows))),
            ',"ClientRequestBytes":',
            p.numbers.take(pa.array(rng.integers(300, 4_000, rows))),
            ',"ClientSrcPort":',
            p.numbers.take(pa.array(rng.integers(1_024, 65_536, rows))),
            ',"BotScore":',
            p.numbers.take(pa.array(rng.integers(1, 100, rows))),
            ',"WAFAttackScore":',
            p.numbers.take(pa.array(score)),
            p.ends.take(pa.array(end)),
        )

    def _events(self, plan: _Plan, at: NDArray[np.int64]) -> pa.StringArray:
        p = self._pools
        return _joined(
            '{"RayID":"',
            text_ids(plan.ids[at]),
            '","Datetime":"',
            *self._time(plan.time_ms[at]),
            '",',
            p.event_clients.take(pa.array(plan.client[at])),
            p.event_hosts.take(pa.array(plan.tenant[at])),
            p.event_targets.take(pa.array(plan.path[at])),
            p.event_rules.take(pa.array(plan.rule[at])),
        )

    def _time(self, ms: NDArray[np.int64]) -> tuple[pa.StringArray, pa.StringArray]:
        seconds, rest = np.divmod(ms - self.start_ms // 1000 * 1000, 1000)
        return self._pools.seconds.take(pa.array(seconds)), self._pools.milliseconds.take(pa.array(rest))

    @cached_property
    def _pools(self) -> _Pools:
        rng = np.random.default_rng((self._seed, 1 << 32))
        clients = scenes.clients(rng, _CLIENTS)
        paths = scenes.paths(rng, _PATHS)
        # A few seconds more than the span: the last requests end after it.
        first = np.datetime64(self.start_ms // 1000, "s")
        seconds = first + np.arange(self.shape.span_seconds + 5)
        rules = (scenes.NO_RULE, *scenes.RULES)
        hosts = [f"www.{name}.example" for name in self.tenants]
        return _Pools(
            clients=scenes.pool(clients),
            hosts=scenes.pool({"ClientRequestHost": host} for host in hosts),
            targets=_open(
                {
                    "ClientRequestMethod": path["method"],
                    "ClientRequestURI": f"{path['uri']}{'&' if path['query'] else '?'}rid=",
                }
                for path in paths
            ),
            colos=scenes.pool(scenes.colos()),
            outcomes=scenes.pool(_outcomes()),
            origin_bytes=scenes.pool(
                {"OriginResponseBytes": size, "OriginResponseDurationMs": ms}
                for size, ms in zip(
                    [0, *np.minimum(rng.lognormal(9, 1.5, 4_095) + 200, 5e7).astype(int).tolist()],
                    [0, *np.minimum(rng.lognormal(4, 1, 4_095) + 2, 30_000).astype(int).tolist()],
                    strict=True,
                )
            ),
            numbers=pa.array([str(i) for i in range(65_536)], pa.string()),
            seconds=pa.array([f"{s}." for s in np.datetime_as_string(seconds)], pa.string()),
            milliseconds=pa.array([f"{i:03d}Z" for i in range(1_000)], pa.string()),
            ends=pa.concat_arrays([scenes.nested(rng, _NESTED), scenes.odd()]),
            event_clients=scenes.pool(
                {k: c[k] for k in ("ClientIP", "ClientASN", "ClientCountry", "ClientRequestUserAgent")} for c in clients
            ),
            event_hosts=scenes.pool({"ClientRequestHost": host} for host in hosts),
            event_targets=scenes.pool(
                {
                    "ClientRequestMethod": path["method"],
                    "ClientRequestPath": path["path"],
                    "ClientRequestQuery": path["query"],
                    "ClientRequestProtocol": "HTTP/2",
                }
                for path in paths
            ),
            event_rules=pa.array([event_end(rule) for rule in rules], pa.string()),
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    ids: Ids
    tenant: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    client: NDArray[np.int64]
    path: NDArray[np.int64]
    rule: NDArray[np.int64]
    """0 for none, else the number of the rule that matched."""
    passed: NDArray[np.bool_]
    """Likely attacks that nothing stopped."""


@dataclass(frozen=True, slots=True)
class _Pools:
    clients: pa.StringArray
    hosts: pa.StringArray
    targets: pa.StringArray
    colos: pa.StringArray
    outcomes: pa.StringArray
    origin_bytes: pa.StringArray
    numbers: pa.StringArray
    seconds: pa.StringArray
    milliseconds: pa.StringArray
    ends: pa.StringArray
    event_clients: pa.StringArray
    event_hosts: pa.StringArray
    event_targets: pa.StringArray
    event_rules: pa.StringArray


def event_end(rule: scenes.Rule) -> str:
    """What a firewall event says of the rule, up to the end of its line."""
    fields = {
        "Action": rule.action,
        "RuleID": rule.id,
        "Description": rule.description,
        "Source": rule.source,
        "EdgeResponseStatus": rule.status,
        "Kind": "firewall",
    }
    return str(scenes.pool([fields])[0].as_py())[:-1] + "}\n"


def _outcomes() -> list[dict[str, object]]:
    """What became of a request: from cache or origin, a likely attack let through, or stopped by which rule."""

    def outcome(cache: str, edge: int, origin: int, rule: scenes.Rule) -> dict[str, object]:
        return {
            "CacheCacheStatus": cache,
            "EdgeResponseStatus": edge,
            "OriginResponseStatus": origin,
            "SecurityAction": rule.action,
            "SecurityRuleID": rule.id,
        }

    none = scenes.NO_RULE
    ways = [outcome("hit", 200, 0, none), outcome("miss", 200, 200, none), outcome("none", 404, 0, none)]
    return ways + [outcome("none", rule.status, 0, rule) for rule in scenes.RULES]


def text_ids(ids: Ids) -> pa.StringArray:
    """Ids as their 16 hexadecimal digits, the form of a ``RayID``."""
    digits = _HEX[ids.astype(">u8").view(np.uint8)].view(np.uint8)
    offsets = np.arange(len(ids) + 1, dtype=np.int32) * 16
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(digits))


def _open(records: Iterable[Mapping[str, object]]) -> pa.StringArray:
    """A pool whose last string is still open: what follows in the row goes on with it."""
    return pa.array([text[: -len('",')] for text in scenes.pool(records).to_pylist()], pa.string())


def _joined(*parts: pa.StringArray | str) -> pa.StringArray:
    """The parts of each row put together; the array's data buffer then is the NDJSON."""
    return pc.binary_join_element_wise(*(pa.scalar(p) if isinstance(p, str) else p for p in parts), pa.scalar(""))


def _mixed(numbers: Ids) -> Ids:
    """Distinct numbers to distinct, random-looking ones (the finaliser of SplitMix64, a bijection)."""
    z = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
