"""Mutations of the alerts, and of what holds each of them to a test that fires it."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_ALERTS = "tests/unit/test_alerts.py"
_RULES = "tests/alerts/test_rules.py"

MUTATIONS = (
    Mutation(
        "full-spool: a spool that is full and grows no more is told as long as it is full",
        code("watch/alerts/catalogue.py"),
        '        "logflume_edge_spool_ratio > 0.8"\n        " or logflume_edge_spool_ratio > 0.5',
        '        "logflume_edge_spool_ratio > 0.5',
        "tests/alerts/test_rules.py::test_a_spool_that_is_full_and_stays_so_is_told_all_along",
    ),
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
    Mutation(
        "quiet-first: what fired before its cause was made does not count",
        "tests/support/fired.py",
        "                watched.resolves(*alerts)  #",
        "                pass  #",
        f"{_ALERTS}::test_who_says_to_fire_an_alert_must_have_seen_it",
    ),
    Mutation(
        "seen-to-resolve: a stack does not end before what was fired has resolved",
        "tests/support/watched.py",
        "        made.resolves(*made.fired)\n",
        "",
        f"{_ALERTS}::test_a_stack_does_not_end_before_what_was_fired_has_resolved",
    ),
    Mutation(
        "good-day: however short windows are, rows that take seconds are not late",
        code("watch/alerts/alert.py"),
        "max(seconds * windows, min(seconds, _LEAST_BOUND_SECONDS))",
        "seconds * windows",
        f"{_ALERTS}::test_a_bound_becomes_the_next_one_that_the_histogram_has_and_the_summary_says_which",
    ),
    Mutation(
        "bound-there: an alert looks at a bucket that the histogram has",
        code("watch/alerts/alert.py"),
        "min(each for each in metrics.SINK_SEARCHABLE.bounds if each >= least)",
        "least",
        f"{_ALERTS}::test_a_bound_becomes_the_next_one_that_the_histogram_has_and_the_summary_says_which",
    ),
    Mutation(
        "flood-at-edges: records that an edge can't read are a flood as well",
        code("watch/alerts/catalogue.py"),
        '        ("edge", "logflume_edge_bad_rows_total", "logflume_edge_rows_total"),\n',
        "",
        f"{_RULES}::test_a_flood_is_told_wherever_it_comes_in_and_if_nothing_can_be_read",
    ),
    Mutation(
        "nothing-readable: a flood is told where nothing at all can be read",
        code("watch/alerts/catalogue.py"),
        " or {bad} > bool 0",
        "",
        f"{_RULES}::test_a_flood_is_told_wherever_it_comes_in_and_if_nothing_can_be_read",
    ),
    Mutation(
        "two-watches: what two watches tell counts once (AL1)",
        code("watch/alerts/catalogue.py"),
        "max by (job, group, topic) (logflume_lag_stalled",
        "sum by (job, group, topic) (logflume_lag_stalled",
        f"{_RULES}::test_al1_what_two_watches_tell_counts_once",
    ),
    Mutation(
        "two-installations: generations of two installations are not compared (AL2)",
        code("watch/alerts/catalogue.py"),
        "< on (job) group_left () max by (job) (",
        "< on () group_left () max(",
        f"{_RULES}::test_al2_two_installations_have_generations_of_their_own",
    ),
    Mutation(
        "runbook-link: an alert leads to its runbook by a link that can be followed",
        code("settings/alerting.py"),
        'f"{DOCS}/runbooks"',
        '"docs/runbooks"',
        f"{_ALERTS}::test_the_command_lists_them_and_writes_the_rules",
    ),
)
