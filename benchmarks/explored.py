"""The HTTP requests of one large table, as the demo's traffic has them, made in columns: a million in some seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from logflume.demo import scenes
from logflume.demo.traffic import text_ids

DATASET: Final = "http_requests"
TENANT: Final = "acme"
END: Final = 1_763_812_800
"""Noon, in seconds of Unix: the last row is just before."""

SPAN_SECONDS: Final = 36_000
_SEED: Final = 6
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)  # odd: a bijection of 64 bits, so ids are unique
_ROTATE: Final = np.uint64(29)
_TOPIC: Final = "B" * 22


class Requests:
    """``rows`` requests in ``files`` files of equal numbers, oldest first; the same arguments give the same."""

    def __init__(self, files: int, rows: int) -> None:
        self.files = files
        self.rows = rows // files * files
        rng = np.random.default_rng(_SEED)
        self._clients = _pool(scenes.clients(rng, 10_000))
        self._paths = _pool(scenes.paths(rng, 3_000))
        self._colos = _pool(scenes.colos())
        self._rules = _pool([{"action": r.action, "id": r.id} for r in (scenes.NO_RULE, *scenes.RULES)])
        self._statuses = np.array([200, *(rule.status for rule in scenes.RULES)], np.int64)

    def id(self, row: int) -> str:
        """The RayID of a row."""
        return str(text_ids(_ids(np.array([row], np.uint64)))[0].as_py())

    def rows_of(self, file: int) -> pa.Table:
        """The rows of one file, with the columns of a sorted block."""
        each = self.rows // self.files
        numbers = np.arange(file * each, (file + 1) * each, dtype=np.uint64)
        rng = np.random.default_rng((_SEED, file))
        step_ns = SPAN_SECONDS * 1_000_000_000 // self.rows
        first_ns = (END - SPAN_SECONDS) * 1_000_000_000
        start_ns = first_ns + numbers.astype(np.int64) * step_ns + rng.integers(0, step_ns, each)
        start_ns -= start_ns % 1_000_000  # milliseconds, as the demo's
        took_ms = rng.integers(0, 1_000, each)
        rule = np.where(rng.random(each) < 0.05, rng.integers(1, len(scenes.RULES) + 1, each), 0)
        cached = (rng.random(each) < 0.55) & (rule == 0)
        origin = ~cached & (rule == 0)
        client = self._clients.take(pa.array((rng.random(each) ** 2 * 9_999).astype(np.int64)))
        path = self._paths.take(pa.array((rng.random(each) ** 3 * 2_999).astype(np.int64)))
        rules = self._rules.take(pa.array(rule))
        ruled = rules.column
        unique = text_ids(rng.integers(0, 1 << 63, each, np.uint64))
        columns: dict[str, Any] = {
            "_received": _stamp(start_ns + 1_500_000_000),
            "RayID": text_ids(_ids(numbers)),
            "EdgeStartTimestamp": _stamp(start_ns),
            "EdgeEndTimestamp": _stamp(start_ns + took_ms * 1_000_000),
            "ParentRayID": text_ids(rng.integers(0, 1 << 63, each, np.uint64)),
            **{name: client.column(name) for name in client.column_names},
            "ClientRequestHost": pa.repeat(f"www.{TENANT}.example", each),
            "ClientRequestMethod": path.column("method"),
            "ClientRequestURI": pc.binary_join_element_wise(path.column("uri"), "?rid=", unique, ""),
            "EdgeColoCode": self._colos.take(pa.array(rng.integers(0, self._colos.num_rows, each))).column(0),
            "CacheCacheStatus": pa.array(np.where(cached, "hit", np.where(origin, "miss", "none"))),
            "EdgeResponseStatus": pa.array(self._statuses[rule]),
            "OriginResponseStatus": pa.array(np.where(origin, 200, 0)),
            "SecurityAction": ruled("action"),
            "SecurityRuleID": ruled("id"),
            "OriginResponseBytes": pa.array(np.where(origin, rng.lognormal(9, 1.5, each).astype(np.int64), 0)),
            "OriginResponseDurationMs": pa.array(np.where(origin, rng.lognormal(4, 1, each).astype(np.int64), 0)),
            "EdgeTimeToFirstByteMs": pa.array(took_ms),
            "EdgeResponseBytes": pa.array(rng.integers(200, 60_000, each)),
            "ClientRequestBytes": pa.array(rng.integers(300, 4_000, each)),
            "ClientSrcPort": pa.array(rng.integers(1_024, 65_536, each)),
            "BotScore": pa.array(rng.integers(1, 100, each)),
            "WAFAttackScore": pa.array(rng.integers(1, 100, each)),
            "_extra": pa.nulls(each, pa.string()),
            "_src_topic": pa.repeat(_TOPIC, each).dictionary_encode(),
            "_src_partition": pa.array(numbers.astype(np.int64) % 8, pa.int32()),
            "_src_offset": pa.array(numbers.astype(np.int64) // 4_000),
            "_src_row": pa.array((numbers % 4_000).astype(np.int32)),
        }
        return pa.table(columns)


def _ids(numbers: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    z = (numbers + np.uint64(1)) * _MIX
    z ^= z >> _ROTATE
    return z * _MIX


def _pool(records: list[Mapping[str, Any]] | list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(records))


def _stamp(ns: np.ndarray[Any, np.dtype[np.int64]]) -> pa.Array:
    return pa.array(ns).cast(pa.timestamp("ns", tz="UTC"))
