"""Who asks: a tenant, by one of its tokens (see ``session`` for how that is found out)."""

from __future__ import annotations

from dataclasses import dataclass

from logflume.api.problem import Problem


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
