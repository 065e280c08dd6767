"""Mutations of the edge: what it keeps, sends once, refuses, and how it holds back."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_HOLDING = "tests/unit/test_edge_holding.py"
_RESTRAINT = "tests/unit/test_restraint.py"

MUTATIONS = (
    Mutation(
        "restraint: at stop the client takes nothing new (RE3, I7)",
        code("edge/restraint.py"),
        "return math.inf",
        "return 0.0",
        f"{_RESTRAINT}::test_i7_at_stop_each_call_says_why_it_took_nothing_and_what_was_taken_before_is_sent",
    ),
    Mutation(
        "slower: at slow an edge takes a part of what it took before (RE2)",
        code("edge/restraint.py"),
        "                self._credit -= size\n",
        "",
        f"{_RESTRAINT}::test_re2_at_slow_an_edge_takes_that_part_of_what_it_took_before",
    ),
    Mutation(
        "spool-band: a spool that was full is so until it is well below (RE4)",
        code("edge/restraint.py"),
        "share >= self._full or (self._spool_full and share > self._resume)",
        "share >= self._full",
        f"{_RESTRAINT}::test_re4_a_spool_that_wobbles_between_its_marks_changes_nothing",
    ),
    Mutation(
        "503-at-stop: while the pipeline asks to stop no body is received (L3)",
        code("edge/http/landing.py"),
        "            if delay > _SLOW_SECONDS:\n",
        "            if False:\n",
        f"{_RESTRAINT}::test_l3_a_debt_longer_than_a_request_may_wait_is_answered_503",
    ),
    Mutation(
        "pace-before: the time under pressure says nothing of an edge's pace (RE2)",
        code("edge/restraint.py"),
        "                self._window = (self._clock.monotonic(), 0)  # the time",
        "                pass  # the time",
        f"{_RESTRAINT}::test_re2_a_long_pressure_does_not_make_the_pace_before_the_next_one_smaller",
    ),
    Mutation(
        "read-goes-in: what an edge has read of syslog goes in at its end, whatever the pressure",
        code("edge/client.py"),
        "        self._signals.close()\n        self._intake.press(NO_PRESSURE)\n",
        "",
        "tests/integration/test_syslog.py::test_what_was_read_goes_in_at_a_sigterm_although_the_pipeline_asks_to_stop",
    ),
    Mutation(
        "not-handed-on: an edge that ends and could not hand on what it has read of syslog fails (SY4)",
        code("edge/syslog/server.py"),
        "                self._failed(Unavailable(",
        "                str(Unavailable(",
        "tests/integration/test_syslog_server.py::test_what_a_stop_could_not_hand_on_is_counted",
    ),
    Mutation(
        "receipts: nobody is told while pieces are still being placed",
        code("edge/intake.py"),
        "            receipt.owe()  # for the time of placing, or the first piece's report could end it\n",
        "",
        "tests/unit/test_edge_offer.py::test_r2_bad_records_are_named_with_their_numbers_to_their_own_receipt",
    ),
    Mutation(
        "slow-heads: who drips a head does not hold a connection",
        code("web/connection.py"),
        "            if self._timer is None:\n                self._arm(self.limits.header_seconds, self._head_late)\n",
        "",
        "tests/integration/test_http_connection.py::test_co1_a_second_head_on_a_connection_is_bounded_too",
    ),
    Mutation(
        "no-second-send: a client never sends again what may have been stored",
        code("edge/publisher.py"),
        "if error.code() not in NOT_STORED or error.fatal():\n            self._end_with",
        "if error.fatal():\n            self._end_with",
        "tests/unit/test_edge_publisher.py::"
        "test_p3_a_failure_that_may_hide_a_stored_message_ends_it_and_nothing_is_produced_again",
    ),
    Mutation(
        "looked-for: what was in flight at a crash is sent again only when it is not in Kafka",
        code("edge/spool/doubts.py"),
        "            if each.tag in tags:\n",
        "            if False:\n",
        "tests/unit/test_edge_publisher.py::"
        "test_what_a_killed_process_had_in_flight_is_looked_for_and_sent_only_if_it_is_not_there",
    ),
    Mutation(
        "fsync-first: what the spool took outlives the machine",
        code("edge/spool/journal.py"),
        "        if durable:\n",
        "        if False:\n",
        "tests/unit/test_spool.py::test_j2_a_segment_that_failed_is_left_and_what_was_being_written_goes_to_the_next",
    ),
    Mutation(
        "sent-twice: one broken byte does not make a message be sent again",
        code("edge/spool/spool.py"),
        "2 * self._frame(Kind.SENT",
        "self._frame(Kind.SENT",
        "tests/property/test_spool.py::test_what_was_taken_is_in_kafka_once_in_long_histories",
    ),
    Mutation(
        "no-leader: what stands in a partition that can't be read now is not sent elsewhere",
        code("edge/spool/doubts.py"),
        '            raise Retryable("what stands there',
        '            Retryable("what stands there',
        "tests/unit/test_edge_publisher.py::"
        "test_do3_what_was_sent_to_a_partition_without_a_leader_is_asked_for_again_and_not_sent_elsewhere",
    ),
    Mutation(
        "left-to-the-next: a closed client does not send what the next opener of its spool sends",
        code("edge/producers.py"),
        "            each.purge()\n",
        "",
        "tests/unit/test_edge_client.py::"
        "test_p7_what_a_closed_client_had_in_flight_is_left_to_the_next_opener_of_its_spool",
    ),
    Mutation(
        "places-with-lines: how far a file was read becomes durable with what was read",
        code("edge/tail/follower.py"),
        "            self._spool.put(turn.messages, turn.marks)\n",
        "            self._spool.put(turn.messages, {})\n",
        "tests/unit/test_tail.py::test_t3_a_file_renamed_while_nobody_followed_is_known_again",
    ),
    Mutation(
        "cut-and-grown: a file that was cut and has grown past its place since is begun anew",
        code("edge/tail/followed.py"),
        "        if not data.startswith(before + self._held):\n            return None\n",
        "",
        "tests/unit/test_tail.py::test_t4_a_file_that_was_cut_and_grew_past_its_place_is_begun_anew",
    ),
    Mutation(
        "held-at-a-cut: a record that was read and not at its end survives the cut",
        code("edge/tail/followed.py"),
        "reading.take(self._held, Until.LINE, about)",
        'reading.take(b"", Until.LINE, about)',
        "tests/unit/test_tail.py::test_t4_a_record_that_was_read_but_not_at_its_end_survives_the_cut",
    ),
    Mutation(
        "held-new: an edge without a configuration sends nothing new",
        code("edge/publisher.py"),
        "        if self._holds():\n            if self._spooling",
        "        if self._held is None:\n            if self._spooling",
        f"{_HOLDING}::test_ho1_without_a_spool_records_wait_in_memory_and_a_flush_says_so",
    ),
    Mutation(
        "held-spool: nor what is in its spool",
        code("edge/publisher.py"),
        "        if self._holds():\n            return\n",
        "",
        f"{_HOLDING}::test_ho1_with_a_spool_they_are_durable_there_and_sent_when_there_is_a_configuration",
    ),
    Mutation(
        "block-generation: a block names the configuration by which its rows were taken",
        code("edge/packing.py"),
        "            generation=self._generation(),\n",
        "",
        "tests/unit/test_edge_packing.py::test_a_block_names_the_generation_that_is_in_force_when_it_is_packed",
    ),
    Mutation(
        "token-again: a token is asked for again when its body is there",
        code("edge/http/gateway.py"),
        "        self._bearer()\n",
        "",
        "tests/unit/test_token_life.py::test_a_body_that_takes_longer_than_its_token_lives_is_not_taken",
    ),
    Mutation(
        "token-scope: who may only search sends nothing",
        code("edge/http/gateway.py"),
        "if not holder.may(Scope.INGEST):",
        "if not holder.tenant:",
        "tests/unit/test_token_life.py::test_a_token_without_the_scope_ingest_sends_nothing_and_hears_which_scope_it_lacks",
    ),
    Mutation(
        "rate-http: a request over its tenant's rate is not taken",
        code("edge/http/gateway.py"),
        "with self._gateway.toll.pay(pieces):",
        "if pieces:",
        "tests/unit/test_http_rates.py::test_t1_over_its_rate_a_tenant_hears_when_to_come_again_and_is_taken_then",
    ),
    Mutation(
        "rate-refund: what found no room costs nothing",
        code("edge/http/toll.py"),
        "not error.in_doubt:",
        "error.in_doubt:",
        "tests/unit/test_http_rates.py::test_t3_what_found_no_room_is_given_back_and_what_is_in_doubt_is_not",
    ),
    Mutation(
        "rate-tail: a file that waits for its tenant's rate is not read to its end",
        code("edge/tail/follower.py"),
        " and not self._blocks.gate.held",
        "",
        "tests/unit/test_tail_gate.py::test_tg1_a_tenant_over_its_rate_is_read_again_when_that_is_made_up_for",
    ),
    Mutation(
        "drop-configured: without a configuration an edge drops nothing",
        code("edge/forwarding.py"),
        "        except Unconfigured:\n            return True",
        "        except Unconfigured:\n            return False",
        "tests/unit/test_admission.py::test_fw1_nothing_is_dropped_without_a_configuration_in_force",
    ),
)
