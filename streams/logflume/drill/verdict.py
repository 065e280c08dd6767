"""What a drill promises, what it found, and whether that is kept: pure, so that doctored facts can be tried on it.

P1  Nothing lost, nothing twice: every sum of the judge's is right, and no answer was.
P2  Who was there before keeps at least ``KEPT_SHARE`` of the rate it had.
P3  No process of Logflume takes more memory than its budget and ``SPARE_BYTES``.
P4  Everything flows again within the drill's time after the repair, and nobody restarted anything by hand.
P5  Where a drill says so: the others' waiting time stays within a factor of what it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from logflume.demo.judge import Check

KEPT_SHARE = 0.9
SPARE_BYTES = 300_000_000


@dataclass(frozen=True, slots=True)
class Promise:
    """What must hold. ``recover_seconds`` counts from the repair; ``within_seconds``: a row at rest later is late.

    ``rate_during``: P2 holds while the harm lasts (else: once all has recovered). ``waiting_factor``: see P5.
    """

    recover_seconds: float
    within_seconds: float
    rate_during: bool = False
    waiting_factor: float | None = None
    waiting_floor_seconds: float = 1.0
    """Waiting times below this are all the same: a factor of nearly nothing would say little."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Rows a second of those who were there before that came, and were at rest in time."""

    before: float
    during: float
    after: float


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found. Memory is by process: the most it had, and its budget."""

    sums: tuple[Check, ...]
    rates: Rates
    memory: Mapping[str, tuple[int, int]]
    recovered_seconds: float | None
    """From the repair until everything flowed; None: it did not within the time."""
    waiting: tuple[float | None, float | None] = (None, None)
    """Seconds that 95 % of the others' rows waited at most: before, and during the harm."""
    own: tuple[Finding, ...] = ()
    """What this drill alone looks at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A promise, and what became of it."""

    name: str
    promised: str
    found: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings; kept only when each is."""

    findings: tuple[Finding, ...] = field(default_factory=tuple)

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return bool(self.findings) and all(finding.ok for finding in self.findings)


def judge(promise: Promise, facts: Facts) -> Verdict:
    """Compare facts with promises."""
    found = [_sum(check) for check in facts.sums]
    if not facts.sums:
        found.append(Finding("sums", "independent counting", "nothing was counted", ok=False))
    found.append(_rate(promise, facts.rates))
    found += [_memory(name, most, budget) for name, (most, budget) in sorted(facts.memory.items())]
    found.append(_recovery(promise, facts.recovered_seconds))
    if promise.waiting_factor is not None:
        found.append(_waiting(promise, promise.waiting_factor, *facts.waiting))
    return Verdict((*found, *facts.own))


def _sum(check: Check) -> Finding:
    spare = f" (and {check.spare:,} in doubt)" if check.spare else ""
    return Finding(check.name, f"{check.expected:,}{spare}", f"{check.counted:,}", check.ok)


def _rate(promise: Promise, rates: Rates) -> Finding:
    when, rate = ("while harmed", rates.during) if promise.rate_during else ("once recovered", rates.after)
    least = KEPT_SHARE * rates.before
    return Finding(
        f"rows/s of those who were there before, {when}",
        f"≥ {least:,.0f} ({KEPT_SHARE:.0%} of {rates.before:,.0f}) at rest within {promise.within_seconds:.0f} s",
        f"{rate:,.0f}",
        rates.before > 0 and rate >= least,
    )


def _memory(name: str, most: int, budget: int) -> Finding:
    limit = budget + SPARE_BYTES
    return Finding(
        f"most memory of {name}",
        f"≤ {limit / 1e6:,.0f} MB (budget {budget / 1e6:,.0f} + {SPARE_BYTES / 1e6:,.0f})",
        f"{most / 1e6:,.0f} MB",
        0 < most <= limit,
    )


def _recovery(promise: Promise, seconds: float | None) -> Finding:
    found = "not in time" if seconds is None else f"{seconds:.0f} s"
    ok = seconds is not None and seconds <= promise.recover_seconds
    return Finding("recovered, with nobody's hand", f"≤ {promise.recover_seconds:.0f} s after the repair", found, ok)


def _waiting(promise: Promise, factor: float, before: float | None, during: float | None) -> Finding:
    name = "seconds until at rest, 95 % of the others' rows"
    if before is None or during is None:
        return Finding(name, f"≤ {factor:g} × before", "no rows of theirs came", ok=False)
    limit = factor * max(before, promise.waiting_floor_seconds)
    return Finding(name, f"≤ {limit:.1f} ({factor:g} × {before:.1f})", f"{during:.1f}", during <= limit)
