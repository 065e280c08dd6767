"""The page for the attacked tenant: where it is, and a link that signs in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from logflume.clock import SystemClock
from logflume.config import token_changes
from logflume.config.amend import amend
from logflume.config.author import author
from logflume.local.stack import Stack
from logflume.model.owner import Owner
from logflume.model.token import SECRET_BYTES, Scope, Token, digest, text_of
from logflume.settings import Settings

_KIND = "explore-"
_VALID_SECONDS = 12 * 3600


@dataclass(frozen=True, slots=True)
class Page:
    """``address`` is an explorer's; ``token`` lets ask it for hours."""

    address: str
    token: str

    @property
    def sign_in(self) -> str:
        """A link for a browser; what is behind ``#`` reaches no server and no log."""
        return f"{self.address}/sign-in#token={self.token}"


def opened(stack: Stack, settings: Settings, tenant: str) -> Page | None:
    """Make a token for ``tenant``, of hours, and return it with the stack's first explorer; None: it has none."""
    addresses = sorted(part.address for part in stack.status() if part.name.startswith(_KIND))
    if not addresses:
        return None
    clock = SystemClock()
    id, now = secrets.token_hex(4), clock.now_ns()
    text = text_of(id, secrets.token_bytes(SECRET_BYTES))
    ends = now + _VALID_SECONDS * 1_000_000_000
    token = Token(id, digest(text), "the demo's page", frozenset({Scope.QUERY}), now, ends, Owner.API)
    why = f"token {id} for the demo's page"
    amend(settings, lambda tenants: token_changes.created(tenants, tenant, token), who=author(), why=why, clock=clock)
    return Page(addresses[0], text)
