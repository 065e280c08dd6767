"""What a client takes of a tenant: what somebody wants, at the tenant's rate, and it says what it did not take."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
import pytest

from logflume import metrics
from logflume.clock import ManualClock
from logflume.config.tally import OTHERS, Place, Tally
from logflume.edge import Accepted, Client
from logflume.edge.admission import Admission
from logflume.edge.buffer import Format
from logflume.edge.forwarding import Forwarding
from logflume.edge.intake import Intake, NotAccepted
from logflume.edge.lines import Lines
from logflume.edge.rates import Pacing, allowances
from logflume.edge.restraint import Restraint
from logflume.errors import OverLimit, Unconfigured
from logflume.model import Configuration, Rates
from tests.support.edge import rows
from tests.support.http_edge import DATASETS, FixedSource, settings
from tests.support.producer import FakeProducer

LINE = b'{"message":"m"}\n'  # 16 bytes


class NothingYet:
    """A source that has nothing, until ``now`` is something."""

    now: Configuration | None = None

    def current(self) -> Configuration:
        if self.now is None:
            raise Unconfigured("none yet")
        return self.now


def dropped(reason: str, dataset: str = "dns_logs") -> float:
    labels = {"dataset": dataset, "reason": reason}
    return metrics.REGISTRY.get_sample_value("logflume_edge_dropped_rows_total", labels) or 0.0


def client(source: Any, producer: FakeProducer, **overrides: Any) -> Client:
    return Client(settings(**overrides), datasets=DATASETS, source=source, make_producer=producer)


def test_fw1_what_nobody_wants_is_dropped_counted_and_told_to_the_caller() -> None:
    source, producer = FixedSource(), FakeProducer()
    before = dropped("unwanted"), dropped("unknown-tenant")
    with client(source, producer) as edge:
        edge.log("acme", "dns_logs", {"query": "x"})
        assert edge.log_many("acme", "dns_logs", [{}, {}]) == Accepted(0, dropped=2)
        assert edge.log_ndjson("nobody", "dns_logs", LINE * 3) == Accepted(0, dropped=3)
        assert edge.log_table("acme", "dns_logs", pa.table({"query": ["a"] * 5})) == Accepted(0, dropped=5)
        assert edge.log_ndjson("acme", "events", LINE * 3) == Accepted(3)
        edge.log("acme", "events", {"message": "m"})
    assert [tenant for tenant, _ in rows(producer.log, DATASETS)] == ["acme"] * 4
    assert (dropped("unwanted") - before[0], dropped("unknown-tenant") - before[1]) == (8, 3)


@pytest.mark.parametrize("source", [None, NothingYet()])
def test_fw1_nothing_is_dropped_without_a_configuration_in_force(source: Any) -> None:
    producer = FakeProducer()
    with client(source, producer) as edge:
        assert edge.log_ndjson("nobody", "dns_logs", LINE * 3) == Accepted(3)
        if source is not None:
            source.now = FixedSource().now
            assert edge.log_ndjson("nobody", "dns_logs", LINE) == Accepted(0, dropped=1)
    assert len(rows(producer.log, DATASETS)) == 3


def test_fw2_what_was_accepted_is_sent_whatever_comes_later() -> None:
    source, producer = FixedSource(), FakeProducer()
    with client(source, producer, edge_linger_seconds=60.0) as edge:
        assert edge.log_ndjson("acme", "events", LINE * 3) == Accepted(3)
        source.change("acme", datasets={})
        assert edge.log_ndjson("acme", "events", LINE) == Accepted(0, dropped=1)
    assert len(rows(producer.log, DATASETS)) == 3


def test_fw3_tenants_are_told_from_a_bounded_table() -> None:
    forwarding = Forwarding(FixedSource(), ManualClock())
    for number in range(3000):
        forwarding.takes(f"t{number}", "events", 1 + number % 2)
    forwarding.takes("acme", "dns_logs", 50_000)
    top = dict(forwarding.dropped.top(10_000))
    assert top[Place("t1", "events", "unknown-tenant")] == 2
    assert top[Place(OTHERS, "events", "unknown-tenant")] == 3000
    assert top[Place(OTHERS, "dns_logs", "unwanted")] == 50_000
    assert len(top) <= 1002


def test_the_log_hears_of_it_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    tally = Tally("records were dropped", clock)
    for _ in range(100):
        tally.add("acme", "events", "unwanted", 7)
        clock.advance(1.0)
    first, second = caplog.messages
    assert first == "records were dropped: acme/events unwanted: 7; 7 in all"
    assert "acme/events unwanted: 420;" in second


class Waits:
    """Waiting on a clock that is moved by it; ``lasted`` are the waits."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.lasted: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.lasted.append(seconds)
        self._clock.advance(seconds)


def admission(rates: Rates, *, memory: int = 1_000_000) -> tuple[Admission, Intake, Waits, ManualClock]:
    clock, source = ManualClock(), FixedSource()
    source.change("acme", rates=rates)
    none = Restraint(clock)
    intake = Intake(
        block_rows=100, block_bytes=10_000, linger_seconds=1, memory_bytes=memory, clock=clock, restraint=none
    )
    waits = Waits(clock)
    pacing = Pacing(allowances(settings(), source, clock), clock, waits)
    return Admission(intake, Forwarding(source, clock), pacing), intake, waits, clock


