"""``logflume top``: the whole pipeline in a terminal, until ``q``."""

from __future__ import annotations

import logging
from contextlib import closing
from typing import Annotated

import typer

from logflume.cli.top_app import Top
from logflume.clock import SystemClock
from logflume.kafka import client, rights
from logflume.settings import Settings
from logflume.watch import looking
from logflume.watch.causes import Limits


def command(
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")] = 2.0,
) -> None:
    """Show stages, groups, partitions, workers, the worst tenants and troubles, live; keys sort and open them."""
    settings = Settings()
    client.reach(settings)
    rights.require(settings, "top")
    logging.disable(logging.CRITICAL)  # a line in between would tear the screen; what is wrong stands on it
    with closing(looking.Renewed(settings, SystemClock())) as look:
        Top(look.look, Limits.of(settings), every).run()
