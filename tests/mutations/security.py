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
)
