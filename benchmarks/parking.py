"""What a parked table costs: in a commit, in memory, in the worker's loop, and when it is caught up.

As a module it is the measured process: ``python -m benchmarks.parking FOLDER TENANTS``. Partition, scan and caps are
the sink's own; the scan reads a real topic. The main reader gets the same blocks without Kafka, and nothing is written.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from benchmarks import records
from benchmarks.limit import chunks, cuts
from benchmarks.measure import child, own, report
from benchmarks.services import Services, environment
from logflume import contract, model
from logflume.block.schema import sorted_schema
from logflume.clock import SystemClock
from logflume.demo.scenes import tenant_names
from logflume.edge.packing import Packer
from logflume.kafka import client, topics
from logflume.kafka.parked import Codec
from logflume.kafka.position import Position
from logflume.model.tenant import Outlet
from logflume.settings import Settings
from logflume.sink.assigned import Assigned
from logflume.sink.budget import Budget
from logflume.sink.flushes import Flush, FlushPool, Rested
from logflume.sink.parking.caps import Caps
from logflume.sink.parking.catchup import TICK_SECONDS, CatchUp
from logflume.sink.parking.destinations import Destinations
from logflume.sink.partition import Partition
from logflume.sink.placing import Start
from logflume.sink.schedule import Limits, Schedule
from logflume.sort.gather import Gatherer
from logflume.sort.regroup import Cover, Regrouper
from logflume.sort.routing import Routing

ROWS_A_TENANT = 10
BLOCK_BYTES = 512 << 10
ALONE = 5
"""So many members are caught up with a scan each; more would cost as much each."""

REPEATS = 5
NEW = (1_500, 10_000, 20_000)
_PATIENCE_SECONDS = 120.0

Blocks = list[tuple[bytes, list[tuple[str, bytes]]]]


def run(running: Services, folder: Path, tenants: int) -> dict[str, Any]:
    """Return every figure; see ``main``."""
    rows = records.write_even(folder, tenants, 1, ROWS_A_TENANT)
    settings = running.settings("parking", [])
    found = child("parking", str(folder), str(tenants), environment=environment(settings)).more
    return {"tenants": tenants, "rows": rows, **found, "admission": admission(Settings())}


def admission(settings: Settings) -> dict[str, dict[str, float]]:
    """How long the caps take to let so many new ones in, with the defaults and by their own clock."""

    def seconds(count: int, *, pressed: bool) -> float:
        caps = Caps(settings.sink_active_pairs, settings.sink_new_pairs_a_minute, lambda: pressed)
        now, waiting = 0.0, count
        while waiting > 0:
            waiting -= caps.grant(waiting, now, min(waiting, 50))
            now += TICK_SECONDS
        return now

    return {str(n): {"at ease": seconds(n, pressed=False), "pressed": seconds(n, pressed=True)} for n in NEW}


def blocks(folder: Path) -> Blocks:
    """The records as one sorted partition."""
    datasets = model.load(contract.find())
    packer = Packer(datasets, topic=lambda name: name, deadletter_topic="dead", edge="bench", epoch=0)
    gatherer = Gatherer(datasets[records.DATASET])
    routing = Routing(records.DATASET, 1)
    regrouper = Regrouper(datasets[records.DATASET], "ingest", "A" * 22, "bench", routing, BLOCK_BYTES)
    made: Blocks = []
    for unit in chunks(list(chain.from_iterable(packer.pack(cut).messages for cut in cuts(folder)))):
        covers = [Cover(each.topic_id, each.partition, each.first, each.last) for each in unit]
        pieces = chain.from_iterable(regrouper.regroup(gatherer.gather(unit), covers, {}))
        made += [(piece.value, list(piece.headers)) for piece in pieces]
    return made


class Parked:
    """A partition whose tenants are all parked before their first row, as ``caps`` has no room yet."""

    def __init__(self, settings: Settings, names: Sequence[str], members: int) -> None:
        dataset = model.load(contract.find())[records.DATASET]
        self.budget = Budget(1 << 40)
        assigned = Assigned(FlushPool(1, _nobody_flushes), self.budget, 1 << 40)
        self.caps = Caps(1 << 30, members, lambda: True)
        topic = topics.sorted_topic(settings, records.DATASET)
        self.partition = Partition(
            topic, "id", 0, dataset, sorted_schema(dataset), Start(Position(0)), self.budget, (), None
        )
        assigned.open[topic, 0] = self.partition
        for name in names:
            self.partition.behind.park_new(Outlet(name), self.partition.position, 1)
        self.catch_up = CatchUp(
            settings,
            assigned,
            Schedule(Limits(1e9, 1 << 30, 1 << 60)),
            self.budget,
            Destinations(1),
            self.caps,
            lambda topic, number: 0,
            lambda topic: None,
            SystemClock(),
        )

    def read(self, log: Blocks) -> None:
        """Let the main reader go through the log; it leaves all rows out."""
        for offset, (value, headers) in enumerate(log):
            self.partition.read(offset, 1, value, headers, lambda tenant, _: (Outlet(tenant),), 0.0)

    def catches_up(self, now: float) -> int:
        """Begin a scan for as many as the caps let in at ``now``, and follow it to its end; returns its members."""
        self.catch_up.tick(now)
        scan = self.partition.behind.scan
        assert scan is not None
        members = len(scan.members)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while self.partition.behind.scan is not None:
            self.catch_up.turn(1000, now)
            if not self.catch_up.busy:
                time.sleep(0.0005)  # as the worker's poll of its main consumer
            if time.monotonic() > deadline:
                raise TimeoutError("the scan did not meet the main reader")
        return members


def main(folder: Path, tenants: int) -> None:
    """Measure, in a process of its own."""
    settings, log = Settings(), blocks(folder)
    names = tenant_names(tenants)
    with own() as found:
        found.more = {**_standing(settings, names, log), **_caught_up(settings, names, log)}
    report(found)


def _nobody_flushes(flush: Flush) -> Rested:
    raise AssertionError(f"a flush of {flush.pair.tenant}")


def _standing(settings: Settings, names: Sequence[str], log: Blocks) -> dict[str, float]:
    """Of pairs that wait: memory, the commit that tells Kafka of them, the commits and ticks after it."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    all_ = Parked(settings, names, 1)
    memory = tracemalloc.get_traced_memory()[0] - before
    nobody = Parked(settings, [], 1)
    memory -= tracemalloc.get_traced_memory()[0] - before - memory
    tracemalloc.stop()
    codec = Codec(settings)
    for each in (all_, nobody):
        each.read(log)
        each.partition.buffers.clear()
    began = time.process_time()
    position = all_.partition.committable()
    assert position is not None
    changes, parkings = all_.partition.changes(position), all_.partition.parkings()
    told = [codec.encode(each.cursor) for each in parkings if each.cursor is not None]
    all_.partition.commit(position, changes, parkings)
    assert not all_.partition.parkings()
    first = time.process_time() - began
    assert len(told) == len(names)
    steady = {}
    for name, each in (("all", all_), ("nobody", nobody)):
        began = time.process_time()
        for _ in range(20):
            each.partition.committable()
            each.partition.changes(position)
            each.partition.parkings()
        steady[name] = (time.process_time() - began) / 20
    all_.caps.grant(1, 0.0)
    began = time.process_time()
    for number in range(20):
        all_.catch_up.tick(float(number))  # with a look at all for the metrics, which is once a second
    tick = (time.process_time() - began) / 20
    return {
        "memory_bytes_a_pair": memory / len(names),
        "record_bytes_a_pair": sum(len(value) for value in told) / len(told),
        "first_commit_us_a_pair": first / len(names) * 1e6,
        "later_commit_ms": steady["all"] * 1e3,
        "later_commit_nobody_ms": steady["nobody"] * 1e3,
        "tick_ms": tick * 1e3,
    }


