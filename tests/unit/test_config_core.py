"""Generations: tenants as messages, put together whole or not at all, and what may follow what."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logflume.config import guard, manifest
from logflume.config.assembly import Assembly
from logflume.config.manifest import Accepted, Manifest
from logflume.config.tenants import Codec
from logflume.errors import Refused
from logflume.model import (
    Configuration,
    FileFormat,
    Job,
    Owner,
    Rates,
    Retired,
    Route,
    Scope,
    Target,
    Tenant,
    TenantDataset,
    Token,
)

CODEC = Codec()
LIMITS = guard.Limits(shrink=0.2, growth=2.0)
FULL = Tenant(
    "acme",
    MappingProxyType(
        {
            "events": TenantDataset("events", 30, 4, (Route(7, 4, "id", (1, 2, 3)),), Owner.API),
            "http_requests": TenantDataset("http_requests", 7),
        }
    ),
    MappingProxyType(
        {
            "all": Job(
                "all",
                "events",
                Target("s3://b/p", region="eu", path_style=True, access_key="env:A", secret_key="file:/run/s"),
                FileFormat.PARQUET,
                ("time", "message"),
                10,
                100_000,
                1.5,
                17,
                Owner.FILE,
            ),
            "theirs": Job("theirs", "events", Target("s3://b/q"), FileFormat.CSV, id=18, owner=Owner.API),
        }
    ),
    (Token("a", "0" * 64, "note", frozenset({Scope.QUERY, Scope.ADMIN}), 5, 6, Owner.API), Token("b", "1" * 64)),
    Rates(1000, 10, 3),
    "User:acme",
    Owner.API,
)


def tenants(*names: str) -> list[Tenant]:
    return [Tenant(name, MappingProxyType({"events": TenantDataset("events", 30)})) for name in names]


def assembled(found: list[Tenant]) -> Assembly:
    assembly = Assembly(CODEC)
    for tenant in found:
        assembly.put(tenant.name, CODEC.encode(tenant))
    return assembly


def manifest_of(assembly: Assembly, generation: int = 3) -> Manifest:
    return Manifest(generation, assembly.hash, len(assembly), len(assembly), 0, 1, 5, "me", "because")


def configuration(generation: int, names: list[str]) -> Configuration:
    return Configuration(generation, "", MappingProxyType({tenant.name: tenant for tenant in tenants(*names)}))


def test_a_tenant_comes_back_equal_with_everything_that_it_has() -> None:
    assert CODEC.decode(CODEC.encode(FULL)) == FULL


def test_a_tenant_gives_the_same_bytes_whatever_order_its_parts_stand_in() -> None:
    other = Tenant(
        FULL.name,
        MappingProxyType(dict(reversed(FULL.datasets.items()))),
        FULL.jobs,
        FULL.tokens[::-1],
        FULL.rates,
        FULL.principal,
        FULL.owner,
    )
    assert CODEC.encode(other) == CODEC.encode(FULL)


def test_a_manifest_comes_back_equal() -> None:
    accepted = (Accepted(8, 812, 0, "who", "why"),)
    retired = (Retired("acme", "events", (Route(7, 4, "id", (1, 2, 3)),)),)
    given = Manifest(9, "ab", 1, 2, 3, 4, 5, "who", "why", accepted, retired)
    codec = manifest.Codec()
    assert codec.decode(codec.encode(given)) == given


def test_messages_that_agree_with_their_manifest_are_a_generation() -> None:
    assembly = assembled([FULL, *tenants("globex")])
    found = assembly.whole(manifest_of(assembly))
    assert (found.generation, found.made_ns) == (3, 5)
    assert found.tenants == {"acme": FULL, "globex": tenants("globex")[0]}


@pytest.mark.parametrize("lost", ["acme", "globex"])
def test_half_a_generation_is_refused(lost: str) -> None:
    assembly = assembled([FULL, *tenants("globex")])
    said = manifest_of(assembly)
    assembly.put(lost, None)
    with pytest.raises(Refused, match="2 tenants and 1 are here"):
        assembly.whole(said)


def test_another_tenant_than_the_manifest_says_is_refused_by_the_hash() -> None:
    assembly = assembled(tenants("acme", "globex"))
    said = manifest_of(assembly)
    assembly.put("acme", CODEC.encode(FULL))
    with pytest.raises(Refused, match="another hash"):
        assembly.whole(said)


@pytest.mark.parametrize("value", [b"", b"rubbish", CODEC.encode(FULL)[:-3], CODEC.encode(tenants("initech")[0])])
def test_a_message_that_is_no_tenant_or_anothers_is_refused_by_name(value: bytes) -> None:
    assembly = assembled(tenants("globex"))
    assembly.put("acme", value)
    with pytest.raises(Refused, match="acme"):
        assembly.whole(manifest_of(assembly))


def _with(*, job: dict[str, Any] | None = None, dataset: dict[str, Any] | None = None, **own: Any) -> Tenant:
    jobs = {"all": replace(FULL.jobs["all"], **job or {})}
    datasets = {"events": replace(FULL.datasets["events"], **dataset or {})}
    return replace(FULL, datasets=MappingProxyType(datasets), jobs=MappingProxyType(jobs), **own)


@pytest.mark.parametrize(
    "wrong",
    [
        _with(rates=Rates(-1, 0)),
        _with(rates=Rates(0, -1)),
        _with(rates=Rates(1, 0, 0)),
        _with(dataset={"retention_days": 0}),
        _with(dataset={"shards": 0}),
        _with(dataset={"routes": (Route(7, 0, "id", (1,)),)}),
        _with(job={"key": "../other"}),
        _with(job={"max_rows": 0}),
        _with(job={"max_bytes": 0}),
        _with(job={"max_age_seconds": 0.0}),
        _with(job={"max_age_seconds": float("nan")}),
        _with(job={"max_age_seconds": float("inf")}),
    ],
)
def test_what_no_worker_could_work_with_is_refused_by_name(wrong: Tenant) -> None:
    assembly = assembled(tenants("globex"))
    assembly.put("acme", CODEC.encode(_with()))
    assert assembly.whole(manifest_of(assembly)).tenants["acme"] == _with()
    assembly.put("acme", CODEC.encode(wrong))
    with pytest.raises(Refused, match="the message of tenant acme"):
        assembly.whole(manifest_of(assembly))


def test_a_tenant_that_did_not_change_is_not_decoded_again() -> None:
    assembly = assembled(tenants("acme", "globex"))
    before = assembly.whole(manifest_of(assembly)).tenants
    assembly.put("acme", CODEC.encode(before["acme"]))
    assembly.put("globex", CODEC.encode(Tenant("globex", before["acme"].datasets, principal="x")))
    after = assembly.whole(manifest_of(assembly, 4)).tenants
    assert after["acme"] is before["acme"]
    assert after["globex"] != before["globex"]


def test_a_blank_generation_is_refused_whatever_was_named() -> None:
    blank = Configuration(2, "", MappingProxyType({"acme": Tenant("acme", MappingProxyType({}))}))
    with pytest.raises(guard.Blank):
        guard.check(None, blank, LIMITS)
    with pytest.raises(guard.Blank):
        guard.check(configuration(1, ["a"]), blank, LIMITS, removal_of=1)
    with pytest.raises(guard.Blank):
        guard.check_offered(configuration(1, ["a"]), blank, LIMITS, [Accepted(2, 1, 0, "", "")])


NAMES = [f"t{number}" for number in range(10)]


def test_a_fifth_may_go_and_more_only_by_its_very_number() -> None:
    before = configuration(1, NAMES)
    guard.check(before, configuration(2, NAMES[2:]), LIMITS)
    after = configuration(2, NAMES[3:])
    for named in (0, 2, 4):
        with pytest.raises(guard.Shrunk, match="takes away 3 of the 10") as refused:
            guard.check(before, after, LIMITS, removal_of=named)
        assert refused.value.pairs == 3
    guard.check(before, after, LIMITS, removal_of=3)


def test_twice_as_many_may_be_there_and_more_only_by_the_number_of_new_ones() -> None:
    before = configuration(1, NAMES[:4])
    guard.check(before, configuration(2, NAMES[:8]), LIMITS)
    after = configuration(2, NAMES[:9])
    for named in (0, 4, 9):
        with pytest.raises(guard.Grown, match="adds 5") as refused:
            guard.check(before, after, LIMITS, growth_of=named)
        assert refused.value.pairs == 5
    guard.check(before, after, LIMITS, growth_of=5)


def test_a_worker_heeds_what_the_manifest_says_was_named_since_its_own_generation() -> None:
    before, after = configuration(3, NAMES), configuration(6, NAMES[6:])
    old, named = Accepted(3, 6, 0, "", ""), Accepted(5, 5, 0, "", "")
    for accepted in ([], [old], [Accepted(7, 6, 0, "", "")]):
        with pytest.raises(guard.Shrunk):
            guard.check_offered(before, after, LIMITS, accepted)
    guard.check_offered(before, after, LIMITS, [old, named])
    with pytest.raises(guard.Grown):
        guard.check_offered(configuration(3, NAMES[:2]), configuration(6, NAMES), LIMITS, [])
    guard.check_offered(configuration(3, NAMES[:2]), configuration(6, NAMES), LIMITS, [Accepted(4, 0, 6, "", "")])


@given(st.sets(st.sampled_from(NAMES), min_size=1), st.sets(st.sampled_from(NAMES), min_size=1))
def test_without_anything_named_publisher_and_worker_agree(first: set[str], second: set[str]) -> None:
    before, after = configuration(1, sorted(first)), configuration(2, sorted(second))

    def verdict(check: object) -> type[Refused] | None:
        try:
            check(before, after, LIMITS) if check is guard.check else guard.check_offered(before, after, LIMITS, [])
        except Refused as refused:
            return type(refused)
        return None

    assert verdict(guard.check) == verdict(guard.check_offered)
