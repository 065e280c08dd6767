"""Allowances: never more than burst and rate allow, never less in the long run, whatever is asked and changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume import contract
from logflume.clock import ManualClock
from logflume.config.allowance import Allowances, Bucket, effective
from logflume.config.directory import DirectorySource
from logflume.errors import Misconfigured, Unconfigured
from logflume.model import Configuration, Rates, Tenant, load
from logflume.model.rates import NO_RATES

DATASETS = load(contract.find())
TEN = Rates(bytes_per_second=100, records_per_second=10, burst_seconds=2)


def of(tenants: dict[str, Rates], generation: int = 1) -> Configuration:
    return Configuration(generation, "", {name: Tenant(name, {}, rates=rates) for name, rates in tenants.items()})


def allowances(clock: ManualClock, default: Rates = NO_RATES, **tenants: Rates) -> Allowances:
    return Allowances(lambda: of(tenants), default, clock)


STEPS = st.lists(
    st.tuples(st.floats(0, 3), st.integers(1, 300), st.integers(1, 30)),
    min_size=1,
    max_size=60,
)


@given(STEPS)
def test_al1_no_span_of_time_sees_more_than_the_burst_and_the_rate(steps: list[tuple[float, int, int]]) -> None:
    clock = ManualClock()
    limits = allowances(clock, acme=TEN)
    taken: list[tuple[float, int, int]] = []
    for seconds, size, records in steps:
        clock.advance(seconds)
        if size <= 200 and records <= 20 and not limits.take("acme", size, records):
            taken.append((clock.monotonic(), size, records))
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            span = taken[last][0] - taken[first][0]
            assert sum(size for _, size, _ in taken[first : last + 1]) <= 200 + 100 * span + 1e-3
            assert sum(records for _, _, records in taken[first : last + 1]) <= 20 + 10 * span + 1e-3


@given(st.lists(st.tuples(st.integers(1, 200), st.integers(1, 20)), min_size=1, max_size=60))
def test_al2_who_always_waits_as_long_as_told_gets_the_whole_rate(pieces: list[tuple[int, int]]) -> None:
    clock = ManualClock()
    limits = allowances(clock, acme=TEN)
    for size, records in pieces:
        if wait := limits.take("acme", size, records):
            clock.advance(wait)
            assert limits.take("acme", size, records) == 0.0
    only = allowances(clock, acme=Rates(100, 0, 2))
    begun = clock.monotonic()
    for size, _ in pieces:
        while wait := only.take("acme", size, 1):
            clock.advance(wait)
    assert clock.monotonic() - begun <= max(0.0, sum(size for size, _ in pieces) / 100 - 2) + 1e-3


def test_what_was_refused_or_given_back_costs_nothing() -> None:
    clock = ManualClock()
    limits = allowances(clock, acme=TEN)
    assert limits.take("acme", 150, 1) == 0
    for _ in range(10):
        assert limits.take("acme", 100, 1) == pytest.approx(0.5)
    assert limits.take("acme", 50, 1) == 0
    limits.refund("acme", 50, 1)
    assert limits.take("acme", 50, 1) == 0
    assert limits.take("acme", 1, 1) > 0


def test_a_refund_never_gives_more_than_the_burst() -> None:
    clock = ManualClock()
    limits = allowances(clock, acme=TEN)
    assert limits.take("acme", 100, 10) == 0
    clock.advance(10)
    limits.refund("acme", 100, 10)
    assert limits.take("acme", 200, 20) == 0
    assert limits.take("acme", 1, 1) > 0


def test_records_are_limited_as_bytes_are() -> None:
    limits = allowances(ManualClock(), acme=TEN)
    assert limits.take("acme", 1, 20) == 0
    assert limits.take("acme", 1, 1) == pytest.approx(0.1)


def test_one_thing_larger_than_the_burst_goes_when_nothing_was_taken_and_is_paid_afterwards() -> None:
    clock = ManualClock()
    limits = allowances(clock, acme=TEN)
    assert limits.most("acme") == (200, 20)
    assert limits.take("acme", 1, 1) == 0
    assert limits.take("acme", 1000, 1) == pytest.approx(0.01)
    clock.advance(0.01)
    assert limits.take("acme", 1000, 1) == 0
    assert limits.take("acme", 1, 1) == pytest.approx(8.01)


def test_what_came_already_is_charged_and_makes_debt() -> None:
    clock = ManualClock()
    limits = allowances(clock, acme=TEN)
    assert limits.charge("acme", 150, 1) == 0
    assert limits.charge("acme", 150, 1) == pytest.approx(1.0)
    assert limits.take("acme", 10, 1) == pytest.approx(1.1)


def test_tenants_do_not_share() -> None:
    limits = allowances(ManualClock(), acme=TEN, other=TEN)
    assert limits.take("acme", 200, 1) == 0
    assert limits.take("acme", 1, 1) > 0
    assert limits.take("other", 200, 1) == 0


def test_al3_new_rates_hold_at_once_and_give_no_second_burst() -> None:
    clock, now = ManualClock(), {"acme": TEN}
    limits = Allowances(lambda: of(now), Rates(), clock)
    assert limits.take("acme", 200, 1) == 0
    now["acme"] = Rates(1000, 0, 10)
    assert limits.take("acme", 1000, 1) == pytest.approx(1.0)
    clock.advance(1)
    assert limits.take("acme", 1000, 1) == 0
    now["acme"] = Rates()
    assert limits.take("acme", 10**9, 10**6) == 0


def test_a_tenants_own_rates_come_before_those_of_the_settings() -> None:
    default = Rates(50, 5)
    assert effective(Rates(), default) == default
    assert effective(Rates(7, 0, 3), default) == Rates(7, 5, 3)
    limits = allowances(ManualClock(), default, acme=Rates(1000, 100, 1))
    assert limits.most("acme") == (1000, 100)
    assert limits.most("nobody") == (500, 50)


def test_without_a_configuration_the_settings_alone_limit() -> None:
    def none() -> Configuration:
        raise Unconfigured("none yet")

    for current in (none, None):
        limits = Allowances(current, Rates(10, 0), ManualClock())
        assert limits.take("acme", 100, 1) == 0
        assert limits.take("acme", 1, 1) > 0
        assert Allowances(current, Rates(), ManualClock()).take("acme", 10**9, 1) == 0


def test_al4_tenants_that_are_quiet_are_forgotten_and_come_back_with_their_burst() -> None:
    clock = ManualClock()
    limits = Allowances(None, TEN, clock)
    for number in range(10_000):
        limits.take(f"t{number}", 1, 1)
        clock.advance(0.01)
    assert len(limits) <= 2000
    assert limits.take("t0", 200, 20) == 0


def test_who_is_in_debt_is_not_forgotten() -> None:
    clock = ManualClock()
    limits = Allowances(None, TEN, clock)
    limits.take("deep", 100_000, 1)
    for number in range(5000):
        limits.take(f"t{number}", 1, 1)
        clock.advance(0.01)
    assert limits.take("deep", 1, 1) > 900


def test_a_bucket_never_runs_backwards() -> None:
    bucket = Bucket(10, 20, 100.0)
    bucket.take(20, 100.0)
    assert bucket.wait(10, 99.0) == pytest.approx(1.0)


def tenant(folder: Path, text: str, name: str = "acme") -> Configuration:
    (folder / f"{name}.yaml").write_text(f"name: {name}\ndatasets: {{events: }}\n{text}\n")
    return DirectorySource(folder, DATASETS).current()


def test_rates_and_principal_stand_in_the_tenants_file(tmp_path: Path) -> None:
    found = tenant(tmp_path, "rates: {bytes_per_second: 1000, burst_seconds: 3}\nprincipal: User:acme").tenants["acme"]
    assert found.rates == Rates(1000, 0, 3)
    assert found.principal == "acme"
    plain = tenant(tmp_path, "").tenants["acme"]
    assert (plain.rates, plain.principal) == (Rates(), "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rates: 5", "acme.yaml:3: rates: a mapping"),
        ("rates: {}", "acme.yaml:3: rates: give bytes_per_second"),
        ("rates: {burst_seconds: 3}", "acme.yaml:3: rates: give bytes_per_second"),
        ("rates: {bytes_per_second: 0}", "rates.bytes_per_second: 0 is not within 1"),
        ("rates: {records_per_second: 1.5}", "rates.records_per_second: a whole number"),
        ("rates: {records_per_second: 1, burst_seconds: 0}", "rates.burst_seconds: 0 is not within 1"),
        ("rates: {record_per_second: 1}", "did you mean records_per_second?"),
        ("principal: ''", "acme.yaml:3: principal: '' is no Kafka user's name"),
        ("principal: [a]", "acme.yaml:3: principal: one value"),
    ],
)
def test_a_mistake_in_them_is_told_with_file_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Misconfigured) as error:
        tenant(tmp_path, text)
    assert told in str(error.value)


def test_two_tenants_with_one_principal_are_refused(tmp_path: Path) -> None:
    tenant(tmp_path, "principal: shop")
    with pytest.raises(Misconfigured, match=r"other.yaml:1: principal: shop is the principal of acme too"):
        tenant(tmp_path, "principal: User:shop", "other")
