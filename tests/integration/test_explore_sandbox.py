"""What a query's process can't do, whatever it was made to run (SB1 to SB3), tried from inside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from logflume.errors import Misconfigured
from logflume.explore.engine import calls, sandbox
from logflume.explore.engine.forks import Forks

MAY = {"connect to its port", "start a thread", "look at its limits"}
BOUNDED = {"allocate": "MemoryError", "open many": "OSError"}
NOT_EVERYWHERE = {
    "trace another",
    "open another's memory",
    "connect by MPTCP",
    "connect by Fast Open",
    "connect by IPv6",
}
"""What a host may have switched off for all."""


@pytest.fixture(scope="module")
def tried() -> Iterator[dict[str, dict[str, str]]]:
    """What came of each try, in a process that is confined (``on``), and in one that is not."""
    with tempfile.TemporaryDirectory() as short, subprocess.Popen(["sleep", "60"]) as other:
        path = f"{short}/s"
        with (
            socket.create_server(("127.0.0.1", 0)) as own,
            socket.create_server(("127.0.0.1", 0)) as another,
            socket.socket(socket.AF_UNIX) as named,
            socket.socket(socket.AF_UNIX) as abstract,
        ):
            named.bind(path)
            abstract.bind(f"\0{path}")
            for each in (named, abstract):
                each.listen()
            file = Path(short, "file")
            file.write_text("another tenant's")
            ports = [str(each.getsockname()[1]) for each in (own, another)]
            try:
                yield {mode: _run(mode, *ports, str(other.pid), str(file), path) for mode in ("on", "off")}
            finally:
                other.kill()


def _run(*arguments: str) -> dict[str, str]:
    command = [sys.executable, "-m", "tests.support.confined", *arguments]
    environment = os.environ | {"MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_sb_nothing_that_code_in_the_process_tries_succeeds_but_what_the_engine_needs(
    tried: dict[str, dict[str, str]],
) -> None:
    assert {what for what, came in tried["on"].items() if came == "ok"} == MAY


def test_the_same_tries_succeed_where_it_is_not_confined(tried: dict[str, dict[str, str]]) -> None:
    """They try what they say."""
    failed = {what: came for what, came in tried["off"].items() if came != "ok"}
    assert failed.keys() - NOT_EVERYWHERE == BOUNDED.keys()


def test_sb3_memory_and_descriptors_end_at_their_limits(tried: dict[str, dict[str, str]]) -> None:
    for mode in ("on", "off"):
        assert {what: tried[mode][what] for what in BOUNDED} == BOUNDED


def test_f1_no_key_stands_in_the_environment_that_queries_are_forked_from(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGFLUME_STORE_SECRET_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SECRET_S3", "KUBECONFIG"):
        monkeypatch.setenv(name, "s3cret")
    before = set(psutil.Process().children())
    forks = Forks()
    try:
        forks.start()
        (zygote,) = set(psutil.Process().children()) - before
        environment = zygote.environ()
        assert "PATH" in environment
        assert not [
            name for name, value in environment.items() if value == "s3cret" or name.startswith(("LOGF", "AWS"))
        ]
        assert zygote.num_threads() == 1  # what a fork needs
    finally:
        forks.close()
    assert not zygote.is_running()


@pytest.mark.parametrize("lacking", ["landlock", "processor"])
def test_where_nothing_can_be_confined_queries_are_refused_and_the_way_out_is_named(
    monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    if lacking == "landlock":
        monkeypatch.setattr(sandbox, "version", lambda: 0)
    else:
        monkeypatch.setattr(calls, "known", lambda: False)
    with pytest.raises(Misconfigured, match="LOGFLUME_EXPLORE_SANDBOX=off"):
        sandbox.require()
