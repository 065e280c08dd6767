"""Mutations of what secures Kafka: settings, clients, rights."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_SETTINGS = "tests/unit/test_kafka_security.py"
_RIGHTS = "tests/unit/test_rights.py"
_RENEWED = "tests/unit/test_edge_producers.py"
_LISTENER = "tests/integration/test_web_listener.py"

MUTATIONS = (
    Mutation(
        "Y1-blank: a blank setting of a secured Kafka is refused",
        code("settings/security.py"),
        "if blank:  # Y1",
        "if False:  # Y1",
        f"{_SETTINGS}::test_a_blank_one_is_refused_even_where_nothing_else_is_said",
    ),
    Mutation(
        "Y1-half: TLS settings beside a protocol without TLS are refused",
        code("settings/security.py"),
        'if not protocol.endswith("SSL"):',
        "if False:",
        f"{_SETTINGS}::test_what_is_half_said_is_refused",
    ),
    Mutation(
        "Y3-faust: Faust's client is told who it is",
        code("sort/stage.py"),
        "broker_credentials=credentials.of(settings),",
        "",
        "tests/unit/test_sort_promises.py::test_faust_is_told_who_it_is_to_kafka_as_librdkafka_is",
    ),
    Mutation(
        "N2-unusable: changed certificates that don't fit together end nobody",
        code("kafka/renewal.py"),
        "            Security.of(self._settings)\n",
        "",
        "tests/unit/test_kafka_renewal.py::test_n2_what_can_not_be_used_yet_is_waited_for",
    ),
    Mutation(
        "N4-again: a change that could not be taken is tried again",
        code("kafka/renewal.py"),
        "        else:\n            self._known = seen\n",
        "        self._known = seen\n",
        "tests/unit/test_kafka_renewal.py::test_n4_what_could_not_be_done_about_a_change_is_tried_again",
    ),
    Mutation(
        "A3-renew: an administrator's client takes a renewed certificate",
        code("kafka/admin.py"),
        "            self._config, self._worn = dict(config), True\n",
        "            self._config = dict(config)\n",
        "tests/unit/test_kafka_admin.py::test_a3_after_a_renewal_the_next_request_goes_by_the_new_configuration",
    ),
    Mutation(
        "looks-renewed: who looks for hours begins anew with a renewed certificate",
        code("watch/looking.py"),
        "        if self._changed.is_set():\n",
        "        if False:\n",
        "tests/unit/test_watch.py::test_who_looks_for_hours_begins_anew_with_a_renewed_password",
    ),
    Mutation(
        "PR1-new: what is produced after a renewal goes by the new certificates",
        code("edge/producers.py"),
        "            self._now = producer\n            self.renewals",
        "            self.renewals",
        f"{_RENEWED}::test_pr1_what_comes_after_a_renewal_goes_to_the_new_producer_and_each_message_to_one",
    ),
    Mutation(
        "PR2-end: an old producer ends what it was given before it is let go",
        code("edge/producers.py"),
        "if len(each)]",
        "if False]",
        f"{_RENEWED}::test_pr1_what_comes_after_a_renewal_goes_to_the_new_producer_and_each_message_to_one",
    ),
    Mutation(
        "PR2-gone: a producer that has nothing left is let go",
        code("edge/producers.py"),
        "if len(each)]",
        "]",
        f"{_RENEWED}::test_pr2_an_old_producer_is_let_go_once_it_has_nothing_left",
    ),
    Mutation(
        "client-renews: an application's client takes a renewed certificate",
        code("edge/client.py"),
        "        self._publisher.renew(self._producer())\n",
        "",
        "tests/integration/test_edge_renewal.py::test_a_client_goes_on_with_a_renewed_certificate_and_loses_nothing",
    ),
    Mutation(
        "rights-named: a right that Kafka does not give is found at a start",
        code("kafka/rights/check.py"),
        "        if any(_operation(acl.operation) not in",
        "        if all(_operation(acl.operation) not in",
        f"{_RIGHTS}::test_what_is_lacking_is_found_on_each_topic_of_a_prefix_and_on_groups",
    ),
    Mutation(
        "rights-hidden: what this process can't even see counts as lacking",
        code("kafka/rights/check.py"),
        "            return set()",
        "            return None",
        f"{_RIGHTS}::test_what_is_lacking_is_found_on_each_topic_of_a_prefix_and_on_groups",
    ),
    Mutation(
        "rights-start: a worker that lacks a right does not start",
        code("kafka/rights/check.py"),
        "    if missing:",
        "    if False:",
        f"{_RIGHTS}::test_only_a_secured_kafka_is_asked",
    ),
    Mutation(
        "rights-watch: a watch that was taken reads no record",
        code("kafka/rights/table.py"),
        '_topic("ingest.", "Describe", "asks how old',
        '_topic("ingest.", "Read", "asks how old',
        "tests/e2e/test_rights.py::test_a_taken_principal_gives_what_security_md_says_and_no_more",
    ),
    Mutation(
        "rights-transactions: a right on a transactional id is missed at a start",
        code("kafka/rights/check.py"),
        "allowed |= {(Kind.TRANSACTIONAL_ID, id): set()",
        "_ = {(Kind.TRANSACTIONAL_ID, id): set()",
        f"{_RIGHTS}::test_a_transactional_id_that_may_not_even_be_seen_is_lacking",
    ),
    Mutation(
        "H1-drip: a worker's own server lets go who drips",
        code("health.py"),
        "                if since <= over:",
        "                if False:",
        "tests/unit/test_health.py::test_h1_a_client_that_drips_is_let_go",
    ),
    Mutation(
        "H2-many: a worker's own server cuts off the oldest of too many connections",
        code("health.py"),
        "            if len(self._open) >= _MOST_CONNECTIONS:",
        "            if False:",
        "tests/unit/test_health.py::test_h2_who_holds_many_connections_keeps_nobody_from_an_answer",
    ),
    Mutation(
        "H1-unread: a worker's own server lets go who does not read, or shake hands",
        code("health.py"),
        "        socket.socket.shutdown(connection, socket.SHUT_RDWR)",
        "        connection.getpeername()",
        "tests/unit/test_health.py::test_h1_a_handshake_that_does_not_end_is_cut_off",
    ),
    Mutation(
        "H4-head: a head at a worker's own server is bounded",
        code("health.py"),
        "        if self._head.left <= 0:\n",
        "        if False:\n",
        "tests/unit/test_health.py::test_h4_a_head_is_bounded",
    ),
    Mutation(
        "HS1-time: a TLS handshake that does not end is cut off",
        code("web/handshakes.py"),
        "ssl_handshake_timeout=self._seconds",
        "ssl_handshake_timeout=300.0",
        f"{_LISTENER}::test_hs1_who_says_nothing_or_drips_is_cut_off_while_others_shake_hands",
    ),
    Mutation(
        "HS2-count: handshakes count like connections, and the oldest gives way",
        code("web/handshakes.py"),
        "        if self._shaking:\n",
        "        if False:\n",
        f"{_LISTENER}::test_hs2_handshakes_count_and_the_oldest_gives_way",
    ),
    Mutation(
        "HS2-told: where all places are taken one newcomer at a time gets through",
        code("web/handshakes.py"),
        "return len(self._connections) <= self._most",
        "return True",
        f"{_LISTENER}::test_hs2_where_all_places_are_taken_one_newcomer_at_a_time_is_told",
    ),
    Mutation(
        "HS3-end: no handshake outlives its listener",
        code("web/handshakes.py"),
        "        for task in list(self._shaking):\n            self._cut(task)\n",
        "",
        f"{_LISTENER}::test_hs3_a_stop_cuts_handshakes_off_and_accepts_nobody",
    ),
    Mutation(
        "CO6-unread: an answer that nobody reads is cut off",
        code("web/connection.py"),
        "self._unread = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)",
        "pass",
        f"{_LISTENER}::test_co6_an_answer_that_nobody_reads_is_cut_off",
    ),
    Mutation(
        "H2-burst: a worker's own server lets a burst of connections wait",
        code("health.py"),
        "    request_queue_size = 2 * _MOST_CONNECTIONS",
        "    request_queue_size = 5",
        "tests/unit/test_health.py::test_h2_a_burst_of_connections_waits_its_turn_and_none_has_to_ask_again",
    ),
    Mutation(
        "body-time: a body that drips is answered 408 by the explorer",
        code("api/body.py"),
        "    except TimeoutError:",
        "    except ZeroDivisionError:",
        "tests/unit/test_api_body.py::test_one_that_does_not_come_to_its_end_is_answered_408",
    ),
)
