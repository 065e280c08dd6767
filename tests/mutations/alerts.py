"""Mutations of the alerts, and of what holds each of them to a test that fires it."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

_ALERTS = "tests/unit/test_alerts.py"

MUTATIONS = (
    Mutation(
        "fired-for-real: an alert that no test fires on a running stack is noticed",
        "tests/alerts/test_fired.py",
        '@fires("the object store stopped", "StoreFails")',
        "",
        f"{_ALERTS}::test_every_alert_is_fired_on_a_running_stack_by_the_cause_that_the_catalogue_names",
    ),
    Mutation(
        "seen-to-fire: a test that says it fires an alert must have seen it",
        "tests/support/fired.py",
        "            assert set(alerts) <= watched.fired,",
        "            assert watched.fired,",
        f"{_ALERTS}::test_who_says_to_fire_an_alert_must_have_seen_it",
    ),
)
