"""The sink's commit rule against crashes, revocations, zombies and flushes that end in any order, or in doubt."""

from __future__ import annotations

from random import Random

from hypothesis import settings

from tests.support.schedules import examples
from tests.support.sink_model import SinkMachine, steps
from tests.support.walks import Step, Walk, often, walks

OFTEN = {
    "position moved": 50,
    "told": 100,
    "aborted": 10,
    "flush stored": 150,
    "flush failed": 30,
    "flush in doubt": 20,
    "flush came too late": 30,
    "cut stored": 100,
    "cut failed": 10,
    "cut in doubt": 10,
    "cut came too late": 20,
    "repeat dropped": 100,
    "crashed before a Delta commit": 8,
    "crashed between a Delta commit and Kafka's": 12,
    "crashed with a frozen cut in Kafka": 10,
    "revoked before a Delta commit": 10,
    "zombie stored": 10,
    "zombie came too late": 5,
    "job taken out while it flies": 3,
    "job put back": 5,
}


def _begin(random: Random) -> Walk:
    machine = SinkMachine()
    machine.start()
    rests = Step(0.5, machine.all_jobs_come_to_rest, lambda: any(pair.outlet.name for pair in machine._ready()))
    look = machine.nothing_behind_the_position_is_missing_and_nothing_is_stored_twice
    return Walk(machine, [*steps(machine, random), rests], [look])


def test_each_row_and_letter_comes_once_in_long_histories() -> None:
    happened = walks(_begin, range(examples(24)), 150)
    often(happened, OFTEN)


TestSinkCommit = SinkMachine.TestCase
TestSinkCommit.settings = settings(max_examples=examples(20), stateful_step_count=40, deadline=None)
