"""Mutations of pressure, its levels, and the statuses that tell it."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_LEVELS = "tests/property/test_pressure.py"
_RELEASES = "tests/unit/test_status_releases.py"
_STATUS = "tests/unit/test_status.py"
_WATCH = "tests/unit/test_watch.py"

MUTATIONS = (
    Mutation(
        "releases-resolved: a status of another release is read as this one's",
        code("kafka/single_object.py"),
        "self._other(head, packed), self._schema)",
        "self._other(head, packed), None)",
        f"{_RELEASES}::test_a_newer_releases_word_is_read_without_what_only_it_knows",
    ),
    Mutation(
        "releases-header: a reader of the status topic hands on the schema that a message comes with",
        code("kafka/status/reading.py"),
        "_schema(message.headers()))",
        'b"")',
        f"{_RELEASES}::test_a_reader_of_the_topic_hands_on_the_schema_that_a_message_comes_with",
    ),
    Mutation(
        "releases-writer: a status is read by no schema but the one that it was written by",
        code("kafka/single_object.py"),
        "if _MARKER + avro_schema.fingerprint(schema) != head:",
        "if not schema:",
        f"{_RELEASES}::test_a_schema_of_a_stranger_is_refused_unless_it_is_the_writers_and_safe_to_read_by",
    ),
    Mutation(
        "at-once: at its limit a level holds at once (J1)",
        code("watch/level.py"),
        "    if share >= marks.stop_on:\n        return Level.STOP\n",
        "",
        f"{_LEVELS}::test_j1_at_a_limit_the_level_holds_at_once",
    ),
    Mutation(
        "hold: a level falls only after it was low for a while (J2)",
        code("watch/level.py"),
        "if now - low_since >= marks.hold_seconds:",
        "if True:",
        f"{_LEVELS}::test_j2_it_falls_one_level_at_a_time_and_only_when_it_was_low_for_all_of_the_hold",
    ),
    Mutation(
        "low-all-along: a look in between that is not low begins the hold anew (J2)",
        code("watch/level.py"),
        "return replace(state, low_since=None)",
        "return state",
        f"{_LEVELS}::test_j1_and_j2_hold_in_long_courses",
    ),
    Mutation(
        "band: between its marks a level stays as it is (J3)",
        code("watch/level.py"),
        "if share > off:",
        "if share >= marks.slow_on:",
        f"{_LEVELS}::test_j3_what_wobbles_within_the_band_never_makes_the_level_flap",
    ),
    Mutation(
        "thinned-notes: only near notes are left out, so that an age is never far too large (AG1)",
        code("watch/ages.py"),
        "notes[at + 1][1] - kept[-1][1] < _APART * (now - note[1])",
        "len(kept) > 1",
        f"{_WATCH}::test_ag2_a_long_watch_keeps_few_notes_and_its_ages_stay_true_to_a_tenth",
    ),
    Mutation(
        "single-partitions: what holds up one of many slows nobody down (CA1)",
        code("watch/causes.py"),
        "used[math.ceil(ratio * len(used)) - 1]",
        "used[0]",
        f"{_WATCH}::test_ca1_a_single_late_partition_among_many_slows_nobody_down",
    ),
    Mutation(
        "stopped-partitions: those that wait for somebody do not hold up the others (CA2)",
        code("watch/causes.py"),
        "each.stage == stage and each.partition not in stopped",
        "each.stage == stage",
        f"{_WATCH}::test_ca2_partitions_that_wait_for_somebody_do_not_hold_up_the_others",
    ),
    Mutation(
        "memory-slows: a worker's memory stops no edge (CA3)",
        code("watch/causes.py"),
        "min(_MOST_OF_MEMORY, max(0.0, beyond / limits.memory_bytes))",
        "max(0.0, beyond / limits.memory_bytes)",
        f"{_WATCH}::test_ca3_memory_beyond_its_budget_slows_edges_down_and_never_stops_them",
    ),
    Mutation(
        "one-writes: of several watches one writes (W2)",
        code("watch/worker.py"),
        "        if writes:\n",
        "        if True:\n",
        f"{_WATCH}::test_w2_of_two_watches_one_writes_and_the_other_takes_over_its_level",
    ),
    Mutation(
        "no-level-forgotten: a watch that starts takes over the level that holds (W2)",
        code("watch/worker.py"),
        "(not writes or not self.pressure.by)",
        "not writes",
        f"{_WATCH}::test_w2_a_watch_that_starts_again_forgets_no_level",
    ),
    Mutation(
        "stale-pressure: a pressure that nobody renews is none (V3)",
        code("kafka/status/reading.py"),
        "if age <= stale_seconds(self._pressure.period_seconds) else NO_PRESSURE",
        "",
        f"{_STATUS}::test_v3_a_pressure_is_none_once_three_periods_went_by_without_another",
    ),
    Mutation(
        "stale-worker: who is silent for too long is stale (V2)",
        code("kafka/status/reading.py"),
        "lay = 0.0 if entry.live else max(",
        "lay = 0.0 if True else max(",
        f"{_STATUS}::test_v2_what_lay_in_the_log_is_as_old_as_kafka_says",
    ),
    Mutation(
        "foreign-statuses: what can't be read is passed over (V1)",
        code("kafka/status/record.py"),
        "        if worker.key != key:\n",
        "        if False:\n",
        f"{_STATUS}::test_v1_foreign_bytes_are_passed_over",
    ),
    Mutation(
        "reporter-in-nobodys-way: a worker that can't be measured is told of, and the thread goes on (RP1)",
        code("kafka/status/reporter.py"),
        "        except Exception as failure:  # its own code, in a state that nobody foresaw\n",
        "        except ValueError as failure:\n",
        f"{_STATUS}::test_rp1_whatever_kafka_and_the_worker_do_the_reporter_goes_on_and_ends",
    ),
    Mutation(
        "one-word-waits: while Kafka is away one message waits, no more (O2)",
        code("kafka/status/outbox.py"),
        "            if key in self._waiting:\n",
        "            if False:\n",
        f"{_STATUS}::test_o2_while_kafka_is_away_one_message_waits_and_no_more",
    ),
    Mutation(
        "next-word: a status that can't be written is not the last one (RP2)",
        code("kafka/status/reporter.py"),
        "                except Exception as failure:  # a word",
        "                except KeyError as failure:  # a word",
        f"{_STATUS}::test_rp2_a_word_that_cannot_be_written_is_not_the_last_one",
    ),
    Mutation(
        "asked-before: what came while Kafka was asked is not taken for younger (AG1)",
        code("watch/lateness.py"),
        "self._ages.note(place, row.end, asked)",
        "self._ages.note(place, row.end, now)",
        f"{_WATCH}::test_ag1_what_came_while_kafka_was_asked_is_not_taken_for_younger",
    ),
    Mutation(
        "append-time: an age is never told too small (AP1)",
        code("kafka/appended.py"),
        "if 0 <= offset <= self.offset or self.low is None:",
        "if 0 <= offset <= self.offset + 1 or self.low is None:",
        "tests/unit/test_append_times.py::test_ap1_the_time_is_the_records_own_and_never_a_later_one",
    ),
    Mutation(
        "sinks-wait: a sink that waits for its jobs' objects is not stalled (CO4)",
        code("watch/course.py"),
        '(wait_seconds if each.stage == "sink" else 0.0)',
        "0.0",
        "tests/unit/test_watch_course.py"
        "::test_co4_an_offset_that_stays_with_lag_is_stalled_and_a_sink_may_wait_for_its_jobs",
    ),
    Mutation(
        "others-summed: of tenants that are not named nothing gets lost (TE1)",
        code("kafka/status/shares.py"),
        "        rest = rest.together(share)",
        "        rest = share",
        "tests/unit/test_tenants_told.py::test_te1_few_are_named_those_with_most_and_the_sums_stay",
    ),
    Mutation(
        "letters-before: dead letters of before the watch began are no flood of now (DL1)",
        code("watch/letters.py"),
        "        if self._last is not None:\n",
        "        self._last = self._last or {}\n        if True:\n",
        "tests/unit/test_watch_letters.py::test_dl1_what_was_told_before_the_watch_looked_first_is_no_flood_of_now",
    ),
    Mutation(
        "letters-again: a worker that starts again counts its dead letters from 0 (DL2)",
        code("watch/letters.py"),
        "(seen.status.worker.key, seen.status.worker.started_ms)",
        "(seen.status.worker.key, 0)",
        "tests/unit/test_watch_letters.py::test_dl2_a_worker_that_is_new_or_starts_again_counts_from_0",
    ),
    Mutation(
        "letters-few: a reason that nobody knows makes no series (DL3)",
        code("watch/letters.py"),
        "known = reason if reason in reasons.ALL else OTHER",
        "known = reason",
        "tests/unit/test_watch_letters.py::test_dl3_there_are_few_series_whatever_is_told_and_each_from_the_start",
    ),
    Mutation(
        "untraced: what its edge does not trace nobody traces (TR2)",
        code("traces.py"),
        "span.is_valid and span.trace_flags.sampled",
        "True",
        "tests/unit/test_traces.py::test_tr4_a_header_that_is_no_traces_is_passed_over",
    ),
    Mutation(
        "label-there: a dashboard asks by labels that a metric has (Q1)",
        "deploy/grafana/promql.py",
        "if label not in (*metric.labels, *SCRAPED)]",
        "if not label]",
        "tests/unit/test_dashboards.py::test_an_expression_that_can_not_be_is_refused_when_it_is_written",
    ),
    Mutation(
        "scaled-unit: a unit is not read as a scale by Grafana",
        "deploy/grafana/sdk.py",
        'return "cps" if unit[0] in _SCALES else f"si:{unit}"',
        'return f"si:{unit}"',
        "tests/unit/test_dashboards.py::test_a_unit_whose_first_letter_is_a_scale_is_not_scaled_by_it",
    ),
    Mutation(
        "watch-follows-none: a watch is not shown as a worker without a configuration",
        code("watch/exporter.py"),
        'if seen.status.worker.kind != "watch"',
        "if seen",
        "tests/unit/test_watch_exporter.py"
        "::test_a_watch_follows_no_configuration_and_is_not_shown_as_one_that_lags_behind",
    ),
    Mutation(
        "asked-of-the-past: what came before the watch looked first is asked of the broker in any case (LA3)",
        code("watch/lateness.py"),
        "if not self._ages.reach(place, offset):",
        "if not self._ages.reach(place, offset) and len(unknown) < self._searches:",
        f"{_WATCH}::test_la2_la3_beyond_the_searches_the_broker_is_asked_of_what_came_before_we_looked",
    ),
    Mutation(
        "shown-as-known: of what Kafka does not tell now nothing is shown (W1)",
        code("watch/worker.py"),
        "                exporter.show(Look())",
        "                pass",
        f"{_WATCH}::test_w1_when_kafka_does_not_answer_nothing_is_published_and_the_loop_goes_on",
    ),
)
