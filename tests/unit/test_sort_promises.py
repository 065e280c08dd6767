"""Which of Faust's defaults the sort stage must not have (docs/sort.md), beside tests/unit/test_transport.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from logflume.settings import Settings
from logflume.sort.commit import CommitRule
from logflume.sort.stage import build
from logflume.sort.transport import Consumer
from tests.unit.test_transport import fetch, fetched, held

HERE, THERE = TP("ingest.events", 0), TP("ingest.events", 1)


def consumer() -> Consumer:
    made = object.__new__(Consumer)
    made.rule = CommitRule()
    made.stopped = {}
    return made


def test_partitions_that_are_taken_away_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker reads them from the commit on: what is done here afterwards must not be committed."""

    async def theirs(self: Any, revoked: Any) -> None:
        """Faust's part: running work ends, what is done is committed."""

    monkeypatch.setattr(stock.Consumer, "on_partitions_revoked", theirs)
    ours = consumer()
    gone, kept = ours.rule.fetched(HERE, 0, 9, 1.0), ours.rule.fetched(THERE, 0, 4, 1.0)
    ours.stopped = {HERE: "beyond the end", THERE: "too"}
    asyncio.run(ours.on_partitions_revoked({HERE}))
    assert ours.stopped == {THERE: "too"}
    gone.done = kept.done = True
    assert ours._new_offset(HERE) is None
    assert ours._new_offset(THERE) == 5


def test_commits_follow_the_rule_and_not_fausts() -> None:
    """Faust joins what is acknowledged on both sides of a hole that it has noted."""
    ours = consumer()
    vars(ours).update(_acked={HERE: [0, 1, 2, 7, 8]}, _gap={HERE: None}, _acked_index={HERE: set(range(9))})
    vars(ours).update(_committed_offset={HERE: None})
    ours.rule.fetched(HERE, 0, 2, 1.0).done = True
    ours.rule.fetched(HERE, 3, 6, 1.0)
    assert ours._new_offset(HERE) == 3
    ours.rule.committed(HERE, 3)
    assert ours._new_offset(HERE) is None
    assert list(ours._filter_tps_with_pending_acks()) == []


def test_an_orderly_end_commits_what_was_done_during_the_commit_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Faust's commit only waits for the one that is under way; that one began before the last chunk was done."""

    async def theirs(self: Any) -> None:
        """Faust's last commit: it found the periodic one under way, waited, and did nothing."""

    async def commit(self: Any) -> bool:
        self.rule.committed(HERE, self._new_offset(HERE))
        return True

    monkeypatch.setattr(stock.Consumer, "commit_and_end_transactions", theirs)
    monkeypatch.setattr(stock.Consumer, "commit", commit)
    ours = consumer()
    ours.rule.fetched(HERE, 0, 9, 1.0).done = True
    asyncio.run(ours.commit_and_end_transactions())
    assert ours.rule.ready() == []


def test_an_orderly_end_does_not_wait_for_a_group_that_takes_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(self: Any) -> bool:
        return False

    monkeypatch.setattr(stock.Consumer, "commit_and_end_transactions", refused)
    monkeypatch.setattr(stock.Consumer, "commit", refused)
    ours = consumer()
    ours.rule.fetched(HERE, 0, 9, 1.0).done = True
    asyncio.run(ours.commit_and_end_transactions())
    assert ours.rule.ready() == [HERE]


@pytest.mark.parametrize("error", [NoOffsetForPartitionError(HERE), OffsetOutOfRangeError({HERE: 2})])
def test_a_fetch_before_a_new_partition_was_placed_is_followed_by_a_seek_and_ends_nothing(error: Exception) -> None:
    """aiokafka looks for positions by itself at a rebalance; a partition without a commit has none before our seek."""

    async def play() -> None:
        ours, thread = held()
        thread.fetches = [error, fetched(0, 9)]
        assert await fetch(ours) == []
        assert thread.seeks == 0
        assert await fetch(ours) == [(0, 9)]
        assert thread.seeks == 1

    asyncio.run(play())


def test_nothing_is_read_of_an_assignment_before_it_was_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """aiokafka would begin at a committed offset that may be about an older topic of that name."""

    async def theirs(self: Any, assigned: Any, generation_id: int = 0) -> None:
        """Faust's part, which seeks some time later."""

    monkeypatch.setattr(stock.Consumer, "on_partitions_assigned", theirs)

    async def play() -> None:
        ours, thread = held()
        thread.fetches = [fetched(90, 99), fetched(0, 9)]
        thread.during_fetch = lambda: ours.on_partitions_assigned({HERE}, 2)
        assert await fetch(ours) == []
        thread.during_fetch = None
        assert await fetch(ours) == [(0, 9)]
        assert thread.seeks == 1

    asyncio.run(play())


def test_a_refused_commit_is_tried_again_until_kafka_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, True])

    async def theirs(self: Any, offsets: Any, start_new_transaction: bool = True) -> bool:
        return next(answers)

    monkeypatch.setattr(stock.Consumer, "_commit_offsets", theirs)
    ours = consumer()
    vars(ours).update(_committed_offset={HERE: 10})
    ours.rule.fetched(HERE, 0, 9, 1.0).done = True
    for expected in ({HERE: 10}, {HERE: 10}, {}):
        offsets = ours._filter_committable_offsets(list(ours._filter_tps_with_pending_acks()))
        assert offsets == expected
        if offsets:
            asyncio.run(ours._commit_offsets(offsets))


def test_faust_is_told_who_it_is_to_kafka_as_librdkafka_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    secured = {
        "kafka_bootstrap": "127.0.0.1:1",
        "kafka_security_protocol": "SASL_SSL",
        "kafka_sasl_mechanism": "SCRAM-SHA-512",
        "kafka_sasl_username": "me",
        "kafka_sasl_password": "env:KAFKA_PASSWORD",
    }
    conf = build(Settings(**secured)).conf
    said = stock.credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context)
    context = said.pop("ssl_context")
    assert context.check_hostname
    assert said == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "hunter2",
    }


def test_the_app_never_jumps_and_drains_before_it_ends() -> None:
    conf = build(Settings(kafka_bootstrap="127.0.0.1:1")).conf
    assert conf.consumer_auto_offset_reset == "none"
    assert conf.stream_wait_empty is True
    assert conf.processing_guarantee.value == "at_least_once"
