"""Where the command's questions go: to the server that ``LOGFLUME_URL`` names, or to the tables themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from logflume import contract
from logflume.cli.waiting import waiting_rows
from logflume.errors import Misconfigured
from logflume.explore import query, span
from logflume.explore.answers import Answers
from logflume.explore.span import Recent, Span
from logflume.model import dataset
from logflume.model.dataset import Dataset
from logflume.settings import Settings
from logflume.table.store import Store

Tenant = Annotated[
    str,
    typer.Option(help="Whose tables; not needed where LOGFLUME_URL is set, as the token says it.", show_default=False),
]


@dataclass(frozen=True)
class Asking:
    """Whom to ask, of whose tables. What only some questions need is fetched when it is asked for."""

    explorer: Answers
    given: str
    """The tenant as it was named; empty where a token says it."""
    tenant: Callable[[], str]
    datasets: Callable[[], Mapping[str, Dataset]]
    recent_seconds: float
    """What SQL is about that names no time; 0: everything."""

    def span(self, since: str, until: str) -> Span | Recent:
        """Return the time range that two texts mean now. Raises ``Refused``."""
        return span.asked(since, until, datetime.now(UTC), self.recent_seconds)


@contextmanager
def opened(settings: Settings, tenant: str, live: bool = False) -> Iterator[Asking]:
    """Give what answers questions about ``tenant``'s tables; a server knows by the token whose they are.

    ``live``: also about the rows that still wait in Kafka.

    Raises ``Misconfigured``, also when ``tenant`` is another than the token's.
    """
    if settings.url:
        from logflume.cli import remote  # half of what the command imports

        with remote.opened(settings) as server:
            if tenant and tenant != server.tenant:
                raise Misconfigured(f"LOGFLUME_TOKEN is one of the tenant {server.tenant!r}, not of {tenant!r}")
            # How much is recent is for the server to say: it is told that no time was named.
            yield Asking(server, "", lambda: server.tenant, lambda: server.datasets, 1.0)
        return
    if not tenant:
        raise Misconfigured("--tenant is wanted: whose tables are asked (or LOGFLUME_URL: a server, and a token's)")
    datasets = dataset.load(contract.find(settings.topics_dir))
    with (
        waiting_rows(settings, datasets, live) as waiting,
        query.opened(settings, Store.from_settings(settings), datasets, live=waiting) as explorer,
    ):
        recent = settings.explore_recent_seconds if settings.explore_recent_sql == "on" else 0.0
        yield Asking(explorer, tenant, lambda: tenant, lambda: datasets, recent)
