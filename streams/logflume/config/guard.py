"""What a new generation must not be: blank, or suddenly another. Asked by the publisher and by every worker.

A blank configuration once made everything collapse (docs/incident.md). So, of the active (tenant, dataset) pairs:

U1  None at all is refused, always, whoever asks for it.
U2  More than ``shrink`` of them gone is refused, unless an operator named exactly that number.
U3  More than ``growth`` times as many is refused likewise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from logflume.config.manifest import Accepted
from logflume.errors import Refused
from logflume.model.tenant import Configuration


class Blank(Refused):
    """Nobody would want anything."""


class Shrunk(Refused):
    """Too many active pairs would be gone; ``pairs`` of them."""

    def __init__(self, message: str, pairs: int) -> None:
        super().__init__(message)
        self.pairs = pairs


class Grown(Refused):
    """Too many active pairs would be new; ``pairs`` of them."""

    def __init__(self, message: str, pairs: int) -> None:
        super().__init__(message)
        self.pairs = pairs


@dataclass(frozen=True, slots=True)
class Limits:
    """``shrink``: which share of the active pairs may go at once; ``growth``: how many times as many there may be."""

    shrink: float
    growth: float


def check(
    before: Configuration | None, after: Configuration, limits: Limits, *, removal_of: int = 0, growth_of: int = 0
) -> None:
    """The publisher's: raise ``Blank``, ``Shrunk`` or ``Grown`` when ``after`` must not follow ``before``.

    ``removal_of`` and ``growth_of`` are what the operator named: exactly as many, or it is not what they looked at.
    """
    _refuse_blank(after)
    if before is None:
        return
    gone, new = _change(before, after)
    if gone > limits.shrink * len(before.pairs) and gone != removal_of:
        raise _shrunk(before, after, gone, limits)
    if len(after.pairs) > limits.growth * len(before.pairs) and new != growth_of:
        raise _grown(before, after, new, limits)


def check_offered(
    before: Configuration | None, after: Configuration, limits: Limits, accepted: Iterable[Accepted]
) -> None:
    """The worker's: likewise, with what the manifest says that operators named.

    A worker may have missed generations: what was named in all of them is added up.
    """
    _refuse_blank(after)
    if before is None:
        return
    named = [each for each in accepted if before.generation < each.generation <= after.generation]
    gone, new = _change(before, after)
    if gone - sum(each.removal_of for each in named) > limits.shrink * len(before.pairs):
        raise _shrunk(before, after, gone, limits)
    if len(after.pairs) - sum(each.growth_of for each in named) > limits.growth * len(before.pairs):
        raise _grown(before, after, new, limits)


def _refuse_blank(after: Configuration) -> None:
    if not after.pairs:
        raise Blank(f"generation {after.generation} is blank: no tenant wants any dataset")


def _change(before: Configuration, after: Configuration) -> tuple[int, int]:
    return len(before.pairs - after.pairs), len(after.pairs - before.pairs)


def _shrunk(before: Configuration, after: Configuration, gone: int, limits: Limits) -> Shrunk:
    return Shrunk(
        f"generation {after.generation} takes away {gone} of the {len(before.pairs)} active pairs of tenant and "
        f"dataset that generation {before.generation} has: more than {limits.shrink:.0%}",
        gone,
    )


def _grown(before: Configuration, after: Configuration, new: int, limits: Limits) -> Grown:
    return Grown(
        f"generation {after.generation} adds {new} pairs of tenant and dataset to the {len(before.pairs)} active ones "
        f"that generation {before.generation} has: they would be more than {limits.growth:g} times as many",
        new,
    )
