"""The locked requirements: complete, hashed, and free of any registry's address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
EXTRAS = {"base.txt": (), "local.txt": ("local",), "test.txt": ("local", "top", "traces", "test")}


def locked(path: Path) -> dict[str, list[str]]:
    """The versions of each package in a lock (more than one where they differ by Python's version)."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", path.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(version)
    return found


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_satisfies_what_the_project_declares(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [
        each for extra in EXTRAS[name] for each in project["optional-dependencies"][extra]
    ]
    have = locked(ROOT / "requirements" / name)
    for requirement in map(Requirement, wanted):
        if requirement.name == project["name"]:
            continue
        versions = have.get(requirement.name.lower(), [])
        assert versions, f"{requirement.name} is not in {name}: make lock"
        assert all(requirement.specifier.contains(version) for version in versions), (
            f"{requirement} in {name}: make lock"
        )


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_has_hashes_and_no_addresses(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"://|--index|--find-links", text)
    assert text.count(" \\\n") >= sum(map(len, locked(lock).values())) > 0
    assert all(
        "--hash=sha256:" in entry for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE) if "==" in entry
    )


def test_the_locks_agree_with_each_other() -> None:
    test = locked(ROOT / "requirements" / "test.txt")
    for name in ("base.txt", "local.txt", "build.txt"):
        for package, versions in locked(ROOT / "requirements" / name).items():
            assert versions == test.get(package, versions if name == "build.txt" else None), (
                f"{package} in {name}: make lock"
            )


def test_what_builds_the_project_is_locked_wherever_it_is_built() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    have = locked(ROOT / "requirements" / "build.txt")
    for requirement in map(Requirement, [*wanted, "editables"]):
        assert requirement.specifier.contains(have[requirement.name][0])
    for file in ("Makefile", "deploy/Dockerfile"):
        text = (ROOT / file).read_text()
        builds = [line for line in text.splitlines() if "uv pip install" in line and "--no-deps" in line]
        assert builds
        assert all("--build-constraints requirements/build.txt" in line for line in builds), f"{file}: {builds}"
