"""Where flights come to rest: a tenant's table, or an object of one of its jobs.

R1  Rows are stored only after the topic was found to be, *after they were read*, the one that the partition was opened
    with: of a topic deleted and made again nothing is stored under the old one's id.
R2  An object is what its intent says, of exactly the intent's rows. When the intent was found stored, and an object of
    its name is there, that one is whole already, and stays.
"""

from __future__ import annotations

from logflume import crash
from logflume.block.schema import RECEIVED
from logflume.clock import Clock
from logflume.destinations import Destination, open_destination
from logflume.errors import Misconfigured, Refused
from logflume.formats.out import encode
from logflume.kafka.identity import SameTopics
from logflume.kafka.intents import Intent
from logflume.model.dataset import Dataset
from logflume.settings import Settings
from logflume.sink.buffers import Flight
from logflume.sink.flushes import Flush, Rested
from logflume.sink.freshness import freshness
from logflume.table.store import Store
from logflume.table.table import Table


class Rests:
    """Brings a flight to rest. Called from the pool's threads."""

    def __init__(self, settings: Settings, store: Store, same: SameTopics, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._same = same
        self._clock = clock

    def bring(self, flush: Flush) -> Rested:
        """Return when the flight is durable; raises what the table or the destination does, and ``TopicChanged``."""
        partition, flight = flush.partition, flush.flight
        self._same.check(partition.topic, partition.topic_id, flush.taken_at)  # R1
        if flight.intent is not None:
            return self._object(flight, flight.intent, partition.dataset)
        table = Table(self._store, partition.dataset, flush.pair.tenant, clock=self._clock)
        rows = flight.table()
        appended = table.append(partition.app_id, flight.upto, flight.offsets(), rows)
        crash.point("sink.delta-committed")
        stored = rows.column(RECEIVED.name).slice(appended.skipped)
        fresh = freshness(stored, self._clock.now_ns())
        return Rested(appended.rows, appended.files, appended.bytes, appended.skipped, fresh)

    def _object(self, flight: Flight, intent: Intent, dataset: Dataset) -> Rested:
        crash.point("sink.intent-stored")
        destination = open_destination(intent.job.target, self._settings)
        if flight.again and _holds(destination, intent.name):
            return Rested(0, 0, 0, flight.rows)
        try:
            data = encode(flight.table(), intent.job.format, dataset, intent.job.fields)
        except KeyError as error:
            raise Refused(f"{intent.name} was begun with the field {error}, which the contract lacks now") from None
        receipt = destination.write(intent.name, data)
        crash.point("sink.object-written")
        return Rested(flight.rows, 1, receipt.bytes, 0)


def _holds(destination: Destination, name: str) -> bool:
    """Whether the object is there. Who may write may not always look: the same is written again then, as is safe."""
    try:
        return destination.holds(name)
    except Misconfigured:
        return False
