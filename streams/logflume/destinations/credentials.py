"""S3 credentials of a destination: from files of the setting ``secrets_dir``, as Kubernetes mounts a secret, or by
references to them.

Whoever writes a configuration names files and variables of this machine. Of these only such may be read as are meant
for it: files below ``secrets_dir``, wherever links lead, and variables that begin with ``secret_env_prefix``. No
message holds what was read.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from logflume.errors import Misconfigured
from logflume.model import secret
from logflume.model.job import Target

if TYPE_CHECKING:
    from logflume.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_MOST_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key; its secret parts are never shown."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False, default="")


def keys_of(target: Target, settings: Settings) -> Keys | None:
    """Return what requests to ``target`` are signed with, read anew; None: what the environment or the machine gives.

    Raises ``Misconfigured``, which names the file or the variable.
    """
    if target.credentials:
        return read_keys(settings.secrets_dir, target.credentials)
    if not secret.references(target):
        return None
    access, key = (_resolved(name, getattr(target, name), settings) for name in ("access_key", "secret_key"))
    token = _resolved("session_token", target.session_token, settings) if target.session_token else ""
    return Keys(access, key, token)


def _resolved(field: str, text: str, settings: Settings) -> str:
    try:
        reference = secret.parse(text)
    except ValueError as error:
        raise Misconfigured(f"{field} of a job {error}") from None
    if reference.kind is secret.Kind.ENV:
        return _variable(reference.place, settings.secret_env_prefix)
    path = Path(reference.place).resolve()
    if not settings.secrets_dir:
        raise Misconfigured(f"{reference} is asked for, and LOGFLUME_SECRETS_DIR is not set")
    if not path.is_relative_to(Path(settings.secrets_dir).resolve()):
        raise Misconfigured(f"{reference}: only files below LOGFLUME_SECRETS_DIR ({settings.secrets_dir}) may be read")
    return _read(path)


def _variable(name: str, prefix: str) -> str:
    if not name.startswith(prefix):
        raise Misconfigured(f"env:{name}: only variables may be read that begin with {prefix} (secret_env_prefix)")
    if not os.environ.get(name):
        raise Misconfigured(f"env:{name}: this process has no such variable")
    return _checked(os.environ[name].strip(), f"env:{name}")


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
        if not path.is_file():  # a pipe would never end
            raise Misconfigured(f"{path}: can't be read (it is no file)")
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("ascii").strip()
    except OSError as error:
        raise Misconfigured(f"{path}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"{path}: is not plain ASCII text") from None
    return _checked(text, str(path))


def _checked(text: str, place: str) -> str:
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise Misconfigured(f"{place}: must hold one key and nothing else")
    return text
