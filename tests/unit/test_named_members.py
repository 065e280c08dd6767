"""A sorter with a name in its group: what Kafka says of the membership is heard, whatever was asked."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
from aiokafka.consumer import consumer as stock
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from aiokafka.protocol.commit import OffsetCommitResponse_v3
from aiokafka.protocol.group import HeartbeatResponse_v0, JoinGroupResponse_v5, SyncGroupResponse_v3

from logflume.errors import Misconfigured
from logflume.kafka.named import instance_id
from logflume.settings import Settings
from logflume.sink import consumer as sink
from logflume.sort.membership import Member
from logflume.sort.stage import build
from tests.support.contracts import contract_of_events

UNKNOWN, FENCED, REBALANCING = 25, 82, 27


def heard(name: str | None, answer: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why a member, called so, ended itself when Kafka answered this."""

    async def send(_: GroupCoordinator, __: Any) -> Any:
        return answer

    monkeypatch.setattr(GroupCoordinator, "_send_req", send)
    found: list[str] = []
    member: Any = object.__new__(Member)
    vars(member).update(_group_instance_id=name, group_id="sorters", _expelled=found.append)
    assert asyncio.run(member._send_req(object())) is answer
    return found


def answers(code: int) -> list[Any]:
    """Each answer about a membership, with an error code in it."""
    return [
        HeartbeatResponse_v0(code),
        JoinGroupResponse_v5(0, code, -1, "", "", "", []),
        SyncGroupResponse_v3(0, code, b""),
        OffsetCommitResponse_v3(0, [("ingest.events", [(0, 0), (1, code)])]),
    ]


@pytest.mark.parametrize("code", [UNKNOWN, FENCED])
def test_n1_a_named_member_that_kafka_does_not_know_ends_itself(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in answers(code):
        [why] = heard("sort-0", answer, monkeypatch)
        assert "sort-0" in why
        assert "sorters" in why


def test_n1_a_rebalance_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (0, REBALANCING):
        for answer in answers(code):
            assert not heard("sort-0", answer, monkeypatch)


def test_n2_a_member_without_a_name_joins_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for answer in answers(UNKNOWN):
        assert not heard(None, answer, monkeypatch)


def test_the_private_parts_are_those_that_the_member_was_checked_against() -> None:
    assert "GroupCoordinator(" in inspect.getsource(stock.AIOKafkaConsumer.start)
    assert list(inspect.signature(GroupCoordinator._send_req).parameters) == ["self", "request"]
    for asks in (GroupCoordinator._do_heartbeat, GroupCoordinator._do_commit_offsets):
        assert "self._send_req(request)" in inspect.getsource(asks)
    for asks in (CoordinatorGroupRebalance.perform_group_join, CoordinatorGroupRebalance._send_sync_group_request):
        assert "self._coordinator._send_req(request)" in inspect.getsource(asks)
    left = inspect.getsource(GroupCoordinator._maybe_leave_group)
    assert "self._group_instance_id is None" in left, "a named member does not leave when it ends"


@pytest.mark.parametrize("name", ["", "sink-0"])
def test_sorters_and_sinks_tell_kafka_the_name_that_is_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(kafka_bootstrap="127.0.0.1:1", group_instance_id=name)
    monkeypatch.setattr(sink, "Consumer", dict)
    configured: Any = sink.consumer(settings)
    assert configured.get("group.instance.id") == instance_id(settings, "sorted.<dataset>")
    assert build(settings).conf.consumer_group_instance_id == instance_id(settings, "ingest.<dataset>")
    assert ("group.instance.id" in configured) is bool(name)


def test_a_name_is_the_same_as_long_as_the_topics_that_are_read_are(tmp_path: Path) -> None:
    every = Settings(kafka_bootstrap="127.0.0.1:1", group_instance_id="sort-0")
    fewer = every.model_copy(update={"topics_dir": str(contract_of_events(tmp_path))})
    now = instance_id(every, "ingest.<dataset>")
    assert now is not None
    assert now.startswith("sort-0-")
    assert now == instance_id(every, "ingest.<dataset>")
    grown = every.model_copy(update={"topics_profile": "local"})
    assert len({now, instance_id(fewer, "ingest.<dataset>"), instance_id(grown, "ingest.<dataset>")}) == 3


def test_a_name_is_one_that_kafka_takes() -> None:
    assert Settings(group_instance_id="logflume-sort-0.a_b").group_instance_id == "logflume-sort-0.a_b"
    for wrong in ("sort 0", "sort/0", "ü", "s" * 241):
        with pytest.raises(Misconfigured):
            Settings(group_instance_id=wrong)
