"""Kafka's quotas follow the tenants' rates: set, changed, taken away, and only where we set them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from logflume.cli import config
from logflume.config import quotas
from logflume.config.quotas import Notes, bring_in_line
from logflume.errors import Retryable
from logflume.model import Configuration, Rates, Tenant
from logflume.settings import Settings
from logflume.table.store import Store

PLAIN = Settings(kafka_bootstrap="nowhere:1")


class Broker:
    def __init__(self, **quotas: float) -> None:
        self.quotas = dict(quotas)
        self.fails = False
        self.asked = 0

    def producers(self) -> dict[str, float]:
        self.asked += 1
        return dict(self.quotas)

    def set_producers(self, rates: Mapping[str, float | None]) -> None:
        if self.fails:
            raise Retryable("Kafka is away")
        for user, rate in rates.items():
            self.quotas.pop(user, None)
            if rate is not None:
                self.quotas[user] = rate


def of(**rates: int) -> Configuration:
    tenants = {name: Tenant(name, {}, rates=Rates(rate), principal=f"p-{name}") for name, rate in rates.items()}
    return Configuration(1, "", tenants)


@pytest.fixture
def notes(tmp_path: Path) -> Notes:
    return Notes(Store(tmp_path.as_uri()))


def line(configuration: Configuration, broker: Broker, notes: Notes, settings: Settings = PLAIN) -> object:
    return bring_in_line(settings, configuration, broker=broker, notes=notes)


def test_q1_principals_get_their_tenants_rate_and_tenants_without_either_none(notes: Notes) -> None:
    broker = Broker()
    configuration = of(a=100, b=0)
    tenants = dict(configuration.tenants) | {"c": Tenant("c", {}, rates=Rates(100))}
    assert line(Configuration(1, "", tenants), broker, notes) == {"p-a": 100.0}
    assert broker.quotas == {"p-a": 100.0}
    settings = Settings(kafka_bootstrap="nowhere:1", edge_tenant_bytes_per_second=7)
    assert line(configuration, broker, notes, settings) == {"p-b": 7.0}


def test_q2_a_quota_goes_with_its_tenant_and_others_quotas_stay(notes: Notes) -> None:
    broker = Broker(theirs=5.0)
    line(of(a=100, b=200), broker, notes)
    assert line(of(b=300), broker, notes) == {"p-a": None, "p-b": 300.0}
    assert broker.quotas == {"theirs": 5.0, "p-b": 300.0}
    line(of(), broker, notes)
    assert broker.quotas == {"theirs": 5.0}
    assert notes.users() == set()


def test_q2_what_was_set_by_a_process_that_failed_on_its_way_is_taken_away_later(notes: Notes) -> None:
    broker = Broker()
    broker.fails = True
    with pytest.raises(Retryable):
        line(of(a=100), broker, notes)
    broker.quotas["p-a"] = 100.0  # it was set all the same, and nobody heard
    broker.fails = False
    assert line(of(b=1), broker, notes) == {"p-a": None, "p-b": 1.0}
    broker.fails = True
    with pytest.raises(Retryable):
        line(of(), broker, notes)
    assert notes.users() == {"p-b"}


def test_q3_again_it_changes_nothing_and_a_quota_that_was_lost_is_set_again(notes: Notes) -> None:
    broker = Broker()
    line(of(a=100), broker, notes)
    assert line(of(a=100), broker, notes) == {}
    broker.quotas.clear()
    assert line(of(a=100), broker, notes) == {"p-a": 100.0}


def test_kafka_is_not_asked_when_no_tenant_has_or_had_a_principal(notes: Notes) -> None:
    broker = Broker()
    assert line(Configuration(1, "", {"a": Tenant("a", {}, rates=Rates(5))}), broker, notes) == {}
    assert broker.asked == 0


def test_a_user_of_any_name_is_noted(notes: Notes) -> None:
    for user in ("CN=shop,O=Läden/2", "a b", ".."):
        notes.add(user)
        notes.add(user)
    assert notes.users() == {"CN=shop,O=Läden/2", "a b", ".."}


def test_an_apply_whose_quotas_fail_says_that_the_generation_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Retryable("Kafka is away")

    monkeypatch.setattr(quotas, "bring_in_line", fail)
    with pytest.raises(Retryable, match=r"generation 7 is in force, but the quotas .*Kafka is away.* again sets them"):
        config._set_quotas(PLAIN, Configuration(7, "", {}))
