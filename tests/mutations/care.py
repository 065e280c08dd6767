"""Mutations of the care for tables: merging, retention, deletion, holds."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_CARE = "tests/unit/test_care.py"
_CARE_PLAN = "tests/unit/test_care_plan.py"

MUTATIONS = (
    Mutation(
        "list-alone: a broken table hides no other from the list",
        code("cli/table.py"),
        "except Refused as error:  # the others are listed",
        "except ZeroDivisionError as error:  # the others are listed",
        "tests/unit/test_table_command.py::test_a_table_that_was_deleted_in_part_is_told_and_hides_no_other",
    ),
    Mutation(
        "merged-inputs: a merge stands on a version that still has all of its files",
        code("care/merging.py"),
        "if not standing.has(old) or clock",
        "if clock",
        f"{_CARE}::test_m1_a_merge_gives_up_when_one_of_its_files_went",
    ),
    Mutation(
        "merged-rows: a merge has as many rows as the log says, or is not committed",
        code("care/merging.py"),
        "if encoded.rows != expected:",
        "if encoded.rows < 0:",
        f"{_CARE}::test_m2_a_file_with_other_rows_than_the_log_says_is_not_merged",
    ),
    Mutation(
        "merged-in-time: a merge that took too long is not committed, its file may be gone",
        code("care/merging.py"),
        "began > COMMITTED_WITHIN_SECONDS",
        "began < 0",
        f"{_CARE}::test_a_merge_that_took_too_long_is_not_committed",
    ),
    Mutation(
        "arrival-days: files of other days of arrival are not merged",
        code("care/plan.py"),
        "(file.date, came.date() if came else None)",
        "(file.date, None)",
        f"{_CARE_PLAN}::test_files_of_other_dates_and_other_days_of_arrival_are_left_apart",
    ),
    Mutation(
        "youngest-row: a file expires with its youngest row",
        code("table/snapshot.py"),
        "File(name, size, rows or 0, str(date), oldest, newest, _time(stored_ms))",
        "File(name, size, rows or 0, str(date), oldest, oldest, _time(stored_ms))",
        f"{_CARE}::test_files_expire_whole_with_their_youngest_row",
    ),
    Mutation(
        "two-clocks: a row that came just now does not expire by the wrong clock of its edge",
        code("care/plan.py"),
        "if (came := arrived(file, now, late)) is not None and came < limit)",
        "if (came := file.newest) is not None and came < limit)",
        f"{_CARE}::test_rows_stamped_by_a_wrong_clock_are_kept_from_when_they_were_stored",
    ),
    Mutation(
        "carers-clock: a carer whose clock differs from the store's changes nothing",
        code("care/look.py"),
        "        if not dry_run:\n            self._time.agree()\n",
        "",
        f"{_CARE}::test_a_carer_whose_clock_differs_from_the_stores_changes_nothing",
    ),
    Mutation(
        "clock-again: nothing is vacuumed when the clock was set meanwhile",
        code("care/look.py"),
        "        self._time.agree()  # it may",
        "        # it may",
        f"{_CARE}::test_a_clock_that_is_set_while_files_are_merged_lets_nothing_be_vacuumed",
    ),
    Mutation(
        "hold-retention: a hold that comes before the commit stops retention",
        code("care/look.py"),
        "if hold.of(now.properties) is not None or not taken:",
        "if not taken:",
        f"{_CARE}::test_c4_a_hold_that_comes_before_the_commit_stops_it",
    ),
    Mutation(
        "hold-deletion: a hold stops deletion",
        code("care/deletion.py"),
        "        _refuse_held(standing)\n        removal",
        "        removal",
        f"{_CARE}::test_c4_a_hold_that_comes_before_the_commit_stops_it",
    ),
    Mutation(
        "kept-files: a removed file stays for as long as it is kept",
        code("care/vacuum.py"),
        "gone = unneeded(standing, keep_hours)",
        "gone = unneeded(standing, 0)",
        f"{_CARE}::test_v1_removed_files_stay_for_as_long_as_they_are_kept",
    ),
    Mutation(
        "fast-clock: what a worker with a fast clock removed is gone when the receipt is written",
        code("care/deletion.py"),
        "if name in removed or at < oldest}",
        "if at < oldest}",
        f"{_CARE}::test_d5_a_file_that_a_worker_with_a_fast_clock_removed_is_gone_when_the_receipt_is_written",
    ),
    Mutation(
        "saved-deleted: what a tenant has saved goes with the tenant",
        code("care/deletion.py"),
        "    SavedQueries(store, clock).forget(tenant)\n",
        "",
        f"{_CARE}::test_d6_what_a_tenant_has_saved_is_deleted_with_a_receipt_and_without_a_table",
    ),
    Mutation(
        "saved-ended: a deletion of what is saved that died is ended",
        code("care/deletion.py"),
        "    if order.saved:\n",
        "    if False:\n",
        f"{_CARE}::test_d6_a_deletion_of_what_is_saved_that_died_is_ended_by_who_looks_next",
    ),
    Mutation(
        "saved-tableless: a tenant that has saved queries and no table can be deleted",
        code("cli/table.py"),
        "    if dataset is None and (saved",
        "    if done and dataset is None and (saved",
        "tests/integration/test_care.py::test_a_tenant_that_has_saved_queries_and_no_table_is_deleted_by_command",
    ),
    Mutation(
        "saved-back: who is about to save brings no deleted query back",
        code("table/saved.py"),
        "self._store.write(_path(tenant, version), pa.py_buffer(_encode(Saved(version))))",
        "self._store.delete(_path(tenant, version))",
        "tests/explore/test_api_saved.py::test_sq5_who_is_about_to_save_brings_nothing_back_that_was_deleted",
    ),
    Mutation(
        "hung-look: a table waits for its care while a look at it does not end",
        code("care/worker.py"),
        "return max(0.0, self._clock.monotonic() - self._due_at)",
        "return max(0.0, self._turned - self._due_at)",
        "tests/unit/test_care.py"
        "::test_a_table_waits_for_its_care_also_while_somebody_looks_at_it_and_does_not_come_to_an_end",
    ),
    Mutation(
        "order-alone: a deletion that can't be ended holds up no other",
        code("care/deletion.py"),
        "except (TypeError, ValueError) as error:",
        "except ZeroDivisionError as error:",
        "tests/unit/test_care.py::test_an_order_that_can_not_be_read_or_ended_holds_up_no_other",
    ),
)
