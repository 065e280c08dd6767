"""How much a tenant may send."""

from __future__ import annotations

from dataclasses import dataclass

BURST_SECONDS = 10
"""Of a tenant whose file says nothing else."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Limits of one tenant at one edge; 0: none. ``burst_seconds`` worth of each may come at once."""

    bytes_per_second: int = 0
    records_per_second: int = 0
    burst_seconds: int = BURST_SECONDS


NO_RATES = Rates()
"""Of a tenant that may send what it can."""
