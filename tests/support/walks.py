"""Long random histories of a state machine, and a count of what came about in them.

Hypothesis gives each run a few of the rules, and each of them small values: it finds short histories, and in most of
them, counted, nothing is ever committed. In a walk each step has the weight that makes histories deep.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple, Protocol


class Machine(Protocol):
    """The model. ``happened`` counts what really came about, not which rules were called."""

    happened: Counter[str]

    def teardown(self) -> None:
        """Let everything come to rest, and look at the whole."""


class Step(NamedTuple):
    """What may be done next: how often in proportion to the others, and whether it can be."""

    weight: float
    do: Callable[[], object]
    can: Callable[[], object] = lambda: True


class Walk(NamedTuple):
    """A machine at its start; ``looks`` are its invariants."""

    machine: Machine
    steps: Sequence[Step]
    looks: Sequence[Callable[[], object]] = ()


def walks(begin: Callable[[Random], Walk], seeds: range, steps: int) -> Counter[str]:
    """Take a walk from each seed; returns what happened in all of them. A failure names its seed."""
    happened = Counter[str]()
    for seed in seeds:
        random = Random(seed)
        walk = begin(random)
        try:
            for _ in range(steps):
                able = [step for step in walk.steps if step.can()]
                [step] = random.choices(able, [step.weight for step in able])
                step.do()
                for look in walk.looks:
                    look()
            walk.machine.teardown()
        except BaseException as error:
            error.add_note(f"in the walk of seed {seed}")
            raise
        happened += walk.machine.happened
    return happened


def often(happened: Mapping[str, int], least: Mapping[str, int]) -> None:
    """Fail when something came about less often than ``least`` says: then the machine explores no more."""
    seldom = {what: happened.get(what, 0) for what, count in least.items() if happened.get(what, 0) < count}
    assert not seldom, f"seldom: {seldom}, of {dict(happened)}"
