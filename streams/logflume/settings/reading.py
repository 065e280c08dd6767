"""The files that settings are read from."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from logflume.errors import Misconfigured
from logflume.settings.names import SETTINGS_VARIABLE


def settings_file() -> dict[str, Any]:
    """What ``logflume.toml`` says, or the file that ``LOGFLUME_SETTINGS`` names, which must be there."""
    named = os.environ.get(SETTINGS_VARIABLE)
    path = Path(named or "logflume.toml").expanduser()
    if named and not path.exists():
        raise Misconfigured(f"{SETTINGS_VARIABLE} names {path}, which does not exist.")
    return read_toml(path)


def read_toml(path: Path) -> dict[str, Any]:
    """What a file says; nothing when there is none. Misconfigured when it can't be read."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise Misconfigured(f"{path}: {error}") from None
