"""Which test fires which alert on a running stack, and by what: each test says so with ``fires``, and is held to it.

``tests/unit/test_alerts.py`` compares what they say with the catalogue.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, Final, ParamSpec

from tests.support.watched import Watched

P = ParamSpec("P")
Test = Callable[Concatenate[Watched, P], None]


@dataclass(frozen=True)
class Fired:
    """A test fires an alert by a cause, which is the catalogue's word for it."""

    alert: str
    cause: str
    test: str


FIRED: Final[set[Fired]] = set()
"""What the tests say that have been imported."""


def fires(cause: str, *alerts: str, from_the_start: bool = False) -> Callable[[Test[P]], Test[P]]:
    """Mark a test of a ``watched`` stack: by ``cause`` it fires each of these alerts, and fails if one was not seen to.

    That they resolve is seen in the test where it matters, else at the end of the stack (``watching``). A test with
    more causes than one is marked more than once. ``from_the_start``: the cause is there when the stack comes up; else
    the test begins when none of them fires.
    """

    def marked(test: Test[P]) -> Test[P]:
        FIRED.update(Fired(alert, cause, test.__name__) for alert in alerts)

        @functools.wraps(test)
        def held(watched: Watched, *args: P.args, **given: P.kwargs) -> None:
            if not from_the_start:
                watched.resolves(*alerts)  # so that it is this cause
            watched.fired.difference_update(alerts)
            test(watched, *args, **given)
            assert set(alerts) <= watched.fired, f"not seen to fire: {sorted(set(alerts) - watched.fired)}"

        return held

    return marked
