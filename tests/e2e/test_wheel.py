"""The wheel as a stranger gets it: installed in a clean environment, far from the checkout, without extras."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from logflume.cli.main import COMMANDS
from logflume.settings import PREFIX

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).parent / "uv")


@dataclass(frozen=True)
class Installed:
    """An environment in which logflume is installed, and a folder to stand in."""

    python: str
    folder: Path

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``python command`` with no settings but ``variables``."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        state = {"LOGFLUME_STATE_DIR": str(self.folder / "state")}
        return subprocess.run(
            [self.python, *command],
            env=kept | state | variables,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def topics(self, **variables: str) -> list[str]:
        """The names that ``logflume topics list`` gives."""
        done = self.run("-m", "logflume", "topics", "list", "--json", **variables)
        assert done.returncode == 0, done.stderr
        return [topic["name"] for topic in json.loads(done.stdout)]

    def contract(self) -> Path:
        """The contract folder that it finds."""
        return Path(self.run("-c", "from logflume import contract; print(contract.find())").stdout.strip())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    _uv(
        "build",
        "--wheel",
        "--require-hashes",
        "--build-constraints",
        str(ROOT / "requirements" / "build.txt"),
        "-o",
        str(folder),
        str(ROOT),
    )
    [built] = folder.glob("*.whl")
    _uv("venv", "--python", sys.executable, str(folder / "env"))
    python = str(folder / "env" / "bin" / "python")
    _uv("pip", "install", "--python", python, "--require-hashes", "-r", str(ROOT / "requirements" / "base.txt"))
    _uv("pip", "install", "--python", python, "--no-deps", str(built))
    return Installed(python, folder)


def _uv(*arguments: str) -> None:
    done = subprocess.run([UV, "-q", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def editable(tmp_path: Path) -> Installed:
    """This very environment, seen from another folder."""
    return Installed(sys.executable, tmp_path)


def test_the_wheel_brings_its_contract(wheel: Installed, editable: Installed) -> None:
    assert wheel.contract().is_relative_to(wheel.folder / "env")
    assert wheel.topics() == editable.topics() != []


def test_the_wheel_brings_the_page_whole(wheel: Installed) -> None:
    code = "from pathlib import Path; import logflume.page as p; f = Path(p.__file__).parent; "
    code += "print(*sorted(str(e.relative_to(f)) for d in ('templates', 'static') for e in (f / d).iterdir()))"
    source = ROOT / "streams" / "logflume" / "page"
    files = [str(each.relative_to(source)) for name in ("templates", "static") for each in (source / name).iterdir()]
    assert wheel.run("-c", code).stdout.split() == sorted(files)
    assert len(files) > 20


def test_an_editable_install_uses_the_contract_of_its_checkout(editable: Installed) -> None:
    assert editable.contract() == ROOT / "topics"


def test_a_setting_names_another_contract(wheel: Installed, editable: Installed, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(ROOT / "topics", mine)
    (mine / "datasets" / "events.yaml").unlink()
    for installed in (wheel, editable):
        names = installed.topics(LOGFLUME_TOPICS_DIR=str(mine))
        assert "logflume.ingest.events" not in names
        assert "logflume.ingest.http_requests" in names


@pytest.mark.parametrize("name", COMMANDS)
def test_without_the_extra_each_command_works_or_names_the_extra(wheel: Installed, name: str) -> None:
    done = wheel.run("-m", "logflume", name, "--help")
    extra = {"local": "local", "demo": "local", "drill": "local", "top": "top"}.get(name)
    if extra is not None:
        assert done.returncode == 2
        assert f"pip install 'logflume[{extra}]'" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
