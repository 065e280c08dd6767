"""The processes of a stack: those, and only those, whose environment carries its token.

Unlike a list of pids it is right after any crash, of ``up``, of supervisord, or of the machine.
"""

from __future__ import annotations

import contextlib
import time

import psutil

from logflume.settings import STACK_VARIABLE

SUPERVISORD = "supervisord"


def members(token: str) -> list[psutil.Process]:
    """Every process of this machine that carries the token and has not ended."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(STACK_VARIABLE) == token and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def name(process: psutil.Process) -> str:
    """Its name in the stack."""
    with contextlib.suppress(psutil.Error):
        return str(process.environ().get("SUPERVISOR_PROCESS_NAME", SUPERVISORD))
    return "ended"


def wait(token: str, seconds: float) -> None:
    """Until all have ended, ``seconds`` at most."""
    deadline = time.monotonic() + seconds
    while members(token) and time.monotonic() < deadline:
        time.sleep(0.1)


def end(token: str, seconds: float) -> list[str]:
    """Ask all to end, kill those that have not after ``seconds``, and return the names of what ran."""
    left = members(token)
    # supervisord first, or it would start again what ends.
    left.sort(key=lambda process: name(process) != SUPERVISORD)
    names = [name(process) for process in left]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(left, timeout=seconds)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=10)
    return [each for each in names if each != SUPERVISORD]
