"""Drills on a stack that others use: refused unless meant, and nobody but their own tenants is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from logflume.cli import main
from logflume.drill.catalogue import DRILLS
from logflume.drill.given import GivenGround, beside
from logflume.drill.tenant import make
from logflume.errors import Misconfigured
from logflume.model.owner import Owner
from logflume.model.tenant import Tenant, TenantDataset
from logflume.settings import Settings

GIVEN = {"LOGFLUME_KAFKA_BOOTSTRAP": "127.0.0.1:1", "LOGFLUME_STORE_URL": "file:///nowhere"}


def other(name: str, days: int = 7) -> Tenant:
    return Tenant(name, {"events": TenantDataset("events", days)})


def test_g3_everybody_who_is_no_drills_stays_the_same_object() -> None:
    others = {name: other(name) for name in ("acme", "drills", "drill-old-00001", "my-drill-1")}
    after = beside(others, {"drill-whale-00000": other("drill-whale-00000")})
    assert set(after) == {"acme", "drills", "my-drill-1", "drill-whale-00000"}
    assert all(after[name] is others[name] for name in ("acme", "drills", "my-drill-1"))
    assert beside(after, {}) == {name: others[name] for name in ("acme", "drills", "my-drill-1")}


def test_a_drills_tenants_on_a_given_stack_are_the_apis_and_lose_their_tokens_when_told(tmp_path: Path) -> None:
    settings = Settings(kafka_bootstrap="127.0.0.1:1", store_url="file:///nowhere")
    ground = GivenGround(tmp_path, print, settings)
    ground.declare(make("whale", 0, 2))
    ground.declare(make("whale", 1, 1), tokens=False)
    first, second = ground._tenants.values()
    assert {first.owner, first.datasets["events"].owner, first.tokens[0].owner} == {Owner.API}
    assert second.tokens == ()
    assert ground.parts() == []


def test_on_a_given_stack_nothing_is_killed_stopped_or_commanded(tmp_path: Path) -> None:
    ground = GivenGround(tmp_path, print, Settings(kafka_bootstrap="127.0.0.1:1", store_url="file:///nowhere"))
    for harm in (ground.kill, ground.pause, ground.resume, ground.command):
        with pytest.raises(Misconfigured):
            harm("sink-1")


@pytest.mark.parametrize("name", DRILLS)
def test_a_given_stack_is_refused_unless_it_is_meant(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in GIVEN.items():
        monkeypatch.setenv(variable, value)
    assert main.run(["drill", "run", name]) == main.REFUSED
    assert "LOGFLUME_KAFKA_BOOTSTRAP" in capsys.readouterr().err
    if not DRILLS[name].given:
        assert main.run(["drill", "run", name, "--i-mean-it"]) == main.REFUSED


def test_wrong_use_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["drill", "run", "no-such"]) == main.WRONG_USE
    assert main.run(["drill", "run", "whale", "--scale", "huge"]) == main.WRONG_USE
    assert main.run(["drill", "run", "whale", "--i-mean-it"]) == main.WRONG_USE
    assert main.run(["drill", "run", "whale", "--report", "/no/such/folder/x.html"]) == main.WRONG_USE
    assert "blank-config" in capsys.readouterr().err


def test_every_drill_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["drill", "list", "--json"]) == main.DONE
    listed = capsys.readouterr().out
    assert all(f'"{name}"' in listed for name in DRILLS)
