"""A client process to be killed: sends the oracle's records, in blocks by ``edge.Client`` and as plain messages.

``python -m tests.support.sender JOURNAL [LIMIT]``, settings in ``LOGFLUME_*``; SIGTERM lets it finish its batch.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from itertools import groupby
from pathlib import Path

from confluent_kafka import Producer

from logflume.edge import Client
from logflume.kafka import client, topics
from logflume.kafka.deliveries import Deliveries
from logflume.settings import Settings
from tests.support.oracle import DATASET, Journal, record

BATCH = 240
PLAIN = 80  # of each batch
PACE_SECONDS = 0.4
"""At most a batch in this time: whoever waits for the end of a test waits for what was sent meanwhile."""

_ACKNOWLEDGED_SECONDS = 240.0  # Kafka may be away meanwhile


def send(settings: Settings, journal: Journal, stop: threading.Event, limit: int = sys.maxsize) -> int:
    """Send batch after batch until ``stop`` is set or ``limit`` records went out; returns their number."""
    plain = Deliveries(Producer(client.producer_config(settings, linger_ms=5, message_timeout_ms=0)))
    topic = topics.ingest_topic(settings, DATASET)
    number = 0
    with Client(settings) as blocks:
        while number < limit and not stop.is_set():
            first, number = number, min(number + BATCH, limit)
            journal.issued(first, number)
            records = sorted((record(journal.session, n) for n in range(first, number)), key=lambda pair: pair[0])
            for at, (tenant, each) in enumerate(records):
                if at % BATCH < PLAIN:
                    plain.send(topic, None, tenant.encode(), json.dumps(each).encode())
            rest = [pair for at, pair in enumerate(records) if at % BATCH >= PLAIN]
            for tenant, group in groupby(rest, key=lambda pair: pair[0]):
                blocks.log_many(tenant, DATASET, [each for _, each in group])
            if limit == sys.maxsize:
                stop.wait(PACE_SECONDS)
            blocks.flush(_ACKNOWLEDGED_SECONDS)
            plain.wait(_ACKNOWLEDGED_SECONDS)
            journal.acked(first, number)
    return number


def main() -> None:
    """Run until SIGTERM, or until as many records went out as the second argument says."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    send(Settings(), Journal(Path(sys.argv[1])), stop, int(sys.argv[2]) if len(sys.argv) > 2 else sys.maxsize)


if __name__ == "__main__":
    main()
