"""Mutations of parking: who waits, who catches up, and the caps on new pairs."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_CATCH_UP = "tests/unit/test_catch_up.py"
_PARKED_JOBS = "tests/unit/test_parked_jobs.py"
_CAPS = "tests/unit/test_caps.py"
_LEFT = "tests/unit/test_parked_left.py"
_PARKING = "tests/property/test_parking.py"

MUTATIONS = (
    Mutation(
        "q1-left-out: the main reader leaves out the rows of who is parked",
        code("sink/partition.py"),
        "go if away is None else tuple(outlet for outlet in go if outlet.name not in away)",
        "go",
        f"{_CATCH_UP}::test_q1_the_scan_gives_who_is_parked_its_rows_again_and_the_main_reader_goes_on_where_they_meet",
    ),
    Mutation(
        "q1-from-the-cursor: the scan gives a member no row before its cursor",
        code("sink/parking/scan.py"),
        "for entry in names.values() if entry.cursor.offset <= offset)",
        "for entry in names.values())",
        f"{_PARKED_JOBS}::test_q1_a_member_of_the_scan_gets_no_row_from_before_its_cursor",
    ),
    Mutation(
        "q3-stored-with: the record of who is parked is stored with the position that passes its rows",
        code("sink/parking/parked.py"),
        "                found.append(ParkedChange(cursor, entry.stored))\n",
        "                pass\n",
        f"{_CATCH_UP}::test_who_fails_for_long_is_parked_and_holds_neither_memory_nor_the_commit",
    ),
    Mutation(
        "q3-goes-late: the record stays while rows are not durable that only it stands for",
        code("sink/parking/parked.py"),
        "        return lacks is None or lacks >= entry.handed\n",
        "        return True\n",
        f"{_CATCH_UP}::test_q3_the_record_goes_with_the_first_commit_that_needs_it_no_more",
    ),
    Mutation(
        "q3-job-ahead: when the parked record of a job goes, its own says what is ahead of the position",
        code("sink/partition.py"),
        "            self._cuts.touch((change.about.tenant, change.about.job))\n",
        "            pass\n",
        f"{_PARKED_JOBS}::test_q3_when_the_parked_record_goes_the_jobs_own_says_what_is_ahead_of_the_position",
    ),
    Mutation(
        "q4-no-hold: rows that are caught up hold no commit",
        code("sink/buffers.py"),
        "                floor = NEVER if outlet in self._catching else 0\n",
        "                floor = 0\n",
        f"{_PARKING}::test_each_row_comes_to_each_outlet_once_however_often_it_is_parked",
    ),
    Mutation(
        "q5-told: a cut that was parked before Kafka had it is not written before",
        code("sink/partition.py"),
        "            pair.waiting = not self._cuts.told(outlet)",
        "            pair.waiting = False",
        f"{_PARKED_JOBS}::test_q5_a_cut_that_was_parked_before_kafka_had_it_is_not_written_before_kafka_has_it",
    ),
    Mutation(
        "q5-cut-first: a frozen cut is read again whole before anything else of its job is cut",
        code("sink/parking/behind.py"),
        "        if self._cuts.gather(entry.outlet):  # Q5\n",
        "        if False:\n",
        f"{_PARKED_JOBS}::test_q5_a_frozen_cut_is_read_to_its_end_by_whoever_reads_there_and_written_as_it_was",
    ),
    Mutation(
        "parked-lost: what retention took from who is parked is recorded",
        code("sink/partition.py"),
        "        self._record_losses(self.behind.lose(first))\n        whole",
        "        self.behind.lose(first)\n        whole",
        f"{_CATCH_UP}::test_what_retention_took_from_under_the_scan_is_recorded_for_whom_it_was_lost",
    ),
    Mutation(
        "y2-yields: the scan leaves memory to the main readers",
        code("sink/parking/catchup.py"),
        "        return self._budget.used >= _YIELDS * self._budget.limit_bytes\n",
        "        return False\n",
        f"{_CATCH_UP}::test_y2_the_scan_yields_while_memory_presses_and_goes_on_after",
    ),
    Mutation(
        "y2-resumes: a pause does not outlive the scan that it was for",
        code("sink/parking/catchup.py"),
        "        else:\n            self._consumer.resume([TopicPartition(*at)])\n",
        "",
        f"{_CATCH_UP}::test_a_scan_that_ended_while_it_was_paused_does_not_keep_the_next_one_from_reading",
    ),
    Mutation(
        "y3-pauses: when almost all of much fails nobody is parked",
        code("sink/parking/catchup.py"),
        "        if others and much and partition",
        "        if False and partition",
        f"{_CATCH_UP}::test_y3_when_almost_all_of_much_fails_nobody_is_parked",
    ),
    Mutation(
        "parked-left: retention that is near is said before the rows are gone",
        code("sink/parking/telling.py"),
        "            if here < _SHORT * retention:\n",
        "            if here <= 0:\n",
        f"{_LEFT}::test_below_a_quarter_it_is_said_first_of_all_and_logged_once_at_each_crossing",
    ),
    Mutation(
        "y3-whale: one that fails alone is parked, however many bytes it has",
        code("sink/buffers.py"),
        ", len(self._failing) / max(1, outlets))",
        ", 1.0)",
        f"{_CATCH_UP}::test_y3_a_whale_that_fails_alone_is_parked_as_others_would_wait_for_it",
    ),
    Mutation(
        "z1-probe: of all who wait for a destination one goes first",
        code("sink/parking/destinations.py"),
        "        if now < failing.again_at or (",
        "        if False and (",
        f"{_CATCH_UP}::test_z1_one_goes_first_and_when_it_comes_to_rest_all_others_follow",
    ),
    Mutation(
        "v1-known: who was stored before is not new",
        code("sink/parking/caps.py"),
        "        elif hash_of(outlet.tenant, outlet.name) in self._hashes:",
        "        elif False:",
        f"{_CAPS}::test_v1_after_a_restart_nobody_who_was_stored_before_is_new",
    ),
    Mutation(
        "v2-tokens: new ones begin at the rate that is set",
        code("sink/parking/caps.py"),
        "        self._tokens -= granted\n",
        "",
        f"{_CAPS}::test_v2_tokens_come_evenly_and_four_times_as_fast_without_pressure",
    ),
    Mutation(
        "v2-active: there are no more active ones than the cap",
        code("sink/parking/caps.py"),
        "int(self._tokens), room))",
        "int(self._tokens)))",
        f"{_CAPS}::test_v2_there_are_no_more_active_ones_than_the_cap_until_some_are_quiet",
    ),
    Mutation(
        "v2-together: who waits for more than there will ever be does not wait for ever",
        code("sink/parking/caps.py"),
        "min(at_least, int(self._burst), room)",
        "at_least",
        f"{_CAPS}::test_v2_who_asks_for_more_together_than_there_will_ever_be_gets_what_there_is",
    ),
    Mutation(
        "v2-begun: who has begun is active before its rows are at rest",
        code("sink/partition.py"),
        "                caps.seen(self.where, [outlet], now)\n",
        "",
        f"{_CAPS}::test_v2_who_has_begun_is_active_before_its_first_rows_are_at_rest",
    ),
    Mutation(
        "v2-idle: a restart of a group that stored nobody yet takes nobody for known",
        code("sink/parking/caps.py"),
        "        self._changed = hashes is None\n",
        "        self._changed = False\n",
        f"{_CAPS}::test_a_group_that_has_just_begun_stores_that_it_knows_nobody_so_that_a_restart_learns_nobody",
    ),
    Mutation(
        "j2-lost-end: a frozen cut whose end retention took gets no row from after it",
        code("sink/partition.py"),
        "self._cuts.complete(first, behind=True)]",
        "[]]",
        f"{_PARKED_JOBS}::test_j2_a_frozen_cut_whose_end_retention_took_gets_no_row_from_after_it",
    ),
    Mutation(
        "scan-gap: what is missing from the log but was not taken by retention is not passed over",
        code("sink/parking/catchup.py"),
        "        elif self._go_on(at, partition) <= expected:\n",
        "        elif partition.lose(offset):\n",
        f"{_CATCH_UP}::test_a_gap_that_is_not_of_retentions_making_stops_the_partition_and_loses_nobody_rows",
    ),
    Mutation(
        "v3-parked: who has no room is parked, not passed over",
        code("sink/partition.py"),
        "                self.behind.park_new(outlet, self._position, timestamp_ms)\n",
        "",
        f"{_CAPS}::test_v1_v3_who_is_there_flows_on_and_who_has_no_room_is_parked_before_its_first_row",
    ),
)
