"""Where workers get the configuration from: an immutable snapshot with a generation number."""

from __future__ import annotations

from typing import Protocol

from logflume.model.tenant import Configuration


class Source(Protocol):
    """Gives the configuration in force.

    C1  ``current`` returns one whole generation, never parts of two.
    C2  A generation is never blank: with no tenant or no dataset at all the source refuses instead.
    C3  ``current`` is cheap, does not block and may be called from any thread. Ask once a batch: the next answer may be
        another generation.
    """

    def current(self) -> Configuration:
        """Return the generation in force. Raises ``Unconfigured`` when there has been none yet."""
        ...
