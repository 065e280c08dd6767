"""A forked worker of the tests is what a started command would be."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import logflume
from tests.support.waiting import until
from tests.support.zygote import Zygote

ZYGOTE = Zygote()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LOGFLUME_STATE_DIR": str(tmp_path), "LOGFLUME_SETTINGS": os.devnull}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [(["--version"], 0, f"logflume {logflume.__version__}"), (["no-such"], 2, "No such command"), (["sink"], 2, "")],
)
def test_z2_it_ends_with_the_commands_code_and_its_log_has_what_was_said(
    tmp_path: Path, environment: dict[str, str], arguments: list[str], code: int, said: str
) -> None:
    log = tmp_path / "new" / "log"
    started = ZYGOTE.start(arguments, log, environment)
    assert started.wait(60) == code
    assert not started.alive()
    assert said in log.read_text()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 0)])
def test_z2_it_is_killed_and_ended_as_a_command_in_a_session_of_its_own(
    tmp_path: Path, environment: dict[str, str], number: signal.Signals, code: int
) -> None:
    (tmp_path / "tenants").mkdir()
    (tmp_path / "store").mkdir()
    (tmp_path / "tenants" / "acme.yaml").write_text("name: acme\ndatasets: {events: }\n")
    served = {"STORE_URL": f"file://{tmp_path}/store", "TENANTS_DIR": str(tmp_path / "tenants"), "SERVE_PORT": "0"}
    more = {f"LOGFLUME_{name}": value for name, value in served.items()} | {"LOGFLUME_SERVE_AUDIT": "off"}
    log = tmp_path / "log"
    started = ZYGOTE.start(["serve"], log, environment | more)
    until(lambda: "explore.started" in log.read_text(), 60, "it serves")
    assert os.getsid(started.pid) == started.pid
    assert started.alive()
    started.signal(number)
    assert started.wait(60) == code


def test_what_a_fork_has_in_its_environment_is_its_own(tmp_path: Path, environment: dict[str, str]) -> None:
    """Crash points are read when a module is imported, which it was before the fork."""
    told = ZYGOTE.start(["local", "status"], tmp_path / "log", environment | {"LOGFLUME_NO_SUCH": "1"})
    assert told.wait(60) == 2
    assert "LOGFLUME_NO_SUCH" in (tmp_path / "log").read_text()
    assert "LOGFLUME_NO_SUCH" not in os.environ