def lines(number: int) -> Lines:
    return Lines(LINE * number)


def add(to: Admission, number: int, timeout: float = 10.0) -> Accepted:
    return to.add_lines("acme", "events", lines(number), Format.NDJSON, timeout, numbered=True)


def test_ad2_a_call_waits_until_its_tenant_may_send_it() -> None:
    to, intake, waits, _ = admission(Rates(records_per_second=10, burst_seconds=1))
    assert add(to, 10) == Accepted(10)
    assert waits.lasted == []
    assert add(to, 5) == Accepted(5)
    assert sum(waits.lasted) == pytest.approx(0.5)
    assert intake.used == 15 * 16


def test_ad2_a_call_that_would_wait_too_long_raises_at_once_and_says_in_how_many_seconds_to_come_again() -> None:
    to, intake, waits, clock = admission(Rates(records_per_second=10, burst_seconds=1))
    add(to, 10)
    with pytest.raises(OverLimit, match="tenant acme sends more than its rate allows") as over:
        add(to, 5, timeout=0.4)
    assert over.value.retry_seconds == pytest.approx(0.5)
    assert over.value.accepted == 0
    assert (waits.lasted, intake.used) == ([], 160)
    clock.advance(0.5)
    assert add(to, 5, timeout=0) == Accepted(5)


@pytest.mark.parametrize("rates", [Rates(records_per_second=10, burst_seconds=1), Rates(160, 0, 1)])
def test_ad2_a_call_larger_than_the_burst_goes_in_by_parts_and_the_error_says_how_many_did(rates: Rates) -> None:
    to, intake, waits, _ = admission(rates)
    assert add(to, 34) == Accepted(34)
    assert sum(waits.lasted) == pytest.approx(2.4)
    to, intake, waits, _ = admission(rates)
    with pytest.raises(OverLimit) as over:
        add(to, 34, timeout=0.9)
    assert over.value.accepted == 10
    assert intake.used == 160


def test_ad2_the_numbers_of_lines_survive_the_cut() -> None:
    part = Lines(b"\n" + LINE * 3 + b"\n" + LINE * 3).part(2, 5)
    assert (part.data, part.numbers.tolist(), len(part), part.size(1, 3)) == (LINE * 3, [4, 6, 7], 3, 32)


def test_ad2_rows_of_a_table_go_in_by_parts() -> None:
    to, _, waits, _ = admission(Rates(records_per_second=10, burst_seconds=1))
    table = pa.record_batch({"message": ["m"] * 25})
    assert to.add_table("acme", "events", table, 10.0) == Accepted(25)
    assert sum(waits.lasted) == pytest.approx(1.5)


def test_ad2_a_single_record_larger_than_the_burst_goes_in_and_is_paid_for() -> None:
    to, _, waits, _ = admission(Rates(bytes_per_second=10, burst_seconds=1))
    to.add_record("acme", "events", LINE, 10.0)
    to.add_record("acme", "events", LINE, 10.0)
    assert sum(waits.lasted) == pytest.approx(1.6)


def test_ad3_what_found_no_room_is_given_back() -> None:
    to, _, waits, _ = admission(Rates(records_per_second=10, burst_seconds=1), memory=100)
    to.add_record("acme", "events", LINE, 0.0)
    with pytest.raises(NotAccepted):
        to.add_lines("acme", "events", lines(6), Format.NDJSON, 0.0, numbered=True)
    with pytest.raises(NotAccepted):
        to.add_record("acme", "events", LINE * 6, 0.0)
    assert to.pacing.allowances.wait("acme", 0, 9) == 0
    assert to.pacing.allowances.wait("acme", 0, 10) > 0
    assert waits.lasted == []


def test_new_rates_end_a_wait_at_once() -> None:
    clock, source = ManualClock(), FixedSource()
    source.change("acme", rates=Rates(records_per_second=1, burst_seconds=1))
    waits = Waits(clock)

    def wait(seconds: float) -> None:
        waits(seconds)
        source.change("acme", rates=Rates(records_per_second=1000, burst_seconds=1))

    pacing = Pacing(allowances(settings(), source, clock), clock, wait)
    pacing.take("acme", "events", 1, 1, 0.0)
    pacing.take("acme", "events", 1, 1, 60.0)
    assert sum(waits.lasted) <= 0.51


def test_an_applications_client_heeds_the_limits_of_the_settings_without_any_configuration() -> None:
    producer = FakeProducer()
    with client(None, producer, edge_tenant_records_per_second=1) as edge:
        assert edge.log_ndjson("acme", "events", LINE * 10) == Accepted(10)
        with pytest.raises(OverLimit):
            edge.log("acme", "events", {"message": "m"}, timeout=0)
        edge.log("other", "events", {"message": "m"}, timeout=0)
    assert len(rows(producer.log, DATASETS)) == 11


def test_a_tenant_that_waits_does_not_hold_up_another() -> None:
    producer = FakeProducer()
    with client(None, producer, edge_tenant_records_per_second=1) as edge:
        edge.log_ndjson("acme", "events", LINE * 10)
        waiting = threading.Thread(target=edge.log, args=("acme", "events", {"message": "m"}), daemon=True)
        waiting.start()
        edge.log_ndjson("other", "events", LINE * 10, timeout=0)
        waiting.join(30)
        assert not waiting.is_alive()
