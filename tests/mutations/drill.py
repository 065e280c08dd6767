"""Mutations of drills: the verdict, the books, and a given cluster that is left as it was."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_DRILLS = "tests/unit/test_drill_verdict.py"
_BOOKS = "tests/unit/test_drill_book.py"

MUTATIONS = (
    Mutation(
        "drill-other-edge: a body that an edge does not take goes to the other one",
        code("drill/sender.py"),
        "        self.close()\n        self._http = self._next()\n",
        "        self.close()\n",
        f"{_BOOKS}::test_a_sender_turns_to_the_other_edge_when_one_is_not_there_or_takes_nothing",
    ),
    Mutation(
        "drill-sums: a drill whose sums are wrong fails",
        code("drill/verdict.py"),
        'f"{check.counted:,}", check.ok)',
        'f"{check.counted:,}", ok=True)',
        f"{_DRILLS}::test_p1_one_row_lost_or_stored_twice_fails",
    ),
    Mutation(
        "drill-empty: a drill that counted nothing fails",
        code("drill/verdict.py"),
        "    if not facts.sums:\n",
        "    if facts.sums is None:\n",
        f"{_DRILLS}::test_p1_a_drill_that_counted_nothing_fails",
    ),
    Mutation(
        "drill-rate: those who were there before keep nine tenths of their rate",
        code("drill/verdict.py"),
        "rates.before > 0 and rate >= least",
        "rates.before > 0",
        f"{_DRILLS}::test_p2_a_tenth_less_than_the_rate_before_is_the_limit_and_the_promise_says_when",
    ),
    Mutation(
        "drill-memory: no process takes more than its budget and 300 MB",
        code("drill/verdict.py"),
        "0 < most <= limit",
        "0 < most",
        f"{_DRILLS}::test_p3_a_byte_above_budget_and_spare_fails_and_names_the_process",
    ),
    Mutation(
        "drill-recovery: what does not recover in time fails",
        code("drill/verdict.py"),
        "seconds is not None and seconds <= promise.recover_seconds",
        "seconds is not None",
        f"{_DRILLS}::test_p4_not_recovered_in_time_fails",
    ),
    Mutation(
        "drill-waiting: the others wait at most twice as long",
        code("drill/verdict.py"),
        "during <= limit)",
        "during > 0)",
        f"{_DRILLS}::test_p5_others_may_wait_twice_as_long_and_not_longer",
    ),
    Mutation(
        "drill-own: what a drill found by itself counts",
        code("drill/verdict.py"),
        "(*found, *facts.own)",
        "tuple(found)",
        f"{_DRILLS}::test_what_a_drill_found_by_itself_counts_too",
    ),
    Mutation(
        "drill-doubt: what was handed over and not answered is in doubt, not acknowledged",
        code("drill/sender.py"),
        "            return DOUBTFUL, 0\n",
        "            return ACKNOWLEDGED, 0\n",
        f"{_BOOKS}::test_a_sender_books_what_was_said_and_sends_again_only_what_was_refused",
    ),
    Mutation(
        "drill-given: a stack that others use is not drilled by accident",
        code("cli/drill.py"),
        "    if not meant:\n        raise Refused(",
        "    if meant is None:\n        raise Refused(",
        "tests/unit/test_drill_given.py::test_a_given_stack_is_refused_unless_it_is_meant",
    ),
    Mutation(
        "drill-others: a drill on a given stack touches nobody's tenants but its own",
        code("drill/given.py"),
        "in others.items() if not name.startswith(PREFIX)}",
        "in others.items() if name in drills}",
        "tests/unit/test_drill_given.py::test_g3_everybody_who_is_no_drills_stays_the_same_object",
    ),
    Mutation(
        "drill-through: no table of a drill that was broken off is made again by a sink that still has rows of it",
        code("drill/given.py"),
        "                self._let_through()\n",
        "                pass\n",
        "tests/e2e/test_drill_given.py::test_a_drill_on_a_stack_of_others_touches_nobody_and_leaves_nothing",
    ),
)
