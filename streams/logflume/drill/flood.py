"""``python -m logflume.drill.flood PLAN``: plain Kafka messages, good ones and garbage in turn, with a book.

An application that knows nothing of Logflume but a topic's name and its own. A batch is in the book once Kafka has
acknowledged all of it; one of which a single message failed is doubtful as a whole.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from confluent_kafka import KafkaException, Producer

from logflume.drill.book import ACKNOWLEDGED, DOUBTFUL, Book, Entry, first_id, text_id

Headers = Sequence[tuple[str, bytes]]

GARBAGE: tuple[tuple[bool, bytes, Headers], ...] = (
    (True, b'{"trace_id": "no end', ()),
    (True, b"\xff\xfe not even text", ()),
    (False, b'{"trace_id": "whose?"}', ()),
    (True, b"GET / HTTP/1.1", ()),
    (False, b"\x00\x01", (("logflume-block", b"99"), ("rows", b"1"))),
    (True, b"ARROW1 or so", (("logflume-block", b"1"), ("rows", b"1"))),
)
"""With the tenant as key or without, the value, the headers: each message must end as one dead letter."""

_BATCH = 200
_FLUSH_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """What a flood is: ``tenants`` are numbers (for the ids) and names; half of the messages are garbage."""

    run: int
    options: Mapping[str, str]
    topic: str
    book: str
    tenants: Sequence[tuple[int, str]]
    messages_a_second: float

    def write(self, path: Path) -> Path:
        """Keep it in a file that only we can read (the options may hold secrets), and return that."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))
        return path

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Return what ``write`` wrote."""
        return cls(**json.loads(path.read_text()))


def flood(plan: Plan, book: Book, stop: threading.Event) -> None:
    """Send batches, evenly over time, until ``stop``."""
    producer = Producer({**plan.options, "linger.ms": 20, "compression.type": "lz4"})
    pause = _BATCH / plan.messages_a_second
    due, first = time.time(), dict.fromkeys((number for number, _ in plan.tenants), 0)
    turn = 0
    while not stop.wait(max(0.0, due - time.time())):
        due = max(due + pause, time.time() - pause)
        number, name = plan.tenants[turn % len(plan.tenants)]
        turn += 1
        good, bad, whole = _batch(producer, plan, number, name, first[number])
        outcome = ACKNOWLEDGED if whole else DOUBTFUL
        book.note(Entry(time.time(), number, first[number], good, bad, outcome, 0))
        first[number] += good


def _batch(producer: Producer, plan: Plan, tenant: int, name: str, first: int) -> tuple[int, int, bool]:
    """Produce a batch and wait for its reports: how many good and bad messages, and whether Kafka has them all."""
    failed: list[str] = []

    def report(error: object, _: object) -> None:
        if error is not None:
            failed.append(str(error))

    start = first_id(plan.run, tenant) + first
    good = bad = 0
    for turn in range(_BATCH):
        if turn % 2 == 0:
            record = {"level": "info", "service": "flood", "message": "good", "trace_id": text_id(start + good)}
            producer.produce(plan.topic, json.dumps(record).encode(), name.encode(), on_delivery=report)
            good += 1
        else:
            keyed, value, headers = GARBAGE[turn // 2 % len(GARBAGE)]
            key = name.encode() if keyed else None
            producer.produce(plan.topic, value, key, headers=list(headers), on_delivery=report)
            bad += 1
        producer.poll(0)
    try:
        left = producer.flush(_FLUSH_SECONDS)
    except KafkaException:
        return good, bad, False
    return good, bad, not left and not failed


def main(path: Path) -> None:
    """Send as the plan in ``path`` says, until SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    plan = Plan.read(path)
    with Book(Path(plan.book)) as book:
        flood(plan, book, stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
