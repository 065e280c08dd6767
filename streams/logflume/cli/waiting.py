"""What ``--live`` needs: Kafka, and the configuration, for the time of one command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from logflume import config
from logflume.config.follow import PATIENCE_SECONDS, Follower
from logflume.explore.live import Live
from logflume.model import Datasets
from logflume.settings import Settings


@contextmanager
def waiting_rows(settings: Settings, datasets: Datasets, wanted: bool) -> Iterator[Live | None]:
    """Give what reads the rows that wait in Kafka, if they are wanted. Raises ``Misconfigured``, ``Unconfigured``."""
    if not wanted:
        yield None
        return
    settings.require("kafka_bootstrap")
    with opened_source(settings, datasets) as source, closing(Live(settings, source)) as live:
        yield live


@contextmanager
def opened_source(settings: Settings, datasets: Datasets) -> Iterator[config.Source]:
    """Give the configuration's source when it has a generation in force."""
    with config.opened(settings, datasets) as source:
        if isinstance(source, Follower):
            source.wait(PATIENCE_SECONDS + 5)  # by then it has taken what Kafka, the disk or the store have
        yield source
