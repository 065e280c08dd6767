"""What README and docs/ tell people to type: commands that there are, names that can be imported, targets of make."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from logflume.cli.main import build

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`]+)`")
_MAKE = re.compile(r"(?:^|&& )make ([a-z-]+)", re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [body for name, body in _FENCED.findall(page.read_text()) if name == language]


def inline(page: Path) -> list[str]:
    return _INLINE.findall(_FENCED.sub("", page.read_text()).replace("\n", " "))


def words(line: str) -> Iterator[list[str]]:
    """The words of each ``logflume`` in a line of a shell, without what is piped, redirected or remarked."""
    command: list[str] = []
    for word in [*shlex.split(re.split(r"\s{3,}", line.strip())[0], comments=True), "|"]:
        if word in ("|", ">", "&&"):
            if command[:1] == ["logflume"]:
                yield command[1:]
            command = []
        else:
            command.append(word)


def typed() -> Iterator[tuple[str, str]]:
    """Each page's name, and each whole command line in its blocks."""
    for page in PAGES:
        for _, body in _FENCED.findall(page.read_text()):
            yield from ((page.name, line) for line in body.splitlines() if re.search(r"(^|\| )logflume [a-z]", line))


def mentioned() -> Iterator[tuple[str, str]]:
    """Each page's name, and each command that its text mentions, maybe without its arguments."""
    for page in PAGES:
        yield from ((page.name, code) for code in inline(page) if code.startswith("logflume "))


def find(given: list[str]) -> tuple[Any, list[str]]:
    """The command that words call, and the words that are left for it."""
    command: Any = typer.main.get_command(build(given[0]))
    while given and hasattr(command, "commands"):
        assert given[0] in command.commands, f"there is no command {given[0]!r}"
        command, given = command.commands[given[0]], given[1:]
    return command, given


@pytest.mark.parametrize(("page", "line"), list(typed()))
def test_a_command_line_is_taken_as_it_stands(page: str, line: str) -> None:
    calls = list(words(line))
    assert calls
    for call in calls:
        command, rest = find(call)
        command.make_context(call[0], rest)  # parses, and raises a usage error; nothing runs


@pytest.mark.parametrize(("page", "code"), list(mentioned()))
def test_a_mentioned_command_and_its_options_exist(page: str, code: str) -> None:
    for call in words(code):
        command, rest = find(call)
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options


def test_commands_are_found_in_the_pages_and_wrong_ones_are_noticed() -> None:
    assert {line.split()[1] for page, line in typed() if page == "README.md"} >= {
        "demo",
        "local",
        "send",
        "query",
        "sort",
        "sink",
    }
    assert list(words("zcat *.gz | logflume send - --tenant a > b  # x")) == [["send", "-", "--tenant", "a"]]
    with pytest.raises(AssertionError, match="no command 'lst'"):
        find(["table", "lst"])
    command, rest = find(["lag", "--jsn"])
    with pytest.raises(Exception, match="No such option"):
        command.make_context("lag", rest)


def sections(page: Path) -> set[str]:
    """The names that links to a page's headings have, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_to_files_and_headings_that_there_are() -> None:
    for page in [*PAGES, ROOT / "ARCHITECTURE.md", *(ROOT / "docs" / "decisions").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]*#?[^)]*)\)", _FENCED.sub("", page.read_text())):
            name, _, section = target.partition("#")
            found = page.parent / name if name else page
            assert found.exists(), f"{page.name}: {target}"
            assert not section or section in sections(found), f"{page.name}: {target}"


@pytest.mark.parametrize("block", blocks(ROOT / "README.md", "python"))
def test_what_readmes_python_imports_exists(block: str) -> None:
    tree = ast.parse(block)
    compile(tree, "README.md", "exec")
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert [name.name for name in node.names if not hasattr(module, name.name)] == []


def test_every_target_of_make_that_a_page_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {name for line in re.findall(r"^([a-z][a-z -]*):", makefile, re.MULTILINE) for name in line.split()}
    for page in PAGES:
        shell = [*blocks(page, "bash"), *blocks(page, ""), *inline(page)]
        named = {target for code in shell for target in _MAKE.findall(code)}
        assert named <= targets, page.name
        assert named or page.name != "README.md"
