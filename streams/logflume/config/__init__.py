"""Where workers get the configuration from: an immutable snapshot with a generation number."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import structlog

from logflume.config.state import Origin, State
from logflume.errors import Misconfigured, Refused
from logflume.model import Datasets
from logflume.model.tenant import Configuration
from logflume.settings import Settings

__all__ = ["Origin", "Source", "State", "opened", "opened_if_good"]

_log = structlog.get_logger(__name__)


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

    def state(self) -> State:
        """Say what is in force, for status and people."""
        ...


@contextmanager
def opened(settings: Settings, datasets: Datasets) -> Iterator[Source]:
    """Give the source that the settings ask for: the files of ``tenants_dir``, else Kafka, followed until the end.

    Raises ``Misconfigured``, and for files ``Refused``; nothing waits for Kafka here.
    """
    if settings.tenants_dir:
        from logflume.config.directory import DirectorySource

        yield DirectorySource(Path(settings.tenants_dir), datasets)
        return
    from logflume.clock import SystemClock
    from logflume.config.follow import Follower

    with Follower(settings, SystemClock()) as follower:
        yield follower


@contextmanager
def opened_if_good(settings: Settings, datasets: Datasets) -> Iterator[Source | None]:
    """``opened``, for those that judge nobody's rows by it: files that are wrong are warned of, and None is given."""
    with ExitStack() as stack:
        try:
            source = stack.enter_context(opened(settings, datasets))
        except (Misconfigured, Refused) as mistake:
            _log.warning("config.not-read", error=str(mistake))
            source = None
        yield source
