"""Mutations of tables: one commit stores rows and how far they go, whoever else writes."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_TABLE = "tests/unit/test_table.py"
_CARE = "tests/unit/test_care.py"

MUTATIONS = (
    Mutation(
        "table-turns: shards of one tenant do not make each other read the table's log",
        code("table/table.py"),
        "if newest is not None and head is not None and newest.version > head.version:",
        "if False:",
        f"{_TABLE}::test_writers_of_one_process_take_turns_at_a_table_and_meet_no_conflict",
    ),
    Mutation(
        "txn-compare: rows that the table holds are not stored again",
        code("table/table.py"),
        "start = 0 if stored is None else int(np.searchsorted(offsets, stored))",
        "start = 0",
        f"{_TABLE}::test_a_repeated_append_changes_nothing",
    ),
    Mutation(
        "txn-same-commit: rows and how far they reach are one commit, a table's first included",
        code("table/log.py"),
        '[{"commitInfo": info}, {"txn": {"appId": app_id, "version": upto}}]',
        '[{"commitInfo": info}]',
        f"{_TABLE}::test_rows_and_how_far_they_reach_are_one_commit",
    ),
    Mutation(
        "loaded-snapshot: a commit stands on the version where the txn was read",
        code("table/table.py"),
        "done = log.commit(self._store, self.path, head, files, app_id, upto, self._clock)",
        "done = log.commit(self._store, self.path, self._load(app_id) or head, files, app_id, upto, self._clock)",
        "tests/property/test_delta_append.py::test_a_table_holds_each_row_once_after_long_histories",
    ),
    Mutation(
        "reload: after any failure the table is read again",
        code("table/table.py"),
        "            self._pause(attempt)\n            head = self._again(head, app_id)\n",
        "            self._pause(attempt)\n",
        f"{_TABLE}::test_a_commit_that_succeeded_unheard_is_not_repeated",
    ),
    Mutation(
        "put-if-absent: of simultaneous commits one wins",
        code("table/bucket.py"),
        'data, mode="create", ',
        "data, ",
        "tests/integration/test_table_store.py::test_four_processes_that_write_one_table_store_each_row_once",
    ),
    Mutation(
        "probe: a store that ignores If-None-Match is refused",
        code("table/probe.py"),
        "if winners != 1:",
        "if winners < 1:",
        "tests/integration/test_table_store.py::test_the_probe_refuses_a_store_that_ignores_the_condition",
    ),
    Mutation(
        "deleted-by-hand: an entry is put only on a log that is there",
        code("table/log.py"),
        "if store.tag(head.anchor[0]) != head.anchor[1]:",
        "if False:",
        f"{_TABLE}::test_a_table_deleted_by_hand_is_made_again",
    ),
    Mutation(
        "known-again: a table made anew is told from the one before it, however alike their logs are",
        code("table/store.py"),
        'f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"',
        'f"{found.st_size}"',
        f"{_TABLE}::test_a_table_made_again_with_an_entry_as_long_is_not_taken_for_the_old_one",
    ),
    Mutation(
        "txn-kept: a table that may forget how far it has come is refused",
        code("table/schema.py"),
        "        if name in metadata.configuration:",
        "        if False:",
        f"{_TABLE}::test_a_table_that_hides_old_transactions_is_refused",
    ),
    Mutation(
        "advanced-anchor: entries of a table that was made again are not taken for the old one's",
        code("table/log.py"),
        "if tag is None or store.tag(head.anchor[0]) != head.anchor[1] or _passed(store, path, head.version):",
        "if tag is None:",
        f"{_TABLE}::test_entries_of_a_table_that_was_made_again_are_not_taken_for_the_old_ones",
    ),
    Mutation(
        "advanced-columns: a change of columns has the log read",
        code("table/log.py"),
        'if "metaData" in action or "protocol" in action:',
        "if not action:",
        f"{_TABLE}::test_who_lost_a_race_to_a_change_of_columns_reads_the_log",
    ),
    Mutation(
        "advanced-progress: how far a sink has come is read from the entries since",
        code("table/log.py"),
        'if "txn" in action and action["txn"]["appId"] in progress:',
        "if not action:",
        f"{_TABLE}::test_who_lost_a_race_reads_only_the_entries_since",
    ),
    Mutation(
        "unheard-change: a change that succeeded unheard is known again",
        code("table/log.py"),
        "        if not made(store, path, version, change.mark):\n            raise",
        "        raise",
        f"{_CARE}::test_a_commit_that_succeeded_unheard_is_known_again",
    ),
    Mutation(
        "old-file: a sink writes a file again that is too old to be committed",
        code("table/table.py"),
        "if start != written_from or self._clock.monotonic() - written_at > COMMITTED_WITHIN_SECONDS:",
        "if start != written_from:",
        f"{_CARE}::test_t7_a_sink_writes_a_file_again_that_is_too_old_to_be_committed",
    ),
    Mutation(
        "deleted-log: no more of a deleted table's log is taken away than its checkpoint covers",
        code("table/log.py"),
        "int(version) < last:",
        "int(version) <= last:",
        f"{_CARE}::test_d3_rows_that_were_deleted_do_not_come_back_by_a_replay",
    ),
    Mutation(
        "passed-append: an append into a hole of the log is none",
        code("table/log.py"),
        "if tag is None or _passed(store, path, head.version + 1):",
        "if tag is None:",
        "tests/unit/test_care.py::test_an_append_whose_number_was_deleted_from_the_log_is_no_append_and_is_made_again",
    ),
    Mutation(
        "checkpoint-still: a table that is written to is not checkpointed at each look",
        code("care/look.py"),
        "self._clock.now_ns() / 1e9 - written > _STILL_SECONDS",
        "True",
        "tests/unit/test_care.py::test_a_table_that_stands_still_is_opened_by_its_checkpoint_alone",
    ),
    Mutation(
        "passed-advance: nobody goes on from an entry that stands before a checkpoint",
        code("table/log.py"),
        "!= head.anchor[1] or _passed(store, path, head.version):",
        "!= head.anchor[1]:",
        "tests/unit/test_care.py::test_nobody_goes_on_from_entries_before_a_checkpoint",
    ),
    Mutation(
        "passed-change: a change into a hole of the log is not told as made",
        code("table/log.py"),
        "if done and _passed(store, path, version):",
        "if done and False:",
        "tests/unit/test_care.py::test_a_hold_whose_number_was_deleted_from_the_log_is_not_told_to_hold",
    ),
    Mutation(
        "value-bytes: a file says how many bytes its records are",
        code("table/log.py"),
        '"tags": {VALUE_BYTES: str(file.value_bytes)},',
        '"tags": {},',
        "tests/explore/test_api_usage.py::test_what_is_stored_is_told_by_event_day_and_what_came_by_arrival",
    ),
)
