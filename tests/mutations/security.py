"""Mutations of what secures Kafka: settings, clients, rights."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_SETTINGS = "tests/unit/test_kafka_security.py"
_RIGHTS = "tests/unit/test_rights.py"

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
        "body-time: a body that drips is answered 408 by the explorer",
        code("api/body.py"),
        "    except TimeoutError:",
        "    except ZeroDivisionError:",
        "tests/unit/test_api_body.py::test_one_that_does_not_come_to_its_end_is_answered_408",
    ),
)
