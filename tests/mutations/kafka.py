"""Mutations of what Kafka is told, and of what is read out of it: sorted partitions, cursors, transactions."""

from __future__ import annotations

from tests.mutations.mutation import Mutation, code

_READER = "tests/property/test_sorted_partition.py"
_CLIENTS = "tests/unit/test_kafka_client.py"
_TOPICS = "tests/contract/test_topics_yaml.py"
_TRANSACTION = "tests/integration/test_transaction.py"
_SINK_WORKER = "tests/integration/test_sink.py"

MUTATIONS = (
    Mutation(
        "one-in-flight: a refused message is not taken for stored because the one behind it was",
        code("kafka/client.py"),
        "        _IN_FLIGHT: 1,\n",
        "",
        "tests/integration/test_refusal_in_doubt.py::test_a_message_refused_before_the_next_one_lands_is_sent_again",
    ),
    Mutation(
        "admin-anew: an administrator's client that timed out is used no more",
        code("kafka/admin.py"),
        "self._worn = self._worn or number == self._number",
        "pass",
        "tests/unit/test_kafka_admin.py::test_a1_after_a_request_that_timed_out_the_next_one_has_a_new_client",
    ),
    Mutation(
        "admin-let-go: librdkafka's thread never lets go of the client that it belongs to",
        code("kafka/admin.py"),
        "partial(_told, self._heard, number)",
        "lambda done, method=method: self._heard(number, done.exception())",
        "tests/unit/test_kafka_admin.py::test_a2_what_hears_of_an_end_does_not_hold_the_client",
    ),
    Mutation(
        "admin-lost: whoever waits for a client that never comes back ends",
        code("kafka/client.py"),
        "return future.result(REQUEST_SECONDS + _LATE_SECONDS)",
        "return future.result()",
        "tests/unit/test_kafka_client.py::test_a_client_that_never_comes_back_ends_the_wait_and_the_process",
    ),
    Mutation(
        "lookout: a topic that was made again is seen without a message of it",
        code("kafka/identity.py"),
        "found.append(_changed(name, wanted, present))",
        "pass",
        "tests/unit/test_lookout.py::test_a_topic_with_another_id_is_told_and_nothing_waits",
    ),
    Mutation(
        "one-publisher: only the last to take over the publisher's name can commit",
        code("kafka/exclusive.py"),
        "transactional_id=name,",
        'transactional_id=f"{name}-{time.monotonic()}",',
        "tests/integration/test_config.py::test_p3_a_publisher_that_was_taken_over_commits_nothing",
    ),
    Mutation(
        "failure-kept: one refused message is raised by every later call, though the next ones landed",
        code("kafka/deliveries.py"),
        "            if self._failed is None:\n                self._failed = failure\n",
        "            self._failed = failure\n",
        "tests/unit/test_deliveries.py::"
        "test_d2_a_failed_report_is_raised_by_every_later_call_though_the_next_message_landed",
    ),
    Mutation(
        "hole-guard: nothing is read past a missing range",
        code("kafka/reader.py"),
        "        self._refuse_hole(meta, where)\n",
        "",
        f"{_READER}::test_a_missing_range_is_a_hole_and_nothing_is_read_past_it",
    ),
    Mutation(
        "watermarks: rows of a range that was produced again come once",
        code("kafka/reader.py"),
        "        if not overlapping:\n",
        "        if True:\n",
        f"{_READER}::test_each_row_comes_once_in_long_histories",
    ),
    Mutation(
        "watermark-row: the last row that was covered is a repeat too",
        code("kafka/reader.py"),
        "(rows <= row)",
        "(rows < row)",
        f"{_READER}::test_each_row_comes_once_in_long_histories",
    ),
    Mutation(
        "watermark-ids: a watermark is about a topic's id, not about its name or partition",
        code("kafka/reader.py"),
        "return self._position.watermarks.get((source.topic_id, source.partition), (-1, -1))",
        "return max((at for (_, p), at in self._position.watermarks.items() if p == source.partition), "
        "default=(-1, -1))",
        f"{_READER}::test_the_same_offsets_of_another_topic_id_are_other_rows",
    ),
    Mutation(
        "watermarks-stored: a position brings its watermarks along",
        code("kafka/cursors.py"),
        'position = Position(record["offset"], MappingProxyType(marks), record["floor"], since)',
        'position = Position(record["offset"])',
        f"{_SINK_WORKER}::test_rows_come_to_rest_in_their_tenants_tables_and_the_position_follows",
    ),
    Mutation(
        "membership: Kafka takes offsets of no member from anyone, so a zombie must not ask",
        code("kafka/transaction.py"),
        "    if not before or consumer.memberid() != before:",
        "    if False:",
        f"{_TRANSACTION}::test_a_consumer_in_no_group_has_no_membership_to_commit_with",
    ),
    Mutation(
        "messages-first: messages are in the log before the membership is checked",
        code("kafka/transaction.py"),
        "            deliveries.wait(max(0.0, deadline - time.monotonic()))  # X1\n",
        "",
        f"{_TRANSACTION}::test_messages_are_in_the_log_before_the_membership_is_asked_for",
    ),
    Mutation(
        "in-one-transaction: the group's offsets move with the positions or not at all",
        code("kafka/transaction.py"),
        "self._again(deadline, lambda: producer.send_offsets_to_transaction(list(offsets), present, _CALL_SECONDS))",
        "pass",
        f"{_TRANSACTION}::test_messages_and_offsets_are_committed_together",
    ),
    Mutation(
        "open-transactions: an owner waits until none is open, then reads to the end",
        code("kafka/cursors.py"),
        'config | {"enable.partition.eof": True}',
        'config | {"enable.partition.eof": True, "isolation.level": "read_uncommitted"}',
        f"{_SINK_WORKER}::test_a_successor_waits_for_the_transaction_that_a_dying_owner_left_open",
    ),
    Mutation(
        "high-watermark: the end that is waited for lies behind open transactions",
        code("kafka/cursors.py"),
        "isolation_level=IsolationLevel.READ_UNCOMMITTED",
        "isolation_level=IsolationLevel.READ_COMMITTED",
        f"{_SINK_WORKER}::test_a_successor_waits_for_the_transaction_that_a_dying_owner_left_open",
    ),
    Mutation(
        "leaderless: a partition without a leader is asked again, and ends no worker",
        code("kafka/cursors.py"),
        "if not isinstance(cause, KafkaException) or cause.args[0].code() != KafkaError._NOENT:",
        "if error is not None:",
        "tests/unit/test_offsets.py::test_a_partition_that_has_no_leader_yet_is_asked_again",
    ),
    Mutation(
        "in-doubt: after a commit in doubt nothing more is committed",
        code("kafka/transaction.py"),
        "        if self._doubt is not None:",
        "        if False:",
        "tests/unit/test_transactions.py::test_after_a_commit_in_doubt_nothing_more_is_committed",
    ),
    Mutation(
        "read-committed: records of aborted transactions are not read",
        code("kafka/client.py"),
        '"isolation.level": "read_committed"',
        '"isolation.level": "read_uncommitted"',
        f"{_CLIENTS}::test_a_consumer_never_jumps_and_never_commits_by_itself_whatever_the_options_say",
    ),
    Mutation(
        "no-jump: auto.offset.reset is error",
        code("kafka/client.py"),
        '"auto.offset.reset": "error"',
        '"auto.offset.reset": "earliest"',
        f"{_CLIENTS}::test_a_consumer_never_jumps_and_never_commits_by_itself_whatever_the_options_say",
    ),
    Mutation(
        "no-auto-commit: nobody commits but the commit rule",
        code("kafka/client.py"),
        '"enable.auto.commit": False',
        '"enable.auto.commit": True',
        f"{_CLIENTS}::test_a_consumer_never_jumps_and_never_commits_by_itself_whatever_the_options_say",
    ),
    Mutation(
        "idempotence: producers are idempotent and wait for all replicas",
        code("kafka/client.py"),
        '        "enable.idempotence": True,\n        "acks": "all",\n',
        "",
        f"{_CLIENTS}::test_a_producer_stays_idempotent_whatever_the_options_say",
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
    Mutation(
        "hung-call: a call of librdkafka that never comes back does not hold a sink for ever",
        code("kafka/transaction.py"),
        "        if calling.is_alive():\n",
        "        if calling is None:\n",
        "tests/unit/test_transactions.py::test_x4_a_call_that_never_comes_back_ends_the_process_instead_of_holding_it",
    ),
    Mutation(
        "stored-whole: positions and parked outlets are told of one moment",
        code("kafka/stored.py"),
        "home.since[key] = message.value()",
        "home.values[key] = message.value() or b''",
        "tests/unit/test_stored_positions.py::test_st1_a_transaction_that_has_come_in_part_is_not_told_of",
    ),
    Mutation(
        "broker-session: a local broker that stands still for a moment leads its partitions on",
        code("local/kafka.py"),
        '    "log.initial.task.delay.ms": "1000",',
        '    "log.initial.task.delay.ms": "1000", "broker.session.timeout.ms": "2000",',
        "tests/integration/test_services.py::test_a_broker_that_stands_still_for_a_moment_keeps_its_partitions",
    ),
    Mutation(
        "leader-changed: who has not heard of a new leader yet asks again, and does not end",
        code("kafka/client.py"),
        "    KafkaError.FENCED_LEADER_EPOCH,",
        "",
        "tests/unit/test_kafka_client.py::test_an_error_is_typed_by_what_to_do_about_it",
    ),
)
