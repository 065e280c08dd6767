"""Client quotas of a real Kafka, by requests that aiokafka lacks."""

from __future__ import annotations

from logflume.config.quotas import bring_in_line
from logflume.kafka.quotas import Quotas
from logflume.model import Configuration, Rates, Tenant
from logflume.settings import Settings


def of(settings: Settings, **rates: int) -> Configuration:
    users = {name: Rates(rate) for name, rate in rates.items()}
    return Configuration(
        1,
        "",
        {name: Tenant(name, {}, rates=each, principal=settings.topic_prefix + name) for name, each in users.items()},
    )


def test_the_brokers_quotas_are_set_changed_and_taken_away(settings: Settings) -> None:
    quotas = Quotas(settings)

    def ours() -> dict[str, float]:
        prefix = settings.topic_prefix  # others set theirs on this broker, too
        found = quotas.producers()
        return {user.removeprefix(prefix): rate for user, rate in found.items() if user.startswith(prefix)}

    assert bring_in_line(settings, of(settings, a=100_000, ä=7)) != {}
    assert ours() == {"a": 100_000.0, "ä": 7.0}
    assert bring_in_line(settings, of(settings, a=100_000, ä=7)) == {}
    bring_in_line(settings, of(settings, a=50_000))
    assert ours() == {"a": 50_000.0}
    bring_in_line(settings, of(settings))
    assert ours() == {}
    quotas.set_producers({f"{settings.topic_prefix}u{number}": 1.0 for number in range(600)})
    assert len(ours()) == 600
    quotas.set_producers({f"{settings.topic_prefix}u{number}": None for number in range(600)})
    assert ours() == {}
