"""The mutations: which rule each takes out of which file, and the test that must notice.

``old`` occurs exactly once in its file (tests/unit/test_mutations.py); ``new`` is what stands there instead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutation:
    """One rule, taken out. ``test`` is a pytest node id."""

    rule: str
    file: str
    old: str
    new: str
    test: str

    @property
    def name(self) -> str:
        """The rule in one word."""
        return self.rule.split(":")[0]


def _code(path: str) -> str:
    return f"streams/logflume/{path}"


_SORTER = "tests/unit/test_sorter.py"
_REPLAY = "tests/property/test_replay.py::test_each_letter_goes_back_at_most_once_and_in_the_end_exactly_once"
_TRANSPORT = "tests/unit/test_transport.py"
_PLAIN = "tests/unit/test_plain_records.py"
_PROMISES = "tests/unit/test_sort_promises.py"
_READER = "tests/property/test_sorted_partition.py"
_SINK = "tests/unit/test_sink_rules.py"
_GUARDS = "tests/unit/test_sink_guards.py"
_TABLE = "tests/unit/test_table.py"
_CLIENTS = "tests/unit/test_kafka_client.py"
_TOPICS = "tests/contract/test_topics_yaml.py"
_TRANSACTION = "tests/integration/test_transaction.py"
_SINK_WORKER = "tests/integration/test_sink.py"
_CUTS = "tests/unit/test_cuts.py"
_DRILLS = "tests/unit/test_drill_verdict.py"
_BOOKS = "tests/unit/test_drill_book.py"
_LEVELS = "tests/property/test_pressure.py"
_STATUS = "tests/unit/test_status.py"
_WATCH = "tests/unit/test_watch.py"
_RESTRAINT = "tests/unit/test_restraint.py"
_GENERATIONS = "tests/unit/test_sink_generations.py"

MUTATIONS = (
    Mutation(
        "one-in-flight: a refused message is not taken for stored because the one behind it was",
        _code("kafka/client.py"),
        "        _IN_FLIGHT: 1,\n",
        "",
        "tests/integration/test_refusal_in_doubt.py::test_a_message_refused_before_the_next_one_lands_is_sent_again",
    ),
    # --- status and pressure ---------------------------------------------------------------------------------------
    Mutation(
        "at-once: at its limit a level holds at once (J1)",
        _code("watch/level.py"),
        "    if share >= marks.stop_on:\n        return Level.STOP\n",
        "",
        f"{_LEVELS}::test_j1_at_a_limit_the_level_holds_at_once",
    ),
    Mutation(
        "hold: a level falls only after it was low for a while (J2)",
        _code("watch/level.py"),
        "if now - low_since >= marks.hold_seconds:",
        "if True:",
        f"{_LEVELS}::test_j2_it_falls_one_level_at_a_time_and_only_when_it_was_low_for_all_of_the_hold",
    ),
    Mutation(
        "low-all-along: a look in between that is not low begins the hold anew (J2)",
        _code("watch/level.py"),
        "return replace(state, low_since=None)",
        "return state",
        f"{_LEVELS}::test_j2_it_falls_one_level_at_a_time_and_only_when_it_was_low_for_all_of_the_hold",
    ),
    Mutation(
        "band: between its marks a level stays as it is (J3)",
        _code("watch/level.py"),
        "if share > off:",
        "if share >= marks.slow_on:",
        f"{_LEVELS}::test_j3_what_wobbles_within_the_band_never_makes_the_level_flap",
    ),
    Mutation(
        "thinned-notes: only near notes are left out, so that an age is never far too large (AG1)",
        _code("watch/ages.py"),
        "notes[at + 1][1] - kept[-1][1] < _APART * (now - note[1])",
        "len(kept) > 1",
        f"{_WATCH}::test_ag2_a_long_watch_keeps_few_notes_and_its_ages_stay_true_to_a_tenth",
    ),
    Mutation(
        "single-partitions: what holds up one of many slows nobody down (CA1)",
        _code("watch/causes.py"),
        "used[math.ceil(ratio * len(used)) - 1]",
        "used[0]",
        f"{_WATCH}::test_ca1_a_single_late_partition_among_many_slows_nobody_down",
    ),
    Mutation(
        "stopped-partitions: those that wait for somebody do not hold up the others (CA2)",
        _code("watch/causes.py"),
        "each.stage == stage and each.partition not in stopped",
        "each.stage == stage",
        f"{_WATCH}::test_ca2_partitions_that_wait_for_somebody_do_not_hold_up_the_others",
    ),
    Mutation(
        "memory-slows: a worker's memory stops no edge (CA3)",
        _code("watch/causes.py"),
        "min(_MOST_OF_MEMORY, max(0.0, beyond / limits.memory_bytes))",
        "max(0.0, beyond / limits.memory_bytes)",
        f"{_WATCH}::test_ca3_memory_beyond_its_budget_slows_edges_down_and_never_stops_them",
    ),
    Mutation(
        "one-writes: of several watches one writes (W2)",
        _code("watch/worker.py"),
        "        if writes:\n",
        "        if True:\n",
        f"{_WATCH}::test_w2_of_two_watches_one_writes_and_the_other_takes_over_its_level",
    ),
    Mutation(
        "no-level-forgotten: a watch that starts takes over the level that holds (W2)",
        _code("watch/worker.py"),
        "(not writes or not self.pressure.by)",
        "not writes",
        f"{_WATCH}::test_w2_a_watch_that_starts_again_forgets_no_level",
    ),
    Mutation(
        "stale-pressure: a pressure that nobody renews is none (V3)",
        _code("kafka/status/reading.py"),
        "if age <= stale_seconds(self._pressure.period_seconds) else NO_PRESSURE",
        "",
        f"{_STATUS}::test_v3_a_pressure_is_none_once_three_periods_went_by_without_another",
    ),
    Mutation(
        "stale-worker: who is silent for too long is stale (V2)",
        _code("kafka/status/reading.py"),
        "lay = 0.0 if entry.live else max(",
        "lay = 0.0 if True else max(",
        f"{_STATUS}::test_v2_what_lay_in_the_log_is_as_old_as_kafka_says",
    ),
    Mutation(
        "foreign-statuses: what can't be read is passed over (V1)",
        _code("kafka/status/record.py"),
        "        if worker.key != key:\n",
        "        if False:\n",
        f"{_STATUS}::test_v1_foreign_bytes_are_passed_over",
    ),
    Mutation(
        "reporter-in-nobodys-way: a worker that can't be measured is told of, and the thread goes on (RP1)",
        _code("kafka/status/reporter.py"),
        "        except Exception as failure:  # its own code, in a state that nobody foresaw\n",
        "        except ValueError as failure:\n",
        f"{_STATUS}::test_rp1_whatever_kafka_and_the_worker_do_the_reporter_goes_on_and_ends",
    ),
    Mutation(
        "one-word-waits: while Kafka is away one message waits, no more (O2)",
        _code("kafka/status/outbox.py"),
        "            if key in self._waiting:\n",
        "            if False:\n",
        f"{_STATUS}::test_o2_while_kafka_is_away_one_message_waits_and_no_more",
    ),
    Mutation(
        "restraint: at stop the client takes nothing new (RE3, I7)",
        _code("edge/restraint.py"),
        "return math.inf",
        "return 0.0",
        f"{_RESTRAINT}::test_i7_at_stop_each_call_says_why_it_took_nothing_and_what_was_taken_before_is_sent",
    ),
    Mutation(
        "slower: at slow an edge takes a part of what it took before (RE2)",
        _code("edge/restraint.py"),
        "                self._credit -= size\n",
        "",
        f"{_RESTRAINT}::test_re2_at_slow_an_edge_takes_that_part_of_what_it_took_before",
    ),
    Mutation(
        "spool-band: a spool that was full is so until it is well below (RE4)",
        _code("edge/restraint.py"),
        "share >= self._full or (self._spool_full and share > self._resume)",
        "share >= self._full",
        f"{_RESTRAINT}::test_re4_a_spool_that_wobbles_between_its_marks_changes_nothing",
    ),
    Mutation(
        "503-at-stop: while the pipeline asks to stop no body is received (L3)",
        _code("edge/http/landing.py"),
        "            if delay > _SLOW_SECONDS:\n",
        "            if False:\n",
        f"{_RESTRAINT}::test_l3_a_debt_longer_than_a_request_may_wait_is_answered_503",
    ),
    # --- the edge: answers of servers ------------------------------------------------------------------------------
    Mutation(
        "receipts: nobody is told while pieces are still being placed",
        _code("edge/intake.py"),
        "            receipt.owe()  # for the time of placing, or the first piece's report could end it\n",
        "",
        "tests/unit/test_edge_offer.py::test_r2_bad_records_are_named_with_their_numbers_to_their_own_receipt",
    ),
    Mutation(
        "slow-heads: who drips a head does not hold a connection",
        _code("edge/http/connection.py"),
        "            if self._timer is None:\n                self._arm(self.limits.header_seconds, self._head_late)\n",
        "",
        "tests/integration/test_http_connection.py::test_co1_a_second_head_on_a_connection_is_bounded_too",
    ),
    # --- the sorter: stop and wait, commits -----------------------------------------------------------------------
    Mutation(
        "stop-and-wait: the next range is produced only after every report of the one before",
        _code("sort/sorter.py"),
        "            self._patiently(lambda: self._deliveries.wait(_REPORT_SECONDS))\n            crash.point",
        "            crash.point",
        f"{_SORTER}::test_the_next_range_is_produced_only_after_the_reports_of_the_one_before",
    ),
    Mutation(
        "lines-have-rows: a line's number in its message is its coordinate",
        _code("sort/plain.py"),
        "owning[owners[rows]], numbers[rows])",
        "owning[owners[rows]], 0 * numbers[rows])",
        f"{_PLAIN}::test_the_lines_of_a_message_are_its_rows_and_their_numbers_their_coordinates",
    ),
    Mutation(
        "rows-in-order: rows of one message's neighbours stand in the order of their coordinates",
        _code("sort/plain.py"),
        "        if len(reads) > 1:\n",
        "        if len(reads) > 9:\n",
        f"{_PLAIN}::test_avro_by_the_datasets_own_schema_is_known_by_marker_or_by_header",
    ),
    Mutation(
        "registry-away: a schema registry that can't be asked makes no poison",
        _code("sort/sorter.py"),
        "                if self._stopping() or self._ended.wait(self._limits.retry_seconds):\n",
        "                if True:\n",
        f"{_SORTER}::test_a_unit_waits_for_the_schema_registry_and_is_then_sorted_whole",
    ),
    Mutation(
        "torn-stops: a batch that fails its checksum is not passed over",
        _code("sort/transport.py"),
        '                self._stop(TP(*tp), str(records.pop().value, "utf-8"))\n',
        "                records.pop()\n",
        f"{_TRANSPORT}::test_a_batch_that_fails_its_checksum_stops_its_partition_and_loses_nothing_before_it",
    ),
    Mutation(
        "failure-ends: a failed delivery ends the process",
        _code("sort/sorter.py"),
        "            self._fail(error)\n",
        "",
        f"{_SORTER}::test_a_failed_delivery_ends_the_process_before_anything_more_is_produced_or_committed",
    ),
    Mutation(
        "failure-kept: one refused message is raised by every later call, though the next ones landed",
        _code("kafka/deliveries.py"),
        "            if self._failed is None:\n                self._failed = failure\n",
        "            self._failed = failure\n",
        "tests/unit/test_deliveries.py::"
        "test_d2_a_failed_report_is_raised_by_every_later_call_though_the_next_message_landed",
    ),
    Mutation(
        "fetched-of-the-same: a sorter produces nothing that it read of a topic made again",
        _code("sort/sorter.py"),
        "        self._patiently(lambda: self._same_topic(fetched_at))\n",
        "",
        f"{_SORTER}::test_of_a_topic_that_was_made_again_nothing_is_produced_or_acknowledged",
    ),
    Mutation(
        "letters-awaited: a chunk of poison alone is acknowledged when its dead letters are safe",
        _code("sort/sorter.py"),
        "        if done.letters:\n            self._patiently(lambda: self._deliveries.wait(_REPORT_SECONDS))\n",
        "",
        f"{_SORTER}::test_a_chunk_of_poison_alone_is_acknowledged_only_when_its_dead_letters_are_safe",
    ),
    Mutation(
        "replay-fences: a replay is alone before it looks for markers",
        _code("kafka/deadletters/replay.py"),
        "    drawer.fence()\n    batch",
        "    batch",
        _REPLAY,
    ),
    Mutation(
        "replay-once: a letter that was written twice goes back once",
        _code("kafka/deadletters/replay.py"),
        "        marked.add([filed.digest])\n",
        "",
        _REPLAY,
    ),
    Mutation(
        "letters-home: every repeat of a letter lies in one partition, however it was packed",
        _code("kafka/deadletters/letter.py"),
        'return self.tenant or (f"{self.topic}/{self.partition}" if self.topic else self.edge)',
        "return self.tenant or self.id",
        "tests/unit/test_deadletter_batches.py"
        "::test_a_repeat_that_is_packed_otherwise_is_the_same_letter_in_the_same_partition",
    ),
    Mutation(
        "letters-bounded: parts of letters that stay half take bounded memory",
        _code("kafka/deadletters/reading.py"),
        "            self._give_up()\n",
        "",
        "tests/unit/test_deadletter_batches.py"
        "::test_l3_letters_that_stay_half_take_bounded_memory_and_whole_ones_still_come",
    ),
    Mutation(
        "no-overlap: chunks that were fetched twice go into different units",
        _code("sort/sorter.py"),
        " or (before is not None and chunk.first != before.last + 1)",
        "",
        "tests/unit/test_units.py::test_a_chunk_that_was_fetched_again_goes_into_a_unit_of_its_own",
    ),
    Mutation(
        "commit-prefix: nothing is committed past a range in flight",
        _code("sort/commit.py"),
        "            if not each.done:\n                break\n",
        "",
        "tests/property/test_commit_rule.py::test_a_range_in_flight_holds_back_what_was_done_after_it",
    ),
    Mutation(
        "forget-on-seek: what was fetched before a seek never counts after it (the rule)",
        _code("sort/commit.py"),
        "            self._ranges.pop(partition, None)",
        "            pass",
        "tests/property/test_commit_rule.py::test_what_was_fetched_before_a_seek_never_counts_after_it",
    ),
    Mutation(
        "forget-on-seek-transport: what was fetched before a seek never counts after it (the transport)",
        _code("sort/transport.py"),
        "        self.rule.forget()\n",
        "",
        f"{_TRANSPORT}::test_a_seek_makes_everything_fetched_before_count_no_more",
    ),
    Mutation(
        "forget-on-revoke: partitions that are taken away are forgotten",
        _code("sort/transport.py"),
        "        self.rule.forget(revoked)\n",
        "",
        f"{_PROMISES}::test_partitions_that_are_taken_away_are_forgotten",
    ),
    Mutation(
        "overtaken-fetch: a fetch that a seek overtook is dropped",
        _code("sort/transport.py"),
        "if fetched and seeks != self._seeks:",
        "if False:",
        f"{_TRANSPORT}::test_a_fetch_that_a_seek_overtook_is_thrown_away_and_followed_by_another_seek",
    ),
    Mutation(
        "cut-fetch: a fetch that was cut short is followed by a seek to what is committed",
        _code("sort/transport.py"),
        "        if self._adrift:\n            await self.perform_seek()\n",
        "",
        f"{_TRANSPORT}::test_a_fetch_that_was_cut_short_is_followed_by_a_seek_to_what_is_committed",
    ),
    Mutation(
        "placed-first: nothing is read of an assignment before our own placing",
        _code("sort/transport.py"),
        "        self._seeks += 1\n        self._adrift = True\n",
        "",
        f"{_PROMISES}::test_nothing_is_read_of_an_assignment_before_it_was_placed",
    ),
    Mutation(
        "commit-rule-used: Faust's own rule takes a hole for done",
        _code("sort/transport.py"),
        "        return self.rule.committable(tp)",
        "        return super()._new_offset(tp)",
        f"{_PROMISES}::test_commits_follow_the_rule_and_not_fausts",
    ),
    Mutation(
        "no-early-ack: an agent's chunk is not acknowledged before it is safe",
        _code("sort/stage.py"),
        "stream.noack().events()",
        "stream.events()",
        "tests/integration/test_sort_commits.py::test_nothing_is_committed_while_the_sorted_topic_takes_nothing",
    ),
    # --- what a sorted partition says, and how it is read ---------------------------------------------------------
    Mutation(
        "names-previous: a block names the end of its session's range before it",
        _code("sort/sorter.py"),
        "        self._promise(rounds)\n",
        "",
        f"{_SORTER}::test_blocks_name_the_end_of_the_sessions_range_before",
    ),
    Mutation(
        "hole-guard: nothing is read past a missing range",
        _code("kafka/reader.py"),
        "        self._refuse_hole(meta, where)\n",
        "",
        f"{_READER}::test_a_missing_range_is_a_hole_and_nothing_is_read_past_it",
    ),
    Mutation(
        "watermarks: rows of a range that was produced again come once",
        _code("kafka/reader.py"),
        "        if not overlapping:\n",
        "        if True:\n",
        f"{_READER}::test_rows_of_a_range_cut_anew_come_once",
    ),
    Mutation(
        "watermark-ids: a watermark is about a topic's id, not about its name or partition",
        _code("kafka/reader.py"),
        "return self._position.watermarks.get((source.topic_id, source.partition), (-1, -1))",
        "return max((at for (_, p), at in self._position.watermarks.items() if p == source.partition), "
        "default=(-1, -1))",
        f"{_READER}::test_the_same_offsets_of_another_topic_id_are_other_rows",
    ),
    Mutation(
        "watermarks-stored: a position brings its watermarks along",
        _code("kafka/cursors.py"),
        'position = Position(record["offset"], MappingProxyType(marks), record["floor"], since)',
        'position = Position(record["offset"])',
        f"{_SINK_WORKER}::test_rows_come_to_rest_in_their_tenants_tables_and_the_position_follows",
    ),
    Mutation(
        "routing: a row goes to the same place for ever",
        _code("sort/routing.py"),
        "zlib.crc32(tenant.encode(), self._salt) % self.partitions",
        "hash((self._salt, tenant)) % self.partitions",
        "tests/unit/test_regroup.py::test_routing_depends_on_dataset_and_tenant_alone_and_never_changes",
    ),
    # --- shards ---------------------------------------------------------------------------------------------------
    Mutation(
        "route-row: a change of shards holds from its marker on, row by row",
        _code("sort/routing.py"),
        "known & (offsets >= starts[np.where(known, ingest, 0)])",
        "known",
        "tests/unit/test_routing.py::test_a_change_holds_from_its_marker_on_in_each_ingest_partition_by_itself",
    ),
    Mutation(
        "route-grown: a change of shards does not hold in a partition without its marker",
        _code("sort/routing.py"),
        "known = ingest < len(starts)",
        "known, starts = ingest >= 0, np.append(starts, [0] * 99)",
        "tests/unit/test_routing.py::test_a_change_does_not_hold_in_a_partition_without_its_marker_nor_in_another_topic",
    ),
    Mutation(
        "marker-wait: rows behind a marker wait for the generation that it names",
        _code("sort/sorter.py"),
        "in unit.chunks), gathered.marked)",
        "in unit.chunks), frozenset())",
        f"{_SORTER}::test_b8_rows_behind_a_marker_wait_for_its_generation_and_go_by_its_routes",
    ),
    Mutation(
        "marker-passed: who goes on behind a marker waits for its generation as well",
        _code("sort/sorter.py"),
        "self._routes.at_least(max(chunk.routing for chunk in unit.chunks), ",
        "self._routes.at_least(0, ",
        f"{_SORTER}::test_b8_who_goes_on_behind_a_marker_that_another_passed_waits_as_well",
    ),
    Mutation(
        "marker-noted: a commit notes the generation that the rows before it asked for",
        _code("sort/transport.py"),
        'return f"{topic_id} {routing}" if routing else topic_id',
        "return topic_id",
        f"{_TRANSPORT}::test_t8_what_a_chunk_asked_for_is_noted_with_its_commit_and_asked_for_by_the_next_one",
    ),
    Mutation(
        "marker-lost: where retention may have removed markers the newest generation is waited for",
        _code("sort/transport.py"),
        "return await asyncio.to_thread(self._owner.newest) or 0",
        "return 0",
        f"{_TRANSPORT}::test_t8_where_retention_may_have_removed_markers_the_newest_configuration_is_asked_for",
    ),
    Mutation(
        "marker-forged: a marker that nobody published holds nobody up",
        _code("sort/routes.py"),
        "if newest < needed:",
        "if newest < 0:",
        "tests/unit/test_routing.py::test_r2_a_marker_that_nobody_published_holds_nobody_up_and_is_not_noted",
    ),
    Mutation(
        "routes-kept: a route is kept as long as the log has a row that goes by it",
        _code("config/shards.py"),
        "return len(later.starts) >= len(route.starts) and all(",
        "return any(",
        "tests/unit/test_shards.py::test_h3_a_route_is_kept_until_the_log_begins_behind_the_next_one_in_every_partition",
    ),
    Mutation(
        "routes-in-force: whoever goes back to a generation gets its shards, not its routes",
        _code("config/shards.py"),
        "routes = kept.pop((name, dataset), ())",
        "routes = wanted.routes",
        "tests/unit/test_shards.py::test_h2_routes_are_those_in_force_whatever_the_wanted_tenant_brings_along",
    ),
    Mutation(
        "routes-retired: routes outlive the tenant whose rows went by them",
        _code("config/shards.py"),
        "retired = tuple(Retired(name, dataset, routes) for (name, dataset), routes in sorted(kept.items()))",
        "retired = ()",
        "tests/unit/test_shards.py::test_h3_routes_outlive_the_tenant_and_come_back_with_it",
    ),
    Mutation(
        "whale-thread: a whale's flushes leave a thread to the small tenants",
        _code("sink/flushes.py"),
        "Lane.LARGE: threads,",
        "Lane.LARGE: 4 * threads,",
        "tests/unit/test_sink_lanes.py::test_l4_large_flushes_of_however_many_partitions_leave_a_thread_to_the_small_ones",
    ),
    Mutation(
        "whale-memory: who holds most is not read on before memory is full for all",
        _code("sink/pausing.py"),
        "return found | _heavy(partitions) if budget.pressed else found",
        "return found",
        f"{_SINK}::test_when_memory_presses_only_who_has_read_most_and_not_stored_it_pauses_until_it_is_relieved",
    ),
    # --- tables ---------------------------------------------------------------------------------------------------
    Mutation(
        "txn-compare: rows that the table holds are not stored again",
        _code("table/table.py"),
        "start = 0 if stored is None else int(np.searchsorted(offsets, stored))",
        "start = 0",
        f"{_TABLE}::test_a_repeated_append_changes_nothing",
    ),
    Mutation(
        "txn-same-commit: rows and how far they reach are one commit, a table's first included",
        _code("table/log.py"),
        '[{"commitInfo": info}, {"txn": {"appId": app_id, "version": upto}}]',
        '[{"commitInfo": info}]',
        f"{_TABLE}::test_rows_and_how_far_they_reach_are_one_commit",
    ),
    Mutation(
        "loaded-snapshot: a commit stands on the version where the txn was read",
        _code("table/table.py"),
        "done = log.commit(self._store, self.path, head, files, app_id, upto, self._clock)",
        "done = log.commit(self._store, self.path, self._load(app_id) or head, files, app_id, upto, self._clock)",
        f"{_TABLE}::test_a_zombie_stores_only_rows_that_nobody_has_stored",
    ),
    Mutation(
        "reload: after any failure the table is read again",
        _code("table/table.py"),
        "            self._pause(attempt)\n            head = self._load(app_id)\n",
        "            self._pause(attempt)\n",
        f"{_TABLE}::test_a_commit_that_succeeded_unheard_is_not_repeated",
    ),
    Mutation(
        "put-if-absent: of simultaneous commits one wins",
        _code("table/bucket.py"),
        'data, mode="create", ',
        "data, ",
        "tests/integration/test_table_store.py::test_four_processes_that_write_one_table_store_each_row_once",
    ),
    Mutation(
        "probe: a store that ignores If-None-Match is refused",
        _code("table/probe.py"),
        "if winners != 1:",
        "if winners < 1:",
        "tests/integration/test_table_store.py::test_the_probe_refuses_a_store_that_ignores_the_condition",
    ),
    Mutation(
        "deleted-by-hand: an entry is put only on a log that is there",
        _code("table/log.py"),
        "if store.tag(head.anchor[0]) != head.anchor[1]:",
        "if False:",
        f"{_TABLE}::test_a_table_deleted_by_hand_is_made_again",
    ),
    Mutation(
        "known-again: a table made anew is told from the one before it, however alike their logs are",
        _code("table/store.py"),
        'f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"',
        'f"{found.st_size}"',
        f"{_TABLE}::test_a_table_made_again_with_an_entry_as_long_is_not_taken_for_the_old_one",
    ),
    Mutation(
        "txn-kept: a table that may forget how far it has come is refused",
        _code("table/schema.py"),
        "        if name in metadata.configuration:",
        "        if False:",
        f"{_TABLE}::test_a_table_that_hides_old_transactions_is_refused",
    ),
    # --- the sink -------------------------------------------------------------------------------------------------
    Mutation(
        "durable-first: the position never passes a row that is not durable",
        _code("sink/progress.py"),
        "            if held is not None and read.position.offset > held:\n                break\n",
        "",
        f"{_SINK}::test_the_commit_goes_up_to_the_first_offset_that_is_not_durable",
    ),
    Mutation(
        "flights-hold: rows in flight hold the commit back",
        _code("sink/buffers.py"),
        "return self.flight.segments[0].first if self.flight else self.segments[0].first",
        "return self.segments[0].first if self.segments else 1 << 60",
        "tests/unit/test_sink_buffers.py::test_the_lowest_offset_that_is_not_durable_is_held_also_while_it_flies",
    ),
    Mutation(
        "membership: Kafka takes offsets of no member from anyone, so a zombie must not ask",
        _code("kafka/transaction.py"),
        "    if not before or consumer.memberid() != before:",
        "    if False:",
        f"{_TRANSACTION}::test_a_consumer_in_no_group_has_no_membership_to_commit_with",
    ),
    Mutation(
        "messages-first: messages are in the log before the membership is checked",
        _code("kafka/transaction.py"),
        "            deliveries.wait(max(0.0, deadline - time.monotonic()))  # X1\n",
        "",
        f"{_TRANSACTION}::test_messages_are_in_the_log_before_the_membership_is_asked_for",
    ),
    Mutation(
        "in-one-transaction: the group's offsets move with the positions or not at all",
        _code("kafka/transaction.py"),
        "self._again(deadline, lambda: producer.send_offsets_to_transaction(list(offsets), present, 5.0))",
        "pass",
        f"{_TRANSACTION}::test_messages_and_offsets_are_committed_together",
    ),
    Mutation(
        "open-transactions: an owner waits until none is open, then reads to the end",
        _code("kafka/cursors.py"),
        'config | {"enable.partition.eof": True}',
        'config | {"enable.partition.eof": True, "isolation.level": "read_uncommitted"}',
        f"{_SINK_WORKER}::test_a_successor_waits_for_the_transaction_that_a_dying_owner_left_open",
    ),
    Mutation(
        "high-watermark: the end that is waited for lies behind open transactions",
        _code("kafka/cursors.py"),
        "isolation_level=IsolationLevel.READ_UNCOMMITTED",
        "isolation_level=IsolationLevel.READ_COMMITTED",
        f"{_SINK_WORKER}::test_a_successor_waits_for_the_transaction_that_a_dying_owner_left_open",
    ),
    Mutation(
        "revoke-waits: no flush outlives its revoke",
        _code("sink/worker.py"),
        "        if not self._pool.settle(theirs, _REVOKE_SECONDS):",
        "        if False:",
        "tests/unit/test_sink_revoke.py::test_a_revoked_partitions_flush_is_waited_for_and_its_rows_are_committed",
    ),
    Mutation(
        "letters-with-position: a dead letter goes out with the commit that passes it and with no other",
        _code("sink/partition.py"),
        "return [letter for letter in self._letters if letter.offset < position.offset]",
        "return list(self._letters)",
        f"{_SINK}::test_a_dead_letter_goes_out_with_the_commit_that_passes_it_and_with_no_other",
    ),
    Mutation(
        "older-configuration: an owner who does not know all tenants passes over none",
        _code("sink/placing.py"),
        "    if stored.generation > found.generation:",
        "    if False:",
        f"{_SINK}::test_what_cannot_be_trusted_stops_the_partition",
    ),
    Mutation(
        "new-topic: a position is about a topic's id",
        _code("sink/placing.py"),
        "        if not found.adopted:",
        "        if False:",
        f"{_SINK}::test_what_cannot_be_trusted_stops_the_partition",
    ),
    Mutation(
        "beyond-end: a position past the log's end stops the partition",
        _code("sink/placing.py"),
        "    if position.offset > found.end:",
        "    if False:",
        f"{_SINK}::test_what_cannot_be_trusted_stops_the_partition",
    ),
    Mutation(
        "partition-count: another number of partitions than declared stops the partition",
        _code("sink/placing.py"),
        "    if found.partitions != found.declared_partitions:",
        "    if False:",
        f"{_SINK}::test_what_cannot_be_trusted_stops_the_partition",
    ),
    Mutation(
        "age-first: rows past their age go before larger ones",
        _code("sink/schedule.py"),
        'return due.cause != "age", due.pair.since',
        "return False, -due.pair.bytes",
        f"{_SINK}::test_rows_past_their_age_go_before_larger_ones",
    ),
    Mutation(
        "app-id: a table knows a sorted topic by its id",
        _code("sink/partition.py"),
        'return f"logflume/{self.topic_id}/{self.number}"',
        'return f"logflume/{self.topic}/{self.number}"',
        f"{_SINK_WORKER}::test_a_topic_made_again_is_not_taken_for_the_old_one_until_it_is_adopted",
    ),
    Mutation(
        "whole-blocks: no flight claims a block whose rows were refused",
        _code("sink/partition.py"),
        "        return self._position\n",
        "        return self._reader.position\n",
        f"{_SINK}::test_a_block_of_a_newer_contract_is_not_passed_and_no_flight_claims_it",
    ),
    Mutation(
        "exact-letters: a dead letter of a row keeps every digit",
        _code("formats/records.py"),
        "extra.dumps(record).encode()",
        "__import__('orjson').dumps(record)",
        f"{_SINK}::test_an_unwanted_row_is_kept_to_the_last_digit_and_half_character",
    ),
    Mutation(
        "given-up: no flush of a partition that was lost or dropped begins",
        _code("sink/assigned.py"),
        "            self._pool.settle([partition], 0)\n",
        "",
        "tests/unit/test_sink_revoke.py::test_no_flush_of_a_partition_that_was_given_up_begins",
    ),
    Mutation(
        "straggler: a process whose flush would outlive its revoke ends",
        _code("sink/worker.py"),
        "            if not self._ending:\n                raise Fatal",
        "            if False:\n                raise Fatal",
        "tests/unit/test_sink_revoke.py::test_a_flush_that_would_outlive_its_revocation_ends_the_process",
    ),
    Mutation(
        "in-doubt: after a commit in doubt nothing more is committed",
        _code("kafka/transaction.py"),
        "        if self._doubt is not None:",
        "        if False:",
        "tests/unit/test_transactions.py::test_after_a_commit_in_doubt_nothing_more_is_committed",
    ),
    Mutation(
        "sorted-header: a sorted block that belies its header is refused",
        _code("block/sorted.py"),
        "    if said != str(batch.num_rows).encode():",
        "    if False:",
        "tests/unit/test_block.py::test_a_sorted_block_that_is_not_as_a_sorter_writes_it_is_refused",
    ),
    Mutation(
        "gap: offsets that are missing in the middle of a sorted log stop the partition",
        _code("sink/worker.py"),
        "        if offset != partition.position.offset:",
        "        if False:",
        f"{_GUARDS}::test_a_gap_in_the_log_stops_its_partition_before_it_is_read_past",
    ),
    Mutation(
        "hurry: what lies behind the commit is bounded",
        _code("sink/flushing.py"),
        "            self._hurry()\n",
        "            pass\n",
        f"{_GUARDS}::test_whoever_holds_the_commit_back_is_flushed_when_too_much_lies_behind_it",
    ),
    Mutation(
        "same-topic-stored: of a topic made again nothing is stored",
        _code("sink/rests.py"),
        "        self._same.check(partition.topic, partition.topic_id, flush.taken_at)  # R1\n",
        "",
        f"{_GUARDS}::test_of_a_topic_made_again_nothing_is_stored",
    ),
    Mutation(
        "newer-configuration: a block that an edge took by a newer configuration is not judged by an older one",
        _code("sink/generations.py"),
        "        if now - self._met.setdefault(generation, now) < self._wait_seconds:\n            return True\n",
        "        self._met.setdefault(generation, now)\n",
        f"{_GENERATIONS}::test_g2_a_block_of_a_newer_configuration_waits_for_it_and_is_judged_by_it",
    ),
    Mutation(
        "gone-jobs: rows of a job that is gone hold the commit no more",
        _code("sink/partition.py"),
        "            if wanted is None:\n                self._forsake(outlet, pair)",
        "            if wanted is None:\n                pass",
        f"{_GENERATIONS}::test_a5_rows_of_a_job_that_is_gone_are_let_go_and_hold_the_commit_no_more",
    ),
    Mutation(
        "gone-and-back: what may be in a job's object comes into no other when the job comes back",
        _code("sink/cuts.py"),
        "        line.done = intent.end\n",
        "",
        f"{_GENERATIONS}::test_a5_a_stored_cut_that_is_read_again_is_dropped_with_its_job",
    ),
    # --- file jobs: frozen cuts -----------------------------------------------------------------------------------
    Mutation(
        "intent-first: an object is begun only when Kafka has its intent",
        _code("sink/partition.py"),
        "        pair.waiting = True\n",
        "",
        f"{_CUTS}::test_a_cut_is_not_written_before_kafka_has_its_intent",
    ),
    Mutation(
        "frozen-cut: what failed is written again as it was, without the rows that came since",
        _code("sink/buffers.py"),
        "        if flight.intent is None:\n            pair.segments[:0]",
        "        if True:\n            pair.segments[:0]",
        f"{_CUTS}::test_a_failed_cut_stays_as_it_is_and_later_rows_wait_for_the_next",
    ),
    Mutation(
        "job-cursor: rows in a durable object are not taken in again",
        _code("sink/cuts.py"),
        "if line is None or offset >= line.done)",
        ")",
        f"{_CUTS}::test_rows_that_are_in_a_durable_object_are_not_taken_in_again",
    ),
    Mutation(
        "cursor-kept: a job that is ahead of the position has a record",
        _code("sink/cuts.py"),
        "told = line.intent is not None or line.done > said",
        "told = line.intent is not None",
        f"{_CUTS}::test_a_jobs_record_stands_only_while_it_says_more_than_the_position",
    ),
    Mutation(
        "same-cut: a stored cut is written whole, before anything else of its job",
        _code("sink/buffers.py"),
        "gathering=outlet in self._gathering",
        "gathering=False",
        f"{_CUTS}::test_a_stored_cut_is_written_as_it_says_when_its_last_row_was_read_again",
    ),
    Mutation(
        "other-topics-cut: a stored cut of a topic that is gone is not written",
        _code("sink/cuts.py"),
        "        if cursor.topic_id != self._topic_id:\n",
        "        if False:\n",
        f"{_CUTS}::test_a_record_that_says_nothing_any_more_is_deleted",
    ),
    Mutation(
        "same-topic-committed: of a topic made again nothing is committed",
        _code("sink/commit.py"),
        "            self._same.check(partition.topic, partition.topic_id, began)\n",
        "            pass\n",
        f"{_GUARDS}::test_of_a_topic_made_again_nothing_is_committed",
    ),
    Mutation(
        "lost-recorded: what retention took before it was read is recorded",
        _code("sink/partition.py"),
        "            self._record_loss(*start.lost)\n",
        "            pass\n",
        f"{_SINK}::test_what_retention_took_is_recorded_with_its_exact_offsets",
    ),
    Mutation(
        "overhead: memory counts what Arrow and Python keep beside the values",
        _code("sink/held.py"),
        " + COLUMN_BYTES * batch.num_columns + SEGMENT_BYTES * users",
        "",
        f"{_GUARDS}::test_a_held_batch_counts_with_what_its_columns_and_segments_cost_beside_their_values",
    ),
    Mutation(
        "no-pinning: a row or two do not keep a large block in memory",
        _code("sink/held.py"),
        "    if small and 2 * sum",
        "    if False and 2 * sum",
        "tests/unit/test_sink_buffers.py::test_small_runs_of_a_block_with_large_ones_do_not_pin_it",
    ),
    Mutation(
        "one-take: the small segments of all tenants are put together by one copy",
        _code("sink/buffers.py"),
        "        if pair.small(_MERGE_SEGMENTS):",
        "        if False:",
        "tests/unit/test_sink_buffers.py::test_many_small_segments_are_merged_into_one_a_tenant",
    ),
    # --- what Kafka is told ---------------------------------------------------------------------------------------
    Mutation(
        "commit-id: the sorter's commits carry the topic's id",
        _code("sort/transport.py"),
        "OffsetAndMetadata(offset, self._owner.note(tp))",
        'OffsetAndMetadata(offset, "")',
        f"{_TRANSPORT}::test_commits_carry_the_topics_id_and_only_what_is_assigned",
    ),
    Mutation(
        "commit-id-read: an offset of a topic made again is not taken for the new one's",
        _code("sort/transport.py"),
        "if noted and noted != topic_id:",
        "if False:",
        f"{_TRANSPORT}::test_an_offset_of_a_topic_that_was_made_again_is_not_taken_for_the_new_ones",
    ),
    Mutation(
        "sorter-beyond-end: an offset past the log's end stops the partition",
        _code("sort/transport.py"),
        "        if committed.offset > end:",
        "        if False:",
        f"{_TRANSPORT}::test_an_offset_beyond_the_end_stops_the_partition_and_says_so",
    ),
    Mutation(
        "sorter-no-jump: auto.offset.reset is none for aiokafka",
        _code("sort/stage.py"),
        'consumer_auto_offset_reset="none"',
        'consumer_auto_offset_reset="earliest"',
        f"{_PROMISES}::test_the_app_never_jumps_and_drains_before_it_ends",
    ),
    Mutation(
        "drain: SIGTERM does not acknowledge what is in work",
        _code("sort/stage.py"),
        "stream_wait_empty=True",
        "stream_wait_empty=False",
        f"{_PROMISES}::test_the_app_never_jumps_and_drains_before_it_ends",
    ),
    Mutation(
        "read-committed-aiokafka: records of aborted transactions are not read by the sorter",
        _code("sort/transport.py"),
        '        consumer._isolation_level = "read_committed"  # T3; read when the consumer starts\n',
        "",
        "tests/integration/test_sort_commits.py::test_records_of_an_aborted_transaction_are_not_sorted",
    ),
    Mutation(
        "read-committed: records of aborted transactions are not read",
        _code("kafka/client.py"),
        '"isolation.level": "read_committed"',
        '"isolation.level": "read_uncommitted"',
        f"{_CLIENTS}::test_a_consumer_never_jumps_and_never_commits_by_itself_whatever_the_options_say",
    ),
    Mutation(
        "no-jump: auto.offset.reset is error",
        _code("kafka/client.py"),
        '"auto.offset.reset": "error"',
        '"auto.offset.reset": "earliest"',
        f"{_CLIENTS}::test_a_consumer_never_jumps_and_never_commits_by_itself_whatever_the_options_say",
    ),
    Mutation(
        "no-auto-commit: nobody commits but the commit rule",
        _code("kafka/client.py"),
        '"enable.auto.commit": False',
        '"enable.auto.commit": True',
        f"{_CLIENTS}::test_a_consumer_never_jumps_and_never_commits_by_itself_whatever_the_options_say",
    ),
    Mutation(
        "idempotence: producers are idempotent and wait for all replicas",
        _code("kafka/client.py"),
        '        "enable.idempotence": True,\n        "acks": "all",\n',
        "",
        f"{_CLIENTS}::test_a_producer_stays_idempotent_whatever_the_options_say",
    ),
    Mutation(
        "no-second-send: a client never sends again what may have been stored",
        _code("edge/publisher.py"),
        "if error.code() not in NOT_STORED or error.fatal():\n            self._end_with",
        "if error.fatal():\n            self._end_with",
        "tests/unit/test_edge_publisher.py::"
        "test_p3_a_failure_that_may_hide_a_stored_message_ends_it_and_nothing_is_produced_again",
    ),
    Mutation(
        "looked-for: what was in flight at a crash is sent again only when it is not in Kafka",
        _code("edge/spool/doubts.py"),
        "            if each.tag in tags:\n",
        "            if False:\n",
        "tests/unit/test_edge_publisher.py::"
        "test_what_a_killed_process_had_in_flight_is_looked_for_and_sent_only_if_it_is_not_there",
    ),
    Mutation(
        "fsync-first: what the spool took outlives the machine",
        _code("edge/spool/journal.py"),
        "        if durable:\n",
        "        if False:\n",
        "tests/unit/test_spool.py::test_j2_a_segment_that_failed_is_left_and_what_was_being_written_goes_to_the_next",
    ),
    Mutation(
        "sent-twice: one broken byte does not make a message be sent again",
        _code("edge/spool/spool.py"),
        "2 * self._frame(Kind.SENT",
        "self._frame(Kind.SENT",
        "tests/unit/test_spool.py::test_that_a_message_was_sent_survives_one_broken_byte",
    ),
    Mutation(
        "no-leader: what stands in a partition that can't be read now is not sent elsewhere",
        _code("edge/spool/doubts.py"),
        '            raise Retryable("what stands there',
        '            Retryable("what stands there',
        "tests/unit/test_edge_publisher.py::"
        "test_do3_what_was_sent_to_a_partition_without_a_leader_is_asked_for_again_and_not_sent_elsewhere",
    ),
    Mutation(
        "left-to-the-next: a closed client does not send what the next opener of its spool sends",
        _code("edge/publisher.py"),
        "            self._producer.purge()\n",
        "",
        "tests/unit/test_edge_client.py::"
        "test_p7_what_a_closed_client_had_in_flight_is_left_to_the_next_opener_of_its_spool",
    ),
    Mutation(
        "places-with-lines: how far a file was read becomes durable with what was read",
        _code("edge/tail/follower.py"),
        "            self._spool.put(turn.messages, turn.marks)\n",
        "            self._spool.put(turn.messages, {})\n",
        "tests/unit/test_tail.py::test_t3_a_file_renamed_while_nobody_followed_is_known_again",
    ),
    Mutation(
        "cut-and-grown: a file that was cut and has grown past its place since is begun anew",
        _code("edge/tail/followed.py"),
        "        if not data.startswith(before + self._held):\n            return None\n",
        "",
        "tests/unit/test_tail.py::test_t4_a_file_that_was_cut_and_grew_past_its_place_is_begun_anew",
    ),
    Mutation(
        "held-at-a-cut: a record that was read and not at its end survives the cut",
        _code("edge/tail/followed.py"),
        "reading.take(self._held, Until.LINE, about)",
        'reading.take(b"", Until.LINE, about)',
        "tests/unit/test_tail.py::test_t4_a_record_that_was_read_but_not_at_its_end_survives_the_cut",
    ),
    Mutation(
        "if-none-match: an object that is there is not written again by one who comes late",
        _code("destinations/bucket.py"),
        'Body=io.BytesIO(view), IfNoneMatch="*", ',
        "Body=io.BytesIO(view), ",
        "tests/faults/test_destinations_misbehave.py::test_a_late_put_of_one_who_gave_up_changes_nothing",
    ),
    Mutation(
        "upload-abort: parts of an object that failed do not stay",
        _code("destinations/bucket.py"),
        "        except BaseException:  # a cancelled one too (B2)\n            await self._abort(key, upload)\n",
        "        except BaseException:\n",
        "tests/faults/test_destinations_misbehave.py::test_an_upload_whose_time_is_over_is_aborted_and_leaves_nothing",
    ),
    Mutation(
        "file-fsync: a job's file is on disk before it has its name",
        _code("destinations/folder.py"),
        "                file.flush()\n                os.fsync(file.fileno())\n",
        "                file.flush()\n",
        "tests/unit/test_folder_destination.py::"
        "test_f1_a_file_has_its_bytes_on_disk_before_its_name_and_its_folder_after",
    ),
    Mutation(
        "empty-row: a row without any value is a line of NDJSON too",
        _code("formats/out/ndjson.py"),
        'pc.if_else(nothing, pa.scalar(b"", BINARY), columns[0])',
        "columns[0]",
        "tests/unit/test_formats_out.py::test_a_row_without_any_value_is_an_empty_object",
    ),
    Mutation(
        "log-append-time: an edge with a slow clock loses nothing to retention (ingest)",
        "topics/topics.yaml",
        "what nobody has read\n      message.timestamp.type: LogAppendTime",
        "what nobody has read\n      message.timestamp.type: CreateTime",
        f"{_TOPICS}::test_every_topic_that_deletes_by_time_does_so_by_the_brokers_clock_and_never_by_size",
    ),
    Mutation(
        "large-letters: the dead-letter topic takes what another topic took",
        "topics/topics.yaml",
        "max.message.bytes: 17825792",
        "max.message.bytes: 4194304",
        f"{_TOPICS}::test_topics_of_blocks_take_4_mb_and_dead_letters_16",
    ),
    Mutation(
        "same-count: the partitions of a sorted topic never change in place",
        "topics/topics.yaml",
        "    partitions: {local: 16, real: 256}\n",
        "    partitions: {local: 16, real: 256}\n    partitions_grow: true\n",
        f"{_TOPICS}::test_only_ingest_topics_may_gain_partitions",
    ),
    # --- drills: the verdict ----------------------------------------------------------------------------------------
    Mutation(
        "drill-sums: a drill whose sums are wrong fails",
        _code("drill/verdict.py"),
        'f"{check.counted:,}", check.ok)',
        'f"{check.counted:,}", ok=True)',
        f"{_DRILLS}::test_p1_one_row_lost_or_stored_twice_fails",
    ),
    Mutation(
        "drill-empty: a drill that counted nothing fails",
        _code("drill/verdict.py"),
        "    if not facts.sums:\n",
        "    if facts.sums is None:\n",
        f"{_DRILLS}::test_p1_a_drill_that_counted_nothing_fails",
    ),
    Mutation(
        "drill-rate: those who were there before keep nine tenths of their rate",
        _code("drill/verdict.py"),
        "rates.before > 0 and rate >= least",
        "rates.before > 0",
        f"{_DRILLS}::test_p2_a_tenth_less_than_the_rate_before_is_the_limit_and_the_promise_says_when",
    ),
    Mutation(
        "drill-memory: no process takes more than its budget and 300 MB",
        _code("drill/verdict.py"),
        "0 < most <= limit",
        "0 < most",
        f"{_DRILLS}::test_p3_a_byte_above_budget_and_spare_fails_and_names_the_process",
    ),
    Mutation(
        "drill-recovery: what does not recover in time fails",
        _code("drill/verdict.py"),
        "seconds is not None and seconds <= promise.recover_seconds",
        "seconds is not None",
        f"{_DRILLS}::test_p4_not_recovered_in_time_fails",
    ),
    Mutation(
        "drill-waiting: the others wait at most twice as long",
        _code("drill/verdict.py"),
        "during <= limit)",
        "during > 0)",
        f"{_DRILLS}::test_p5_others_may_wait_twice_as_long_and_not_longer",
    ),
    Mutation(
        "drill-own: what a drill found by itself counts",
        _code("drill/verdict.py"),
        "(*found, *facts.own)",
        "tuple(found)",
        f"{_DRILLS}::test_what_a_drill_found_by_itself_counts_too",
    ),
    Mutation(
        "drill-doubt: what was handed over and not answered is in doubt, not acknowledged",
        _code("drill/sender.py"),
        "            return DOUBTFUL, 0\n",
        "            return ACKNOWLEDGED, 0\n",
        f"{_BOOKS}::test_a_sender_books_what_was_said_and_sends_again_only_what_was_refused",
    ),
)
