"""A tenant's tokens: what its senders show, of which the configuration knows only the hash.

The text is ``lf_<id>_<secret>``: an id for people and for the look-up, and 32 random bytes as URL-safe base64. With so
much randomness one SHA-256 is as good as a slow hash, and costs each request a microsecond.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum

from logflume.model.owner import Owner

SECRET_BYTES = 32
_TEXT = re.compile(r"lf_([A-Za-z0-9-]{1,32})_([A-Za-z0-9_-]{43})")
_ID = re.compile(r"[A-Za-z0-9-]{1,32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Scope(StrEnum):
    """What a token allows within its tenant: to send records, to search them, to change the tenant's configuration."""

    INGEST = "ingest"
    QUERY = "query"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a tenant: its id and the SHA-256, in hex, of its whole text; ``note`` is for people.

    Times are nanoseconds since 1970; ``created_ns`` 0: not known; ``expires_ns`` 0: never.
    """

    id: str
    sha256: str
    note: str = ""
    scopes: frozenset[Scope] = frozenset({Scope.INGEST})
    created_ns: int = 0
    expires_ns: int = 0
    owner: Owner = Owner.FILE

    def matches(self, text: str) -> bool:
        """Whether ``text`` is this token; takes as long for a near miss as for a far one."""
        return hmac.compare_digest(digest(text), self.sha256)

    def has_expired(self, now_ns: int) -> bool:
        """Whether it is no token any more at that time."""
        return 0 < self.expires_ns <= now_ns


def text_of(id: str, secret: bytes) -> str:
    """Return the token's text; ``secret`` is ``SECRET_BYTES`` of randomness. ``ValueError`` for an id that can't be."""
    check_id(id)
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret has {SECRET_BYTES} bytes")
    return f"lf_{id}_{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def id_of(text: str) -> str | None:
    """Return the id in a token's text; None: it is no token."""
    found = _TEXT.fullmatch(text)
    return found[1] if found else None


def digest(text: str) -> str:
    """Return what the configuration keeps of a token."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_id(id: str) -> None:
    """Raise ``ValueError`` when ``id`` can't be a token's. It is not repeated: it may be the token."""
    if not _ID.fullmatch(id):
        raise ValueError("that is no token's id: letters, digits and -, 32 at most")


def check_sha256(text: str) -> None:
    """Raise ``ValueError`` when ``text`` can't be a SHA-256 in hex."""
    if not _SHA256.fullmatch(text):
        raise ValueError("64 hex digits in small letters are wanted, as `logflume token new` prints them")
