"""The token that a request carries, in any of the ways in which agents can be told to send one."""

from __future__ import annotations

import base64
import binascii
from typing import Final

_LONGEST: Final = 512  # characters of what may be a token; ours have fewer than 100


def token_of(authorization: str | None) -> str | None:
    """Return the token in an ``Authorization`` header, or None.

    ``Bearer <token>``, ``Splunk <token>``, ``ApiKey <token>`` or base64 of ``id:<token>`` (Elasticsearch's), and
    ``Basic`` with the token as the password, whoever the user is.
    """
    scheme, _, rest = (authorization or "").strip().partition(" ")
    rest = rest.strip()
    if not rest or len(rest) > _LONGEST:
        return None
    scheme = scheme.lower()
    if scheme in {"bearer", "splunk"}:
        return rest
    if scheme == "basic":
        return _second(rest)
    if scheme == "apikey":
        return rest if rest.startswith("lf_") else _second(rest)
    return None


def _second(encoded: str) -> str | None:
    """What stands behind the colon of a pair in base64."""
    try:
        pair = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    _, colon, second = pair.partition(":")
    return second if colon else None
