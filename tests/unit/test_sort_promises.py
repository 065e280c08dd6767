"""Which of Faust's defaults the sort stage must not have (docs/sort.md), beside tests/unit/test_transport.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from faust.transport.drivers import aiokafka as stock
from faust.types import TP

from logflume.settings import Settings
from logflume.sort.app import build
from logflume.sort.commit import CommitRule
from logflume.sort.transport import Consumer

HERE, THERE = TP("ingest.events", 0), TP("ingest.events", 1)


def consumer() -> Consumer:
    made = object.__new__(Consumer)
    made.rule = CommitRule()
    return made


def test_partitions_that_are_taken_away_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another worker reads them from the commit on: what is done here afterwards must not be committed."""

    async def theirs(self: Any, revoked: Any) -> None:
        """Faust's part: running work ends, what is done is committed."""

    monkeypatch.setattr(stock.Consumer, "on_partitions_revoked", theirs)
    ours = consumer()
    gone, kept = ours.rule.fetched(HERE, 0, 9, 1.0), ours.rule.fetched(THERE, 0, 4, 1.0)
    asyncio.run(ours.on_partitions_revoked({HERE}))
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
    assert ours._new_offset(HERE) is None
    assert list(ours._filter_tps_with_pending_acks()) == []


def test_the_app_never_jumps_and_drains_before_it_ends() -> None:
    conf = build(Settings(kafka_bootstrap="127.0.0.1:1")).conf
    assert conf.consumer_auto_offset_reset == "none"
    assert conf.stream_wait_empty is True
    assert conf.processing_guarantee.value == "at_least_once"
