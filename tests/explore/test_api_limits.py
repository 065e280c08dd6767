"""How often one may ask (LI1 to LI4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from logflume.api.caller import Caller
from logflume.api.limits import Limits
from logflume.api.problem import Problem
from logflume.clock import ManualClock
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support.api import GLOBEX, SENDER, Client, problem
from tests.support.tables import append

ONE, TWO, OTHER = Caller("acme", "one"), Caller("acme", "two"), Caller("globex", "one")


def limits(clock: ManualClock, **settings: float) -> Limits:
    given = {"serve_token_requests": 2, "serve_tenant_requests": 3, "serve_burst_seconds": 2}
    return Limits(Settings(**given | settings), clock)  # type: ignore[arg-type]


def answered(ask: Callable[[], None], times: int = 100) -> int:
    """How many requests in a row are answered."""
    for count in range(times):
        try:
            ask()
        except Problem as refused:
            return count if (refused.status, refused.kind, refused.retry_seconds) == (429, "too-many", 1) else -1
    return times


def taken(limits: Limits, who: Caller, times: int = 100) -> int:
    return answered(lambda: limits.take(who), times)


def test_li1_a_token_may_its_burst_and_then_its_rate() -> None:
    clock = ManualClock()
    limited = limits(clock, serve_tenant_requests=0)
    assert taken(limited, ONE) == 4
    clock.advance(1)
    assert taken(limited, ONE) == 2
    assert taken(limited, TWO) == 4
    assert taken(limited, OTHER) == 4


def test_li1_a_tenant_may_no_more_by_many_tokens() -> None:
    limited = limits(ManualClock())
    assert taken(limited, ONE) == 4
    assert taken(limited, TWO) == 2
    assert taken(limited, OTHER) == 4


def test_li2_what_is_refused_costs_nothing() -> None:
    clock = ManualClock()
    limited = limits(clock, serve_tenant_requests=10)
    assert taken(limited, ONE) == 4
    for _ in range(100):
        assert taken(limited, ONE) == 0
    assert taken(limited, TWO, 3) == 3  # the tenant's room is as it was
    clock.advance(2)
    assert taken(limited, ONE) == 4


def test_a_rate_of_zero_is_no_limit() -> None:
    assert taken(limits(ManualClock(), serve_token_requests=0, serve_tenant_requests=0), ONE, 1000) == 1000


def failures(limits: Limits, address: str) -> int:
    return answered(lambda: limits.failed(address))


def test_li3_an_ipv6_network_is_one_address() -> None:
    limited = limits(ManualClock(), serve_address_failures=2)
    assert failures(limited, "2001:db8::1") == 4
    assert failures(limited, "2001:db8::2:1") == 0
    assert failures(limited, "2001:db8:0:1::1") == 4
    assert failures(limited, "192.0.2.1") == 4
    assert failures(limited, "192.0.2.2") == 4


def test_li4_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("logflume.api.limits._MOST", 10)
    limited = limits(ManualClock(), serve_address_failures=2)
    assert failures(limited, "192.0.2.1") == 4
    for other in range(10):
        limited.failed(f"198.51.100.{other}")
    assert failures(limited, "192.0.2.1") == 4


@pytest.fixture
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    store = Store(f"file://{tmp_path_factory.mktemp('store')}")
    append(store, ["one"])
    with asyncio.Runner() as runner:
        client = Client(
            store,
            runner,
            serve_token_requests=1,
            serve_tenant_requests=1,
            serve_address_failures=1,
            serve_burst_seconds=3,
        )
        yield client
        client.close()


def test_one_request_too_many_is_a_problem_and_no_query(api: Client) -> None:
    answers = [api("POST", "/query", json={"sql": "SELECT 1 AS n"}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert problem(answers[-1]) == (429, "too-many")
    assert answers[-1].headers["retry-after"] == "1"
    assert problem(api("GET", "/datasets")) == (429, "too-many")
    assert api("GET", "/datasets", GLOBEX).status_code == 200
    api.clock.advance(1)
    assert len(api("GET", "/queries").json()["queries"]) == 3


def test_a_token_without_the_scope_pays_too(api: Client) -> None:
    answers = [api("GET", "/datasets", SENDER).status_code for _ in range(4)]
    assert answers == [403, 403, 403, 429]


def test_li3_wrong_tokens_are_limited_by_address_and_a_good_one_is_not(api: Client) -> None:
    answers = [api("GET", "/datasets", "lf_x_" + "A" * 43).status_code for _ in range(5)]
    assert answers == [401, 401, 401, 429, 429]
    assert api("GET", "/datasets").status_code == 200
