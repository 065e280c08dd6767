"""S3 credentials of a destination: from files of the setting ``secrets_dir``, as Kubernetes mounts a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from logflume.errors import Misconfigured

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MOST_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key; its secret parts are never shown."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False, default="")


def read_keys(secrets_dir: str, name: str) -> Keys:
    """Read ``access_key``, ``secret_key`` and, if it is there, ``session_token`` of ``<secrets_dir>/<name>``.

    Raises ``Misconfigured``, which names the file.
    """
    if not _NAME.fullmatch(name):
        raise Misconfigured(f"credentials {name!r}: the name of a folder, of letters, digits, _ . -")
    if not secrets_dir:
        raise Misconfigured(f"credentials {name!r} are asked for, and LOGFLUME_SECRETS_DIR is not set")
    folder = Path(secrets_dir) / name
    token = folder / "session_token"
    return Keys(_read(folder / "access_key"), _read(folder / "secret_key"), _read(token) if token.exists() else "")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("ascii").strip()
    except OSError as error:
        raise Misconfigured(f"{path}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"{path}: is not plain ASCII text") from None
    if not text or not text.isprintable() or " " in text:
        raise Misconfigured(f"{path}: must hold one key and nothing else")
    return text
