"""What files and API own together, jobs' ids, and what a plan shows of the difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from rich.console import Console

from logflume import contract
from logflume.cli import config_view
from logflume.config import guard, merge, plan
from logflume.config.difference import HIDDEN, Action, Change, Field, Kind, difference
from logflume.config.inforce import InForce
from logflume.config.log import Log
from logflume.config.manifest import Manifest
from logflume.errors import Misconfigured
from logflume.model import Configuration, FileFormat, Job, Owner, Rates, Route, Target, Tenant, TenantDataset, Token
from logflume.model import load as load_datasets

DATASETS = load_datasets(contract.find())
LIMITS = guard.Limits(0.2, 2.0)
ROUTE = Route(3, 4, "id", (1, 2))


def job(key: str, owner: Owner = Owner.FILE, id: int = 0, dataset: str = "events", **target: str) -> Job:
    return Job(key, dataset, Target("s3://b", **target), FileFormat.PARQUET, id=id, owner=owner)  # type: ignore[arg-type]


def tenant(
    name: str = "acme",
    *,
    datasets: tuple[TenantDataset, ...] = (TenantDataset("events", 30),),
    jobs: tuple[Job, ...] = (),
    tokens: tuple[Token, ...] = (),
    owner: Owner = Owner.FILE,
) -> Tenant:
    return Tenant(
        name,
        MappingProxyType({each.dataset: each for each in datasets}),
        MappingProxyType({each.key: each for each in jobs}),
        tokens,
        owner=owner,
    )


def merged(before: Tenant | None, file: Tenant | None) -> tuple[Tenant | None, list[str]]:
    found, conflicts = merge.merge(
        {before.name: before} if before else {}, {file.name: file} if file is not None else {}
    )
    return found.get("acme"), [conflict.message for conflict in conflicts]


API_SET = TenantDataset("dns_logs", 7, owner=Owner.API)
FILE_SET = TenantDataset("events", 30)
API_TOKEN, FILE_TOKEN = Token("a", "0" * 64, owner=Owner.API), Token("f", "1" * 64)


def test_w1_what_the_api_owns_stays_beside_what_the_file_says() -> None:
    before = tenant(
        datasets=(API_SET, FILE_SET), jobs=(job("mine", Owner.API, 4), job("old", id=5)), tokens=(API_TOKEN, FILE_TOKEN)
    )
    found, conflicts = merged(before, tenant(jobs=(job("new"),), tokens=(Token("z", "2" * 64),)))
    assert conflicts == []
    assert found is not None
    assert set(found.datasets) == {"dns_logs", "events"}
    assert {key: each.id for key, each in found.jobs.items()} == {"mine": 4, "new": 0}
    assert [token.id for token in found.tokens] == ["a", "z"]


def test_w1_a_tenant_of_the_api_stays_without_a_file() -> None:
    before = tenant(owner=Owner.API)
    assert merged(before, None) == (before, [])


def test_w1_a_tenant_whose_file_is_gone_keeps_what_the_api_owns_and_goes_with_its_tokens_otherwise() -> None:
    before = replace(
        tenant(datasets=(API_SET, FILE_SET), jobs=(job("old"),), tokens=(API_TOKEN, FILE_TOKEN)),
        rates=Rates(1),
        principal="p",
    )
    found, conflicts = merged(before, None)
    assert (found, conflicts) == (tenant(datasets=(API_SET,), tokens=(API_TOKEN,)), [])
    assert merged(found, tenant())[1] == []  # its file may come back
    assert merged(tenant(tokens=(API_TOKEN,)), None) == (None, [])


@pytest.mark.parametrize(
    ("before", "file", "told"),
    [
        (tenant(owner=Owner.API), tenant(), "the tenant acme is owned by the API"),
        (tenant(datasets=(replace(FILE_SET, owner=Owner.API),)), tenant(), "is owned by the API"),
        (tenant(jobs=(job("copy", Owner.API, 1),)), tenant(jobs=(job("copy"),)), "is owned by the API"),
        (tenant(tokens=(API_TOKEN,)), tenant(tokens=(Token("a", "3" * 64),)), "a token of acme"),
        (tenant(tokens=(API_TOKEN,)), tenant("other", tokens=(Token("a", "3" * 64),)), "a token of acme"),
    ],
    ids=["tenant", "dataset", "job", "token", "another's token"],
)
def test_w2_a_file_that_names_what_the_api_owns_is_a_conflict(before: Tenant, file: Tenant, told: str) -> None:
    [conflict] = merged(before, file)[1]
    assert told in conflict


@pytest.mark.parametrize("file", [None, tenant(datasets=(TenantDataset("http_requests", 1),))], ids=["gone", "other"])
def test_w2_a_job_of_the_api_keeps_its_dataset(file: Tenant | None) -> None:
    [conflict] = merged(tenant(jobs=(job("copy", Owner.API, 1),)), file)[1]
    assert conflict == "the API's job copy needs the dataset events, which the files would take away"


def test_w3_a_job_keeps_its_id_and_no_id_is_given_twice() -> None:
    first, following = merge.numbered(
        {"b": tenant("b", jobs=(job("x"),)), "a": tenant("a", jobs=(job("z"), job("y")))}, 1
    )
    assert {(name, key): each.id for name, t in first.items() for key, each in t.jobs.items()} == {
        ("a", "y"): 1,
        ("a", "z"): 2,
        ("b", "x"): 3,
    }
    again, _ = merge.merge(first, {"a": tenant("a", jobs=(job("y"),))})
    more, next_job = merge.numbered({**again, "c": tenant("c", jobs=(job("x"), job("y")))}, following)
    assert [each.id for each in (*more["a"].jobs.values(), *more["c"].jobs.values())] == [1, 4, 5]
    assert next_job == 6


def test_w4_routes_stay_with_their_dataset_and_an_old_generation_gets_todays_routes_and_ids() -> None:
    now = tenant(datasets=(replace(FILE_SET, shards=4, routes=(ROUTE,)),), jobs=(job("copy", id=9),))
    found, _ = merged(now, tenant(jobs=(job("copy"),)))
    assert found is not None
    assert (found.datasets["events"].routes, found.datasets["events"].shards) == ((ROUTE,), 1)
    then = {"acme": tenant(jobs=(job("copy", id=2), job("gone", id=3))), "old": tenant("old")}
    back = merge.restored({"acme": now}, then)
    assert back["acme"].datasets["events"].routes == (ROUTE,)
    assert {key: each.id for key, each in back["acme"].jobs.items()} == {"copy": 9, "gone": 3}
    assert back["old"] == tenant("old")


def test_w5_going_back_lets_in_nobody_whose_token_was_taken_away_since() -> None:
    then = {"acme": tenant(tokens=(FILE_TOKEN,)), "gone": tenant("gone", tokens=(Token("g", "2" * 64),))}
    back = merge.restored({"acme": tenant(tokens=(Token("new", "3" * 64),))}, then)
    assert [token.id for token in back["acme"].tokens] == ["new"]
    assert [token.id for token in back["gone"].tokens] == ["g"]
    between = [{}, {"gone": tenant("gone", tokens=(Token("kept", "4" * 64),))}, {"gone": then["gone"]}]
    again = merge.restored({}, then, between)
    assert [token.id for token in again["gone"].tokens] == ["kept"], "g was revoked before the tenant went"
    assert [token.id for token in again["acme"].tokens] == [FILE_TOKEN.id]


def test_an_unchanged_tenant_is_the_same_object_and_no_difference() -> None:
    before = {"acme": tenant(jobs=(job("copy", id=1),))}
    found, _ = merge.merge(before, {"acme": tenant(jobs=(job("copy"),))})
    assert found["acme"] is before["acme"]
    assert not difference(before, found)


def test_the_difference_names_each_object_and_field_and_shows_no_secret() -> None:
    before = tenant(jobs=(job("copy", access_key="env:SECRET_A"), job("gone")), tokens=(FILE_TOKEN,))
    after = replace(
        tenant(
            datasets=(TenantDataset("events", 7), TenantDataset("dns_logs", 1)),
            jobs=(replace(job("copy", access_key="env:SECRET_B"), max_rows=5),),
            tokens=(Token("f", "9" * 64),),
        ),
        rates=Rates(1000),
    )
    found = difference({"acme": before}, {"acme": after})
    assert found.changes == (
        Change(
            "acme",
            Kind.TENANT,
            "",
            Action.CHANGE,
            (Field("rates.bytes_per_second", None, "1000"), Field("rates.burst_seconds", None, "10")),
        ),
        Change(
            "acme",
            Kind.DATASET,
            "dns_logs",
            Action.ADD,
            (Field("retention_days", None, "1"),),
        ),
        Change("acme", Kind.DATASET, "events", Action.CHANGE, (Field("retention_days", "30", "7"),)),
        Change(
            "acme",
            Kind.JOB,
            "copy",
            Action.CHANGE,
            (Field("access_key", HIDDEN, HIDDEN), Field("max_rows", "100000", "5")),
        ),
        found.changes[4],
        Change("acme", Kind.TOKEN, "f", Action.CHANGE, (Field("sha256", HIDDEN, HIDDEN),)),
    )
    assert (found.changes[4].name, found.changes[4].action) == ("gone", Action.REMOVE)
    assert "SECRET" not in repr(found)
    assert found.totals[Kind.JOB, Action.CHANGE] == 1


def in_force(tenants: Mapping[str, Tenant], trouble: str = "") -> InForce:
    configuration = Configuration(4, "", tenants)
    manifest = Manifest(4, "", len(tenants), len(configuration.pairs), 0, 1, 0, "me", "")
    return InForce(configuration, manifest, Log({}, manifest, configuration), trouble, 4, unpublished=False)


def test_conflicts_of_a_folder_are_told_all_at_once_with_file_and_line(tmp_path: Path) -> None:
    text = "name: {}\ndatasets:\n  events:\njobs:\n  copy: {{dataset: events, destination: s3://b}}\n"
    for name in ("acme", "globex"):
        (tmp_path / f"{name}.yaml").write_text(text.format(name))
    owned = replace(FILE_SET, owner=Owner.API)
    now = in_force(
        {
            "acme": tenant(datasets=(owned,)),
            "globex": tenant("globex", jobs=(job("copy", Owner.API, 1),)),
            "x": tenant("x"),
        }
    )
    with pytest.raises(Misconfigured) as error:
        plan.of_folder(now, tmp_path, DATASETS, LIMITS)
    assert f"{tmp_path}/acme.yaml:3: datasets.events: is owned by the API" in str(error.value)
    assert f"{tmp_path}/globex.yaml:5: jobs.copy: is owned by the API" in str(error.value)


def test_the_folder_is_not_listed_anew_for_each_of_thousands_of_conflicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"t{number}" for number in range(60)]
    for name in names:
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\ndatasets:\n  events:\n")
    listed: list[Path] = []
    files = contract.yaml_files

    def listing(folder: Path) -> list[Path]:
        listed.append(folder)
        return files(folder)

    monkeypatch.setattr(contract, "yaml_files", listing)
    now = in_force({name: tenant(name, owner=Owner.API) for name in names})
    with pytest.raises(Misconfigured, match=r"60 mistakes:\n.*t0.yaml:1: the tenant t0 is owned by the API"):
        plan.of_folder(now, tmp_path, DATASETS, LIMITS)
    assert len(listed) == 1


def test_all_mistakes_of_a_folder_are_told_at_once_and_of_very_many_only_the_first(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(
        "name: acme\nwhat: 1\nowho: 2\ndatasets:\n  event:\n  events: {retention_days: 0}\njobs:\n"
        "  a: {dataset: events, destination: http://x}\n  b: {dataset: events, destination: s3://b, fields: [nope]}\n"
        "tokens:\n  - {id: x, sha256: short}\n"
    )
    (tmp_path / "globex.yaml").write_text("name: other\n")
    with pytest.raises(Misconfigured) as error:
        plan.of_folder(in_force({}), tmp_path, DATASETS, LIMITS)
    told = str(error.value)
    for place in (":2: what:", ":3: owho:", ":5: datasets.event:", ":6: datasets.events.retention_days:"):
        assert f"acme.yaml{place}" in told
    for place in (":8: jobs.a.destination:", ":9: jobs.b.fields:", ":11: tokens[0].sha256:"):
        assert f"acme.yaml{place}" in told
    assert "globex.yaml:1: name:" in told
    for number in range(70):
        (tmp_path / f"t{number}.yaml").write_text(f"name: t{number}\n")
    with pytest.raises(Misconfigured, match="and 27 more mistakes"):
        plan.of_folder(in_force({}), tmp_path, DATASETS, LIMITS)


def test_a_generation_with_a_dataset_that_the_contract_lacks_is_not_gone_back_to() -> None:
    then = Configuration(2, "", {"acme": tenant(datasets=(TenantDataset("gone", 1),))})
    with pytest.raises(Misconfigured, match="generation 2 has the dataset gone"):
        plan.of_generation(in_force({}), then, DATASETS, LIMITS)


def shown(found: plan.Plan, *, everything: bool = False) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        for line in config_view.lines(found, everything=everything):
            console.print(line, soft_wrap=True)
    return capture.get()


def test_a_plan_shows_few_tenants_in_full_and_thousands_folded() -> None:
    now = in_force({"acme": tenant(jobs=(job("copy"),)), "gone": tenant("gone")})
    few = plan.of_tenants(now, {"acme": tenant(jobs=(replace(job("copy"), max_rows=5),)), "new": tenant("new")}, LIMITS)
    text = shown(few)
    assert "~ tenant acme\n      ~ job copy\n          max_rows: 100000 → 5\n" in text
    assert "- tenant gone\n      - dataset events\n" in text
    assert "+ dataset events: retention_days 30" in text
    assert "Plan: to add 1 tenant, 1 dataset; to change 1 job; to remove 1 tenant, 1 dataset." in text
    assert "2 → 2 (1 new, 1 gone)" in text
    assert few.refusal is not None
    many = plan.of_tenants(now, {f"t{number:04}": tenant(f"t{number:04}") for number in range(300)}, LIMITS)
    assert len(shown(many).splitlines()) < 30
    assert "… and 290 more tenants added" in shown(many)
    assert len(shown(many, everything=True).splitlines()) > 600


def test_nothing_to_do_is_said_unless_the_topic_must_be_mended() -> None:
    same = {"acme": tenant()}
    assert "Nothing to do: generation 4" in shown(plan.of_tenants(in_force(same), same, LIMITS))
    mending = plan.of_tenants(in_force(same, "the topic is empty"), same, LIMITS)
    assert mending.needed
    assert "Attention: the topic is empty" in shown(mending)
    assert config_view.as_json(mending)["trouble"] == "the topic is empty"