def _caught_up(settings: Settings, names: Sequence[str], log: Blocks) -> dict[str, float]:
    """Seconds and CPU of a shared scan by its members, and of scans for one member each."""
    producer = Producer(client.producer_config(settings))
    for value, headers in log:
        producer.produce(topics.sorted_topic(settings, records.DATASET), value, partition=0, headers=list(headers))
        producer.flush(30)
    found: dict[str, float] = {"messages": len(log)}
    for members in (1, 100, len(names)):
        runs = []
        for _ in range(REPEATS if members < len(names) else 3):
            world = Parked(settings, names, members)
            world.read(log)
            wall, used = time.perf_counter(), time.process_time()
            assert world.catches_up(0.0) == members
            runs.append((time.perf_counter() - wall, time.process_time() - used))
            assert len(world.partition.buffers) == members
            world.catch_up.close()
        wall, used = sorted(runs)[len(runs) // 2]
        found |= {f"shared {members} seconds": wall, f"shared {members} cpu": used}
    world = Parked(settings, names, 1)
    world.read(log)
    world.catches_up(0.0)  # its consumer is there from now on
    wall, used = time.perf_counter(), time.process_time()
    for number in range(1, ALONE + 1):
        assert world.catches_up(60.0 * number) == 1
    found["alone seconds"] = (time.perf_counter() - wall) / ALONE
    found["alone cpu"] = (time.process_time() - used) / ALONE
    world.catch_up.close()
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
