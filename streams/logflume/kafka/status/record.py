"""What stands on the topic ``status``: workers' own words by ``worker/<kind>/<id>``, and ``pressure``.

Values from there are foreign bytes: whatever they are, reading them raises ``Refused`` at worst.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Final

from logflume.clock import Clock
from logflume.errors import Refused, Unconfigured
from logflume.kafka.single_object import SingleObject
from logflume.kafka.status.shares import Share
from logflume.model.tenant import Configuration
from logflume.settings import Settings

PRESSURE_KEY: Final = b"pressure"
KINDS: Final = ("edge", "sort", "sink", "explore", "watch", "care")
PERIODS: Final = 3
"""How many periods a record counts without a newer one: two may be lost on a bad day."""

SCHEMA_HEADER: Final = "schema"
"""Has the schema of a value, packed (``SingleObject``): workers of two releases read each other during an update."""

_WORKER: Final = "worker/"
_MOST_TEXT: Final = 300  # characters
_MOST_LINES: Final = 10
_MOST_STOPPED: Final = 200
_MOST_TENANTS: Final = 301  # a hundred of three orders, and the others
_MOST_PERIOD: Final = 3600.0


def topic(settings: Settings) -> str:
    """Return the topic's name."""
    return f"{settings.topic_prefix}status"


class Level(StrEnum):
    """What edges do: all they can, less of it, or nothing new."""

    NONE = "none"
    SLOW = "slow"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a worker is."""

    kind: str
    id: str
    host: str
    pid: int
    version: str
    started_ms: int

    @property
    def key(self) -> bytes:
        """Under which its status lies."""
        return f"{_WORKER}{self.kind}/{self.id}".encode()


@dataclass(frozen=True, slots=True)
class InForce:
    """Which configuration a worker goes by: 0 for none; how old it is; why the last one offered was refused."""

    generation: int = 0
    config_hash: str = ""
    config_seconds: float | None = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """How a worker is; None and 0 where it has nothing of the kind. ``rows`` counts those done since its start.

    ``resident_bytes`` is the reporter's to find out.
    """

    in_force: InForce = InForce()
    lag_seconds: float | None = None
    lag_records: int | None = None
    resident_bytes: int = 0
    held_bytes: int = 0
    budget_bytes: int = 0
    spool_share: float | None = None
    spool_seconds: float | None = None
    queue_share: float = 0.0
    rows: int = 0
    paused_share: float = 0.0
    stopped: tuple[str, ...] = ()
    parked_pairs: int = 0
    parked_left_seconds: float | None = None
    wait_seconds: float = 0.0
    troubles: tuple[str, ...] = ()
    dead_letters: tuple[tuple[str, int], ...] = ()
    """Reason and rows since its start; of ``retention`` messages, as what is gone can't be counted in rows."""
    tenants: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """A worker's word at ``time_ms``, its own clock's."""

    worker: Identity
    condition: Condition
    time_ms: int
    period_seconds: float
    rows_a_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Pressure:
    """What the pipeline asks of its edges. ``factor``: which part of their pace they keep at ``Level.SLOW``."""

    level: Level = Level.NONE
    factor: float = 1.0
    share: float = 0.0
    causes: tuple[str, ...] = ()
    since_ms: int = 0
    time_ms: int = 0
    period_seconds: float = 0.0
    by: str = ""

    @property
    def because(self) -> str:
        """The level and its causes, for people; empty when there is none."""
        if self.level is Level.NONE:
            return ""
        return f"pressure is {self.level}: {'; '.join(self.causes)}" if self.causes else f"pressure is {self.level}"


NO_PRESSURE: Final = Pressure()


