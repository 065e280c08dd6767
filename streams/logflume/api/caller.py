"""Who asks: the tenant whose token a request shows, if the token allows it to search."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from logflume.api.problem import Problem
from logflume.clock import Clock
from logflume.config import Source
from logflume.model.token import Scope

_LONGEST = 512  # characters of what may be a token


@dataclass(frozen=True, slots=True)
class Caller:
    """A tenant, and which of its tokens was shown."""

    tenant: str
    token: str


class Denied(Problem):
    """Known, and not allowed to: ``who`` tried."""

    def __init__(self, who: Caller, detail: str) -> None:
        super().__init__(403, "wrong-scope", detail)
        self.who = who


def caller(request: Request, source: Source, clock: Clock) -> Caller:
    """Return who asks, by ``Authorization: Bearer``. ``Problem`` 401 and 403; ``Unconfigured``."""
    scheme, _, text = request.headers.get("authorization", "").strip().partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text or len(text) > _LONGEST:
        raise Problem(401, "no-token", "a token is wanted: Authorization: Bearer lf_…")
    holder = source.current().holder(text, clock.now_ns())
    if holder is None:
        raise Problem(401, "no-token", "this token is no tenant's, or has expired")
    who = Caller(holder.tenant, holder.token.id)
    if not holder.may(Scope.QUERY):
        has = ", ".join(sorted(holder.token.scopes))
        raise Denied(who, f"this token lacks the scope {Scope.QUERY}; it has: {has}")
    return who
