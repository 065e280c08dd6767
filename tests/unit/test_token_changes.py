"""Tokens of the API, changed: who may change which, what stays, and that the change meets whatever is in force."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from logflume.cli import token as command
from logflume.cli.main import run
from logflume.clock import ManualClock
from logflume.config import amend as amending
from logflume.config import token_changes as changes
from logflume.config.amend import amend
from logflume.config.author import author
from logflume.config.publish import Order, Overtaken
from logflume.errors import Misconfigured, Refused, Retryable
from logflume.kafka.exclusive import Fenced
from logflume.model import Configuration, Owner, Scope, Tenant, TenantDataset, Token
from logflume.model.token import digest, text_of
from logflume.settings import Settings

NOW = 1_700_000_000_000_000_000
HOUR = 3600 * 10**9
API = Token("api", "a" * 64, "the shop", frozenset({Scope.QUERY}), NOW - HOUR, 0, Owner.API)
ENDED = Token("ended", "c" * 64, "", frozenset({Scope.INGEST}), 1, NOW, Owner.API)
FILE = Token("file", "b" * 64)
TENANTS = {
    "acme": Tenant("acme", {"events": TenantDataset("events", 7)}, tokens=(API, ENDED, FILE)),
    "other": Tenant("other", {"events": TenantDataset("events", 7)}),
}


def token(found: dict[str, Tenant], id: str) -> Token:
    held = changes.find(found, id)
    assert held is not None
    return held.token


def test_a_new_token_is_its_tenants_and_touches_nothing_else() -> None:
    new = Token("new", "d" * 64, owner=Owner.API)
    found = changes.created(TENANTS, "other", new)
    assert found["other"].tokens == (new,)
    assert found["acme"] is TENANTS["acme"]
    with pytest.raises(Misconfigured, match="no tenant 'nobody'"):
        changes.created(TENANTS, "nobody", new)
    with pytest.raises(Misconfigured, match="the id file is a token of acme already"):
        changes.created(TENANTS, "other", Token("file", "d" * 64))


def test_a_revoked_token_is_gone() -> None:
    assert changes.revoked(TENANTS, "api")["acme"].tokens == (ENDED, FILE)


def test_a_token_gets_an_end() -> None:
    found = token(changes.expiring(TENANTS, "api", NOW + HOUR, NOW), "api")
    assert found.expires_ns == NOW + HOUR
    assert (found.sha256, found.scopes, found.note) == (API.sha256, API.scopes, API.note)


def test_a_rotated_token_works_beside_the_new_one_for_the_overlap_and_hands_on_its_scopes() -> None:
    found = changes.rotated(TENANTS, "api", "next", "d" * 64, NOW, HOUR)
    assert token(found, "api").expires_ns == NOW + HOUR
    new = token(found, "next")
    assert (new.scopes, new.note, new.owner, new.sha256) == (API.scopes, API.note, Owner.API, "d" * 64)
    assert (new.created_ns, new.expires_ns) == (NOW, 0)


def test_rotation_never_lets_the_old_one_live_longer_and_gives_the_new_one_the_same_lifetime() -> None:
    ending = changes.expiring(TENANTS, "api", NOW + HOUR, NOW)
    found = changes.rotated(ending, "api", "next", "d" * 64, NOW, 24 * HOUR)
    assert token(found, "api").expires_ns == NOW + HOUR
    assert token(found, "next").expires_ns == NOW + 2 * HOUR  # made an hour ago, to end in one


@pytest.mark.parametrize(
    "change",
    [
        lambda id: changes.revoked(TENANTS, id),
        lambda id: changes.expiring(TENANTS, id, NOW + 1, NOW),
        lambda id: changes.rotated(TENANTS, id, "next", "d" * 64, NOW, 1),
    ],
)
def test_a_files_token_is_changed_in_the_file(change: Callable[[str], Any]) -> None:
    with pytest.raises(Misconfigured, match="the token file stands in the file of tenant acme: change it there"):
        change("file")
    with pytest.raises(Misconfigured, match="there is no token gone"):
        change("gone")
    text = text_of("api", bytes(32))
    with pytest.raises(Misconfigured, match="a token is named by its id") as told:
        change(text)
    assert text not in str(told.value)


def test_what_has_ended_is_not_brought_back() -> None:
    with pytest.raises(Misconfigured, match="has expired already"):
        changes.expiring(TENANTS, "ended", NOW + HOUR, NOW)
    with pytest.raises(Misconfigured, match="has expired already"):
        changes.rotated(TENANTS, "ended", "next", "d" * 64, NOW, 1)
    assert changes.state(ENDED, NOW) == "expired"
    assert changes.state(API, NOW) == "valid"


class Force:
    """What is in force, without Kafka: ``overtakers`` come first, one each time."""

    def __init__(self, tenants: dict[str, Tenant], overtakers: list[dict[str, Tenant]] | None = None) -> None:
        self.configuration = Configuration(1, "", tenants)
        self.generation = 1
        self.overtakers = overtakers or []
        self.orders: list[Order] = []
        self.first: type[Refused] = Overtaken

    def look(self, _: Settings) -> Any:
        return self

    def put(self, _: Settings, order: Order, __: object) -> Any:
        self.orders.append(order)
        if self.overtakers:
            self._set(self.overtakers.pop(0))
            raise self.first("another came first")
        assert order.base == self.generation
        self._set(dict(order.tenants))
        return self

    def _set(self, tenants: dict[str, Tenant]) -> None:
        self.generation += 1
        self.configuration = Configuration(self.generation, "", tenants)


def change(tenants: Any) -> Any:
    return changes.revoked(tenants, "api")


def amended(force: Force) -> Any:
    return amend(
        Settings(),
        change,
        who="me",
        why="x",
        clock=ManualClock(),
        look=force.look,
        put=force.put,
        pause=lambda _: None,
    )


@pytest.mark.parametrize("first", [Overtaken, Fenced])
def test_a_change_meets_what_is_in_force_also_when_another_publisher_came_first(first: type[Refused]) -> None:
    other = changes.created(TENANTS, "other", Token("theirs", "e" * 64))
    force = Force(TENANTS, [other])
    force.first = first
    made = amended(force)
    assert made.generation == 3
    assert [order.base for order in force.orders] == [1, 2]
    assert changes.find(force.configuration.tenants, "theirs") is not None
    assert changes.find(force.configuration.tenants, "api") is None


def test_a_change_gives_up_when_others_are_always_first() -> None:
    force = Force(TENANTS, [TENANTS] * 50)
    with pytest.raises(Retryable, match="10 times another publisher"):
        amended(force)


def test_who_publishes_has_a_name_also_where_the_user_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number of its own."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 1_234_567)
    assert author().startswith("uid-1234567@")


@pytest.fixture
def force(monkeypatch: pytest.MonkeyPatch) -> Force:
    made = Force(TENANTS)
    monkeypatch.setattr(amending, "present", made.look)
    monkeypatch.setattr(amending.amend, "__kwdefaults__", {"look": made.look, "put": made.put, "pause": None})
    return made


def test_a_created_token_is_shown_once_on_stdout_alone_and_works(
    force: Force, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--scope", "query", "--scope", "ingest", "--expires-in", "90d", "--id", "k9", "--note", "the shop"]
    assert run(["token", "create", "--tenant", "other", *options]) == 0
    told = capsys.readouterr()
    text = told.out.strip()
    assert re.fullmatch(r"lf_k9_[A-Za-z0-9_-]{43}", text)
    assert text not in told.err
    made = token(force.configuration.tenants, "k9")  # type: ignore[arg-type, unused-ignore]
    assert (made.sha256, made.owner, made.note) == (digest(text), Owner.API, "the shop")
    assert made.scopes == {Scope.QUERY, Scope.INGEST}
    assert made.expires_ns - made.created_ns == 90 * 24 * HOUR
    assert force.configuration.allowed(text, Scope.QUERY, made.created_ns) == "other"
    assert "k9" in force.orders[0].why
    assert text not in force.orders[0].why


def test_the_list_shows_tokens_and_no_secret(force: Force, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "list", "--json"]) == 0
    told = capsys.readouterr().out
    for id in ("api", "ended", "file"):
        assert f'"{id}"' in told
    assert '"expired"' in told
    assert "the shop" in told
    assert "aaaa" not in told
    assert run(["token", "list", "--tenant", "other"]) == 0
    assert "there are no tokens" in capsys.readouterr().out


def test_the_commands_change_the_tokens(force: Force, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "rotate", "api", "--overlap", "24h", "--new-id", "next"]) == 0
    text = capsys.readouterr().out.strip()
    assert token(force.configuration.tenants, "next").sha256 == digest(text)  # type: ignore[arg-type, unused-ignore]
    assert run(["token", "expire", "next", "--in", "1h"]) == 0
    assert token(force.configuration.tenants, "next").expires_ns  # type: ignore[arg-type, unused-ignore]
    assert run(["token", "revoke", "next"]) == 0
    assert changes.find(force.configuration.tenants, "next") is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "--tenant", "nobody"],
        ["create", "--tenant", "acme", "--scope", "write"],
        ["create", "--tenant", "acme", "--expires-in", "soon"],
        ["create", "--tenant", "acme", "--expires-in", "99999999d"],
        ["create", "--tenant", "acme", "--id", "a_b"],
        ["revoke", "file"],
        ["expire", "api"],
        ["rotate", "api"],
    ],
)
def test_wrong_use_changes_nothing(force: Force, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", *arguments]) == 2
    assert force.generation == 1
    assert capsys.readouterr().out == ""


def test_a_token_that_may_be_in_force_is_shown_although_the_command_failed(
    force: Force, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def put(*_: object) -> Any:
        raise Retryable("generation 2 is in force, but the object store could not be told")

    monkeypatch.setattr(amending.amend, "__kwdefaults__", {"look": force.look, "put": put, "pause": None})
    assert run(["token", "create", "--tenant", "acme"]) == 1
    told = capsys.readouterr()
    assert told.out.startswith("lf_")
    assert "is in force" in told.err
    assert command.app.registered_commands