class Codec:
    """Writes and reads both by the contract's schemas."""

    def __init__(self, settings: Settings) -> None:
        self._status = SingleObject(settings.topics_dir, "status")
        self._pressure = SingleObject(settings.topics_dir, "pressure")
        self.status_schema, self.pressure_schema = self._status.packed, self._pressure.packed

    def status(self, status: Status) -> bytes:
        """Return the message's value; long texts and lists are cut, so that it stays some kilobytes."""
        condition = asdict(status.condition)
        record = asdict(status.worker) | condition | condition.pop("in_force")
        record |= {
            "refused": _text(status.condition.in_force.refused),
            "stopped": list(status.condition.stopped[:_MOST_STOPPED]),
            "troubles": _lines(status.condition.troubles),
            "dead_letters": dict(status.condition.dead_letters),
            "tenants": [asdict(share) for share in status.condition.tenants[:_MOST_TENANTS]],
            "time_ms": status.time_ms,
            "period_seconds": status.period_seconds,
            "rows_a_second": status.rows_a_second,
        }
        return self._status.encode(record)

    def read_status(self, key: bytes, value: bytes, schema: bytes = b"") -> Status:
        """Read the value under ``key``, with its ``schema``. ``Refused``: it is no status, or another worker's."""
        record = self._status.decode(value, schema)
        worker = Identity(**_of(record, Identity))
        if worker.key != key:
            raise Refused(f"a status of {worker.kind}/{worker.id} lies under {key[:_MOST_TEXT]!r}")
        lists = {"stopped": tuple(record["stopped"]), "troubles": tuple(record["troubles"])}
        lists |= {"dead_letters": tuple(sorted(record["dead_letters"].items()))}
        lists |= {"tenants": tuple(Share(**share) for share in record["tenants"])}
        condition = Condition(**_of(record, Condition) | lists | {"in_force": InForce(**_of(record, InForce))})
        return Status(worker, condition, record["time_ms"], _period(record), record["rows_a_second"])

    def pressure(self, pressure: Pressure) -> bytes:
        """Return the message's value."""
        return self._pressure.encode(asdict(pressure) | {"causes": _lines(pressure.causes)})

    def read_pressure(self, value: bytes, schema: bytes = b"") -> Pressure:
        """Read the value under ``PRESSURE_KEY``, with its ``schema``; ``Refused`` when it is none."""
        record: dict[str, Any] = self._pressure.decode(value, schema)
        for name in ("factor", "share"):
            if not math.isfinite(record[name]):
                raise Refused(f"a pressure's {name} is {record[name]}")
        return Pressure(
            **record
            | {
                "level": Level(record["level"]),
                "factor": min(1.0, max(0.0, record["factor"])),
                "causes": tuple(_lines(record["causes"])),
                "period_seconds": _period(record),
            }
        )


def stale_seconds(period_seconds: float) -> float:
    """Return for how long a record counts that is written so often; a second more, for what Kafka takes."""
    return PERIODS * period_seconds + 1.0


def is_worker(key: bytes) -> bool:
    """Whether a status lies under ``key``."""
    return key.startswith(_WORKER.encode())


def in_force(ask: Callable[[], Configuration], clock: Clock, refused: str = "") -> InForce:
    """Return what ``ask``, a source's ``current``, gives now; ``refused`` as the source tells it."""
    try:
        current = ask()
    except Unconfigured as none:
        return InForce(refused=refused or str(none))
    age = max(0.0, (clock.now_ns() - current.made_ns) / 1e9) if current.made_ns else None
    return InForce(current.generation, current.hash, age, refused)


def _of(record: dict[str, Any], kind: type) -> dict[str, Any]:
    """The fields of a data class, as far as the record has them."""
    return {each.name: record[each.name] for each in fields(kind) if each.name in record}


def _period(record: dict[str, Any]) -> float:
    period = float(record["period_seconds"])
    if not 0 < period <= _MOST_PERIOD:
        raise Refused(f"a period of {period} s")
    return period


def _lines(texts: Iterable[str]) -> list[str]:
    return [_text(text) for text in list(texts)[:_MOST_LINES]]


def _text(text: str) -> str:
    """As much of it as is told; the name of a file in it may be no UTF-8."""
    return text[:_MOST_TEXT].encode(errors="backslashreplace").decode()
