"""Folders as settings: where they lie when nothing is said, and that they don't depend on where a worker starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def state_home() -> Path:
    """Where local data lies when ``state_dir`` says nothing: the XDG state folder."""
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "logflume"


def cache_home() -> Path:
    """Where downloads lie when ``cache_dir`` says nothing: the XDG cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "logflume"


def absolute(path: Path) -> Path:
    """``~`` expanded, and independent of where a worker is started."""
    return path.expanduser().absolute()


Folder = Annotated[Path, AfterValidator(absolute)]
OptionalFolder = Annotated[str, AfterValidator(lambda text: str(absolute(Path(text))) if text else "")]
