"""References to secrets: ``env:NAME`` is a variable of this process, ``file:/path`` a file on its machine.

A setting or a configuration says where a secret is found, and never holds one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from logflume.errors import Misconfigured

_ENV = re.compile(r"[A-Z][A-Z0-9_]{0,127}")
_FILE = re.compile(r"/[^\x00-\x1f\x7f]{1,1000}")
_MOST_BYTES = 16_384


class Kind(StrEnum):
    """Where a secret lies."""

    ENV = "env"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Reference:
    """``place`` is a variable's name, or a path."""

    kind: Kind
    place: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.place}"


def parse(text: str) -> Reference:
    """Read a reference. ``ValueError``, which does not repeat the text, as that may be a secret."""
    kind, colon, place = text.partition(":")
    if colon and kind == Kind.ENV and _ENV.fullmatch(place):
        return Reference(Kind.ENV, place)
    if colon and kind == Kind.FILE and _FILE.fullmatch(place) and ".." not in place.split("/"):
        return Reference(Kind.FILE, place)
    raise ValueError("is env:NAME (capitals, digits and _) or file:/path, never the secret itself")


def read(reference: Reference, about: str) -> str:
    """Return a secret that an operator's own setting refers to, read anew, without the line's end.

    Raises ``Misconfigured``, which names ``about`` and the place, when there is none or it is blank.
    """
    text = _variable(reference, about) if reference.kind is Kind.ENV else _text(reference, about)
    text = text.rstrip("\r\n")
    if not text.strip():
        raise Misconfigured(f"{about}: {reference} is blank")
    if not text.isprintable():
        raise Misconfigured(f"{about}: {reference} must hold one line of text and nothing else")
    return text


def _variable(reference: Reference, about: str) -> str:
    if reference.place not in os.environ:
        raise Misconfigured(f"{about}: {reference}: this process has no such variable")
    return os.environ[reference.place]


def _text(reference: Reference, about: str) -> str:
    path = Path(reference.place)
    try:
        if not path.is_file():  # a pipe would never end
            raise Misconfigured(f"{about}: {reference}: there is no such file")
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode()
    except OSError as error:
        raise Misconfigured(f"{about}: {reference}: can't be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise Misconfigured(f"{about}: {reference}: is not text in UTF-8") from None
