"""Live questions to a dataset whose sorted topic and positions are written by hand, or by a sink that runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import numpy as np
import pyarrow as pa
from confluent_kafka import Producer

from logflume import contract
from logflume.block.sorted import decode_sorted
from logflume.explore import query
from logflume.explore.live import Live
from logflume.explore.query import Explorer
from logflume.kafka import client, cursors, parked, topics
from logflume.kafka.cursors import Cursor
from logflume.kafka.parked import ParkedCursor
from logflume.kafka.position import Position
from logflume.model import Configuration, Route, Tenant, TenantDataset, load
from logflume.model.route import home
from logflume.settings import Settings
from logflume.table.store import Store
from logflume.table.table import Table
from tests.support.asking import forks
from tests.support.sorted_log import EVENTS

DATASETS = load(contract.find())
COORDINATES = 'SELECT "_src_offset" AS offset, "_src_row" AS row, "message" FROM events'

Message = tuple[bytes, list[tuple[str, bytes]]]


class Wanting:
    """A configuration in which these tenants want ``events``; ``acme`` perhaps with routes."""

    def __init__(self, *tenants: str, routes: tuple[Route, ...] = ()) -> None:
        wanted = {name: TenantDataset("events", 7, routes=routes if name == "acme" else ()) for name in tenants}
        self._now = Configuration(1, "hash", {name: Tenant(name, {"events": each}) for name, each in wanted.items()})

    def current(self) -> Configuration:
        return self._now


class Sorted:
    """The sorted topic of ``events``, its positions, and acme's table."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topic = topics.sorted_topic(settings, "events")
        admin = client.admin(settings)
        name = topics.cursors_topic(settings)
        there = topics.present(admin, [self.topic, name])
        self.id, self.partitions = there[self.topic].id, there[self.topic].partitions
        self._cursors, self._homes = name, there[name].partitions
        self.home = home("events", "acme", self.partitions)

    def store_position(self, position: Position, *others: tuple[bytes, bytes], partition: int | None = None) -> None:
        """Put the sinks' position in acme's partition into the cursors topic, and ``others`` beside it."""
        number = self.home if partition is None else partition
        key = cursors.key(self.settings.sink_group, self.topic, number)
        value = cursors.Codec(self.settings).encode(Cursor(self.topic, self.id, number, position, 1))
        producer = Producer(client.producer_config(self.settings))
        for each in ((key, value), *others):
            producer.produce(self._cursors, each[1], each[0], cursors.home(key, self._homes))
        assert producer.flush(30) == 0

    def parked(self, position: Position) -> tuple[bytes, bytes]:
        """Return the record of acme's table being parked there."""
        cursor = ParkedCursor(self.topic, self.id, self.home, "acme", "", "failing", 0, 0, position)
        return parked.key(self.settings.sink_group, cursor), parked.Codec(self.settings).encode(cursor)

    def at_rest(self, messages: Sequence[Message], first: int, upto: int) -> None:
        """Store acme's rows of these messages, which lie from the sorted offset ``first`` on, as a sink would."""
        batches = [decode_sorted(*message) for message in messages]
        parts, offsets = [], []
        for number, (meta, batch) in enumerate(batches):
            start = sum(meta.runs.rows[: meta.runs.tenants.index("acme")])
            parts.append(pa.table(batch).slice(start, meta.runs.rows[meta.runs.tenants.index("acme")]))
            offsets += [first + number] * parts[-1].num_rows
        rows = pa.concat_tables(parts, promote_options="default")
        table = Table(Store.from_settings(self.settings), EVENTS, "acme")
        table.append(f"logflume/{self.id}/{self.home}", upto, np.array(offsets, np.int64), rows)


@contextmanager
def asking(settings: Settings, source: object) -> Iterator[Explorer]:
    """Give an explorer that can add what waits."""
    with (
        closing(Live(settings, source)) as live,  # type: ignore[arg-type]
        query.opened(settings, Store.from_settings(settings), DATASETS, forks=forks(), live=live) as explorer,
    ):
        yield explorer


def told(explorer: Explorer, tenant: str = "acme", sql: str = COORDINATES) -> tuple[list[str], str]:
    """Return the messages of a live answer, sorted by their coordinates, and why it may lack some."""
    with explorer.query(tenant, sql, limit=1_000_000, live=True) as result:
        rows = result.read_all()
        assert result.waiting is not None
        return rows.sort_by([("offset", "ascending"), ("row", "ascending")])["message"].to_pylist(), (
            result.waiting.partial
        )
