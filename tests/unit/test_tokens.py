"""Tokens: made, kept as hashes in a tenant's file, and known again; never by their text alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from logflume import contract
from logflume.cli.main import run
from logflume.config.directory import DirectorySource
from logflume.errors import Misconfigured
from logflume.model import Configuration, Scope, Token, load
from logflume.model.token import digest, id_of, text_of

DATASETS = load(contract.find())
MINE = text_of("k1", bytes(32))
THEIRS = text_of("k2", b"x" * 32)
GOOD = "{id: k1, sha256: " + "a" * 64
NOW = 1_700_000_000_000_000_000


def file(folder: Path, name: str, *lines: str) -> None:
    tokens = "".join(f"  - {line}\n" for line in lines)
    (folder / f"{name}.yaml").write_text(f"name: {name}\ndatasets: {{events: }}\ntokens:\n{tokens}")


def holder(found: Configuration, text: str, now_ns: int = NOW) -> str | None:
    held = found.holder(text, now_ns)
    return None if held is None else held.tenant


def test_a_token_is_its_tenants_and_nobody_elses(tmp_path: Path) -> None:
    file(tmp_path, "acme", f"{{id: k1, sha256: {digest(MINE)}, note: the shop}}")
    file(tmp_path, "other", f"{{id: k2, sha256: {digest(THEIRS)}}}")
    found = DirectorySource(tmp_path, DATASETS).current()
    assert found.tenants["acme"].tokens == (Token("k1", digest(MINE), "the shop"),)
    assert holder(found, MINE) == "acme"
    assert holder(found, THEIRS) == "other"


@pytest.mark.parametrize(
    "text",
    ["", "lf_", "k1", MINE + "x", MINE[:-1] + "B", MINE.replace("k1", "k2"), text_of("k3", bytes(32)), "lf_k1_é" * 9],
)
def test_what_is_no_token_of_the_configuration_has_no_owner(tmp_path: Path, text: str) -> None:
    file(tmp_path, "acme", f"{{id: k1, sha256: {digest(MINE)}}}")
    assert holder(DirectorySource(tmp_path, DATASETS).current(), text) is None


def test_a_secret_with_an_underscore_is_read_whole() -> None:
    text = text_of("a-b", bytes([255]) * 32)
    assert "_" in text[7:]
    assert id_of(text) == "a-b"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{id: k 1, sha256: " + "a" * 64 + "}", r"acme.yaml:4: tokens\[0\].id: that is no token's id"),
        ("{id: k1, sha256: abc}", r"acme.yaml:4: tokens\[0\].sha256: 64 hex digits"),
        ("{id: k1}", r"acme.yaml:4: tokens\[0\].sha256: is missing"),
        ("{id: k1, sha256: " + "a" * 64 + ", secret: x}", r"acme.yaml:4: tokens\[0\].secret: is not known"),
        (GOOD + ", scopes: [write]}", r"acme.yaml:4: tokens\[0\].scopes: 'write' is no scope"),
        (GOOD + ", scopes: []}", r"acme.yaml:4: tokens\[0\].scopes: name at least one"),
        (GOOD + ", expires: tomorrow}", r"acme.yaml:4: tokens\[0\].expires: 'tomorrow' is no time"),
        (GOOD + ", expires: 2027-01-31T12:00:00}", r"tokens\[0\].expires: '2027-01-31T12:00:00' is no time"),
        (GOOD + ", expires: 3000-01-01}", r"tokens\[0\].expires: '3000-01-01' is no time"),
        ("text", r"acme.yaml:3: tokens: a list of mappings"),
    ],
)
def test_a_mistake_names_file_line_and_field(tmp_path: Path, line: str, complaint: str) -> None:
    file(tmp_path, "acme", line)
    with pytest.raises(Misconfigured, match=complaint):
        DirectorySource(tmp_path, DATASETS)


def test_two_tokens_with_one_id_are_refused_in_a_file_and_across_tenants(tmp_path: Path) -> None:
    line = f"{{id: k1, sha256: {digest(MINE)}}}"
    file(tmp_path, "acme", line, line)
    with pytest.raises(Misconfigured, match=r"acme.yaml:5: tokens\[1\].id: the token k1 stands twice"):
        DirectorySource(tmp_path, DATASETS)
    file(tmp_path, "acme", line)
    file(tmp_path, "other", line)
    with pytest.raises(Misconfigured, match=r"other.yaml:1: tokens: the id k1 is a token of acme too"):
        DirectorySource(tmp_path, DATASETS)


def test_another_token_is_another_configuration(tmp_path: Path) -> None:
    file(tmp_path, "acme", f"{{id: k1, sha256: {digest(MINE)}}}")
    before = DirectorySource(tmp_path, DATASETS).current()
    file(tmp_path, "acme", f"{{id: k2, sha256: {digest(THEIRS)}}}")
    after = DirectorySource(tmp_path, DATASETS).current()
    assert before.hash != after.hash


def test_what_the_command_prints_goes_into_a_file_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "new", "--id", "k7", "--note", 'the "shop": all']) == 0
    printed = capsys.readouterr()
    line = next(line for line in printed.err.splitlines() if line.startswith("  - "))
    (tmp_path / "acme.yaml").write_text(f"name: acme\ndatasets: {{events: }}\ntokens:\n{line}\n")
    found = DirectorySource(tmp_path, DATASETS).current()
    assert holder(found, printed.out.strip()) == "acme"
    assert found.tenants["acme"].tokens[0].note == 'the "shop": all'
    assert printed.out.strip() not in printed.err


def test_an_id_that_no_token_can_have_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "new", "--id", "a_b"]) == 2
    assert "no token's id" in capsys.readouterr().err


def test_a_token_in_the_place_of_its_id_is_not_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file(tmp_path, "acme", f"{{id: {MINE}, sha256: {'a' * 64}}}")
    with pytest.raises(Misconfigured, match=r"acme.yaml:4: tokens\[0\].id: ") as error:
        DirectorySource(tmp_path, DATASETS)
    assert MINE[8:24] not in str(error.value)
    assert run(["token", "new", "--id", MINE]) == 2
    assert MINE[8:24] not in capsys.readouterr().err


def test_a_token_allows_what_its_scopes_say_and_without_any_to_send(tmp_path: Path) -> None:
    file(
        tmp_path,
        "acme",
        f"{{id: k1, sha256: {digest(MINE)}}}",
        f"{{id: k2, sha256: {digest(THEIRS)}, scopes: [query, admin]}}",
    )
    found = DirectorySource(tmp_path, DATASETS).current()
    allowed = {(text, scope) for text in (MINE, THEIRS) for scope in Scope if found.allowed(text, scope, NOW) == "acme"}
    assert allowed == {(MINE, Scope.INGEST), (THEIRS, Scope.QUERY), (THEIRS, Scope.ADMIN)}


@pytest.mark.parametrize(
    ("expires", "at_ns"),
    [
        ("2027-01-31T12:00:00Z", 1_801_396_800_000_000_000),
        ("2027-01-31T12:00:00+02:00", 1_801_389_600_000_000_000),
        ("2027-01-31", 1_801_353_600_000_000_000),
    ],
)
def test_a_token_is_nobodys_from_the_moment_at_which_it_expires(tmp_path: Path, expires: str, at_ns: int) -> None:
    file(tmp_path, "acme", f"{{id: k1, sha256: {digest(MINE)}, expires: {expires}}}")
    found = DirectorySource(tmp_path, DATASETS).current()
    assert holder(found, MINE, at_ns - 1) == "acme"
    assert holder(found, MINE, at_ns) is None
    assert found.allowed(MINE, Scope.INGEST, at_ns) is None
