"""Whether what is offered comes in force, whoever offers it: the log, this host's disk, the store. No I/O.

W1  In force is always one whole generation: the tenants' messages are those that its manifest is about, by number and
    by hash, and each can be read.
W2  It is never blank, and never suddenly another one, unless an operator named the number (``guard``).
W3  It never goes back: a generation follows only a lower one. The same number with other content is refused.
W4  Whatever is refused, the one in force stays, and so does the reason, until something good is offered.
W5  It is replaced in one step: whoever asks gets one generation or the other, with everything ready that is often asked
    for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from logflume.config import guard
from logflume.config.assembly import Assembly, NotWhole
from logflume.config.guard import Limits
from logflume.config.manifest import Manifest
from logflume.config.state import Origin
from logflume.errors import Refused
from logflume.model.tenant import Configuration


class Reason(StrEnum):
    """Why what was offered did not come in force; a metric's label."""

    NOT_WHOLE = "not-whole"
    UNREADABLE = "unreadable"
    BLANK = "blank"
    SHRUNK = "shrunk"
    GROWN = "grown"
    OLDER = "older"


class Older(Refused):
    """What is offered comes before what is in force, or is another one of the same number."""


@dataclass(frozen=True, slots=True)
class InForce:
    """A whole generation, and where it came from."""

    configuration: Configuration
    manifest: Manifest
    origin: Origin


class Uptake:
    """See W1 to W5. ``offer`` is one thread's; ``now`` may be read by any."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.now: InForce | None = None
        """What is in force; None: nothing yet."""

    def has(self, manifest: Manifest) -> bool:
        """Whether just that generation is in force."""
        mine = self.now
        return mine is not None and (mine.manifest.generation, mine.manifest.hash) == (
            manifest.generation,
            manifest.hash,
        )

    def offer(self, manifest: Manifest, messages: Assembly, origin: Origin) -> InForce | None:
        """Put a generation in force and return it; None: it is already. Raises ``Refused`` (W1 to W4)."""
        messages.check(manifest)
        mine = self.now
        if mine is not None and self.has(manifest):
            if origin is Origin.KAFKA and mine.origin is not origin:
                self.now = InForce(mine.configuration, mine.manifest, origin)
            return None
        if mine is not None and manifest.generation <= mine.manifest.generation:
            raise Older(
                f"generation {manifest.generation} is offered and {mine.manifest.generation} is in force: a "
                "configuration never goes back; `logflume config rollback` makes a new generation of an old one"
            )
        offered = messages.whole(manifest)
        before = mine.configuration if mine is not None else None
        guard.check_offered(before, offered, self._limits, manifest.accepted)
        offered.prepare()
        self.now = InForce(offered, manifest, origin)
        return self.now


def reason_of(refused: Refused) -> Reason:
    """Return the reason in one word."""
    kinds: tuple[tuple[type[Refused], Reason], ...] = (
        (NotWhole, Reason.NOT_WHOLE),
        (guard.Blank, Reason.BLANK),
        (guard.Shrunk, Reason.SHRUNK),
        (guard.Grown, Reason.GROWN),
        (Older, Reason.OLDER),
    )
    return next((reason for kind, reason in kinds if isinstance(refused, kind)), Reason.UNREADABLE)
