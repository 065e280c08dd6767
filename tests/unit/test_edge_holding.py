"""An edge that has no configuration yet: HO1, HO2; P9 of the publisher. It neither drops nor forwards."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import pytest

from logflume import contract, model
from logflume.clock import SystemClock
from logflume.edge import Client
from logflume.edge import publisher as module
from logflume.edge import spooling as spooling_module
from logflume.edge.holding import Holding
from logflume.edge.spool import Spool
from logflume.errors import Unavailable, Unconfigured
from logflume.model import Configuration, Tenant, TenantDataset
from logflume.settings import Settings
from tests.support.disk import FakeDisk
from tests.support.edge import blocks, rows
from tests.support.lookup import FakeLookup
from tests.support.producer import FakeProducer
from tests.support.waiting import until

DATASETS = model.load(contract.find())
ACME = Tenant("acme", MappingProxyType({"events": TenantDataset("events", 30)}))


class Source:
    """Has a configuration once it is given one."""

    def __init__(self) -> None:
        self.generation = 0
        self.asked = 0

    def current(self) -> Configuration:
        self.asked += 1
        if not self.generation:
            raise Unconfigured("there is none yet")
        return Configuration(self.generation, "", MappingProxyType({"acme": ACME}))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(spooling_module, "SETTLE_SECONDS", 0.0)


def client_of(producer: FakeProducer, source: Source, spool: Spool | None = None) -> Client:
    return Client(
        Settings(kafka_bootstrap="nowhere:1", edge_linger_seconds=0.01),
        datasets=DATASETS,
        source=source,  # type: ignore[arg-type]
        spool=spool,
        make_producer=producer,
        make_lookup=lambda settings: FakeLookup(producer),
    )


def test_without_a_source_nothing_is_held_back_and_no_generation_is_named() -> None:
    holding = Holding(None)
    assert (holding.why, holding.generation()) == ("", 0)


def test_ho2_what_had_a_configuration_once_is_never_held_back_again() -> None:
    source = Source()
    holding = Holding(source)  # type: ignore[arg-type]
    assert holding.why == "there is none yet"
    source.generation = 3
    assert (holding.why, holding.generation()) == ("", 3)
    source.generation = 0
    assert (holding.why, holding.generation()) == ("", 0)


def test_ho1_without_a_spool_records_wait_in_memory_and_a_flush_says_so() -> None:
    producer, source = FakeProducer(), Source()
    client = client_of(producer, source)
    client.log("acme", "events", {"message": "1"})
    client.log("globex", "events", {"message": "nobody knows yet whether it is wanted"})
    with pytest.raises(Unavailable, match="there is none yet"):
        client.flush(0.3)
    assert producer.log == []
    source.generation = 7
    client.close()
    assert sorted(tenant for tenant, _ in rows(producer.log, DATASETS)) == ["acme", "globex"]
    assert client.trouble == ""


def test_ho1_with_a_spool_they_are_durable_there_and_sent_when_there_is_a_configuration() -> None:
    producer, source, disk = FakeProducer(), Source(), FakeDisk()
    with Spool.open(Path("/spool"), cap_bytes=1 << 20, clock=SystemClock(), disk=disk) as spool:
        client = client_of(producer, source, spool)
        client.log("acme", "events", {"message": "1"})
        client.flush(5)
        assert spool.waiting == 1
        asked = source.asked
        until(lambda: source.asked > asked + 3, 10, "the spool to be looked at")
        assert spool.waiting == 1
        assert "there is none yet" in client.trouble
        assert rows(producer.log, DATASETS) == []
        source.generation = 7
        until(lambda: not spool.waiting, what="the spool to be sent")
        client.close()
    assert [tenant for tenant, _ in rows(producer.log, DATASETS)] == ["acme"]


def test_a_killed_edge_that_had_no_configuration_leaves_its_rows_in_the_spool() -> None:
    producer, source, disk = FakeProducer(), Source(), FakeDisk()
    with Spool.open(Path("/spool"), cap_bytes=1 << 20, clock=SystemClock(), disk=disk) as spool:
        client = client_of(producer, source, spool)
        client.log("acme", "events", {"message": "1"})
        client.close(5)
    source.generation = 2
    with Spool.open(Path("/spool"), cap_bytes=1 << 20, clock=SystemClock(), disk=disk) as spool:
        client = client_of(producer, source, spool)
        until(lambda: not spool.waiting, what="the spool to be sent")
        client.close()
    assert len(rows(producer.log, DATASETS)) == 1


def test_blocks_name_the_generation_that_is_in_force() -> None:
    producer, source = FakeProducer(), Source()
    source.generation = 7
    with client_of(producer, source) as client:
        client.log("acme", "events", {"message": "1"})
        client.flush()
        source.generation = 8
        client.log("acme", "events", {"message": "2"})
    assert [header.generation for header, _ in blocks(producer.log, DATASETS)] == [7, 8]
