"""What a drill is: who is there, what is done to them, and what is promised all the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from logflume.drill.verdict import Promise

if TYPE_CHECKING:
    from logflume.drill.scene import Scene

Scale = Literal["small", "real"]

REAL_WITHIN_SECONDS = 30.0
SMALL_WITHIN_SECONDS = 15.0
_SMALL_MEASURE_SECONDS = 8.0
"""A body more or less, or one that is half a second late, must be little of what comes in a measure's time."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a drill is. ``rows_a_second`` is the load of those who are there before and stay all the time."""

    promise: Promise
    tenants: int
    rows_a_second: float
    rows_a_body: int
    before_seconds: float
    harm_seconds: float
    after_seconds: float
    more_tenants: int = 0
    """Tenants who come only with the harm."""
    more_rows_a_second: float = 0.0


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill. ``play`` does the harm and repairs it: it calls ``scene.harmed`` and ``scene.repaired`` once each."""

    name: str
    what: str
    play: Callable[[Scene], None]
    sizes: Mapping[Scale, Size]
    given: bool = False
    """Whether it can be run on a given stack: its harm is load, and touches only its own tenants."""
    late: bool = False
    """Whether the tenants of the harm are not in force before it: the drill declares them itself."""
    stack: Mapping[str, Any] = field(default_factory=dict)
    """Settings of its own stack, such as how many workers of a kind there are; else it is the smallest one."""


def small(
    *,
    tenants: int = 6,
    rows_a_second: float = 600,
    harm_seconds: float = 3.0,
    recover_seconds: float = 60.0,
    rate_during: bool = False,
    waiting_factor: float | None = None,
    more_tenants: int = 0,
    more_rows_a_second: float = 0.0,
) -> Size:
    """Return a size for tests: seconds instead of minutes."""
    return Size(
        Promise(recover_seconds, SMALL_WITHIN_SECONDS, rate_during, waiting_factor, waiting_floor_seconds=5.0),
        tenants,
        rows_a_second,
        50,
        _SMALL_MEASURE_SECONDS,
        harm_seconds,
        _SMALL_MEASURE_SECONDS,
        more_tenants,
        more_rows_a_second,
    )


def real(
    *,
    tenants: int = 50,
    rows_a_second: float = 3000,
    harm_seconds: float = 60.0,
    recover_seconds: float = 120.0,
    rate_during: bool = False,
    waiting_factor: float | None = None,
    more_tenants: int = 0,
    more_rows_a_second: float = 0.0,
) -> Size:
    """Return a size that tells something of a real load, with every setting at its default."""
    return Size(
        Promise(recover_seconds, REAL_WITHIN_SECONDS, rate_during, waiting_factor),
        tenants,
        rows_a_second,
        100,
        30.0,
        harm_seconds,
        15.0,
        more_tenants,
        more_rows_a_second,
    )
