"""Following the configuration: W1 to W5 of what comes in force, FO1 to FO6 of how, LG1 to LG3 of the disk's copy."""

from __future__ import annotations

import fcntl
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from logflume import metrics
from logflume.clock import ManualClock, SystemClock
from logflume.config import Origin, State, log
from logflume.config.follow import Follower
from logflume.config.following import Following
from logflume.config.last_good import NAME, LastGood, folder
from logflume.config.manifest import KEY, Accepted, key_of
from logflume.errors import Unconfigured
from logflume.settings import Settings
from tests.support.followed_topic import (
    FakeShelf,
    FakeTopic,
    Generation,
    following,
    generation,
    tenant,
)
from tests.support.waiting import until

TEN = [f"t{number}" for number in range(10)]


def in_force(found: Following) -> int:
    return found.state().generation


def refused(reason: str) -> float:
    return metrics.CONFIG_REFUSED.labels(reason)._value.get()


@pytest.fixture
def topic() -> FakeTopic:
    return FakeTopic()


def test_what_is_published_is_in_force_whole_and_the_next_one_after_it(topic: FakeTopic, tmp_path: Path) -> None:
    worker = following(topic, tmp_path)
    topic.publish(generation(1, ["acme", "globex"]))
    worker.turn(0)
    assert worker.now is not None
    before = worker.now.configuration
    assert before.tenants == {"acme": tenant("acme"), "globex": tenant("globex")}
    topic.publish(generation(2, ["acme", "globex", "initech"]))
    worker.turn(0)
    assert worker.now.configuration.pairs == {("acme", "events"), ("globex", "events"), ("initech", "events")}
    assert worker.now.configuration.tenants["acme"] is before.tenants["acme"]
    assert worker.state().origin is Origin.KAFKA


def test_metrics_tell_the_generation_in_force_and_its_hash_alone(topic: FakeTopic, tmp_path: Path) -> None:
    worker = following(topic, tmp_path)
    for number in (1, 2):
        topic.publish(generation(number, ["acme", "globex"][:number]))
        worker.turn(0)
    assert worker.now is not None
    [[sample]] = [family.samples for family in metrics.CONFIG_HASH.collect()]
    assert (sample.labels, sample.value) == ({"hash": worker.now.configuration.hash}, 1.0)
    assert metrics.CONFIG_GENERATION._value.get() == 2


def test_w5_a_generation_in_force_has_all_ready_that_is_often_asked(topic: FakeTopic, tmp_path: Path) -> None:
    seen: list[set[str]] = []
    worker = following(topic, tmp_path, took=lambda taken: seen.append(set(vars(taken.configuration))))
    topic.publish(generation(1, ["acme"]))
    worker.turn(0)
    assert seen[0] >= {"pairs", "_outlets", "_tokens", "longest_wait", "_routes"}


def _half(topic: FakeTopic) -> None:
    topic.log += [each for each in generation(2, [*TEN, "new"]).messages if each[0] != key_of("new")]


def _other_hash(topic: FakeTopic) -> None:
    topic.log += generation(2, TEN, principal="User:x").messages[1:]


def _only_tenants(topic: FakeTopic) -> None:
    topic.log += generation(2, TEN, principal="User:x").messages[:-1]


def _bad_tenant(topic: FakeTopic) -> None:
    found = generation(2, TEN)
    found.values["t3"] = b"\x00rubbish"
    messages = found.assembly()
    made = found.manifest.__class__(**{**vars_of(found), "hash": messages.hash})
    topic.log += Generation(made, found.values).messages


def vars_of(found: Generation) -> dict[str, object]:
    return {name: getattr(found.manifest, name) for name in found.manifest.__slots__}


def _bad_manifest(topic: FakeTopic) -> None:
    topic.log.append((KEY, b"\xc3\x01rubbish"))


def _no_manifest(topic: FakeTopic) -> None:
    topic.log.append((KEY, None))


def _blank(topic: FakeTopic) -> None:
    topic.publish(generation(2, [], [Accepted(2, 10, 0, "me", "blank on purpose")]))


def _shrunk(topic: FakeTopic) -> None:
    topic.publish(generation(2, TEN[:7]))


def _grown(topic: FakeTopic) -> None:
    topic.publish(generation(2, [*TEN, *(f"n{number}" for number in range(11))]))


def _older(topic: FakeTopic) -> None:
    topic.publish(generation(1, TEN, principal="User:x"))


def _escaping(topic: FakeTopic) -> None:
    topic.publish(generation(2, [*TEN, "../t0"]))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (_half, "not-whole"),
        (_other_hash, "not-whole"),
        (_only_tenants, "not-whole"),
        (_no_manifest, "not-whole"),
        (_bad_tenant, "unreadable"),
        (_bad_manifest, "unreadable"),
        (_escaping, "unreadable"),
        (_blank, "blank"),
        (_shrunk, "shrunk"),
        (_grown, "grown"),
        (_older, "older"),
    ],
)
def test_w4_what_is_refused_leaves_the_last_good_one_and_the_next_good_one_is_taken(
    harm: object, reason: str, topic: FakeTopic, tmp_path: Path
) -> None:
    clock = ManualClock()
    worker = following(topic, tmp_path, clock=clock)
    topic.publish(generation(1, TEN))
    worker.turn(0)
    before, counted = worker.now, refused(reason)
    harm(topic)  # type: ignore[operator]
    for _ in range(6):
        clock.advance(1)
        worker.turn(0)
    assert worker.now == before
    assert refused(reason) == counted + 1  # once, however often it is looked at
    assert worker.state().refused
    assert worker.age_seconds >= 4
    topic.publish(generation(3, [*TEN, "good"]))
    worker.turn(0)
    worker.turn(0)  # what was forged before may be half of it: read again from the start
    worker.turn(0)
    assert in_force(worker) == 3
    assert (worker.state().refused, worker.age_seconds) == ("", 0)


def test_what_no_worker_takes_up_is_not_in_force_for_the_publisher_either() -> None:
    """Else the repair of a blank topic would be refused for growing from nothing."""
    for wrong, why in ((generation(3, []), "blank"), (generation(3, ["../t0"]), "t0")):
        found = log.understand({key: value for key, value in wrong.messages if value is not None})
        assert (found.configuration, found.manifest) == (None, wrong.manifest)
        assert why in found.broken


def test_w2_what_an_operator_named_is_taken(topic: FakeTopic, tmp_path: Path) -> None:
    worker = following(topic, tmp_path)
    topic.publish(generation(1, TEN))
    worker.turn(0)
    topic.publish(generation(2, TEN[:3], [Accepted(2, 7, 0, "me", "they left")]))
    worker.turn(0)
    assert in_force(worker) == 2


def test_w3_the_same_number_with_other_tenants_is_refused(topic: FakeTopic, tmp_path: Path) -> None:
    worker = following(topic, tmp_path)
    topic.publish(generation(5, ["acme"]))
    worker.turn(0)
    topic.publish(generation(5, ["acme"], principal="User:x"))
    worker.turn(0)
    assert worker.now is not None
    assert worker.now.configuration.tenants["acme"].principal == ""
    assert "5 is offered and 5 is in force" in worker.state().refused


def test_fo2_an_emptied_topic_takes_nothing_away_and_is_read_from_its_start(topic: FakeTopic, tmp_path: Path) -> None:
    worker = following(topic, tmp_path)
    topic.publish(generation(1, TEN))
    worker.turn(0)
    topic.empty()
    worker.turn(0)
    assert (in_force(worker), worker.state().refused) == (1, "")
    topic.publish(generation(2, TEN[1:]))  # t0 is gone, and nobody could write a tombstone for it
    for _ in range(3):
        worker.turn(0)
    assert in_force(worker) == 2
    assert worker.now is not None
    assert "t0" not in worker.now.configuration.tenants


def test_fo2_a_topic_made_again_takes_nothing_away_and_is_read_from_its_start(topic: FakeTopic, tmp_path: Path) -> None:
    worker = following(topic, tmp_path)
    topic.publish(generation(1, TEN))
    worker.turn(0)
    topic.make_again()
    for _ in range(3):
        worker.turn(0)
    assert in_force(worker) == 1
    assert "0 tenants" in worker.state().refused
    topic.publish(generation(2, TEN))
    worker.turn(0)
    assert in_force(worker) == 2


def test_fo4_with_nothing_anywhere_there_is_none_and_it_goes_on_trying(topic: FakeTopic, tmp_path: Path) -> None:
    shelf = FakeShelf(away=True)
    clock = ManualClock()
    topic.away = True
    worker = following(topic, tmp_path, clock=clock, shelf=shelf)
    with capture_logs() as logs:
        for _ in range(30):
            worker.turn(0)
            clock.advance(1)
    assert worker.now is None
    assert [each["event"] for each in logs].count("config.none-yet") == 1
    shelf.away, shelf.kept = False, {4: generation(4, ["acme"])}
    for _ in range(12):
        worker.turn(0)
        clock.advance(1)
    assert worker.state().origin is Origin.STORE
    topic.away = False
    topic.publish(generation(5, ["acme"]))
    worker.turn(0)
    assert (in_force(worker), worker.state().origin) == (5, Origin.KAFKA)


def test_fo3_kafka_is_waited_for_before_the_disk_and_overtakes_it(topic: FakeTopic, tmp_path: Path) -> None:
    first = following(topic, tmp_path)
    topic.publish(generation(1, TEN))
    first.turn(0)
    topic.away = True
    clock = ManualClock()
    worker = following(topic, tmp_path, clock=clock, shelf=FakeShelf({9: generation(9, ["store"])}))
    worker.turn(0)
    assert worker.now is None
    clock.advance(10)
    worker.turn(0)
    assert (in_force(worker), worker.state().origin) == (1, Origin.DISK)
    topic.away = False
    worker.turn(0)
    assert (in_force(worker), worker.state().origin) == (1, Origin.KAFKA)


def test_fo3_an_empty_topic_is_no_reason_to_wait_and_neither_is_a_broken_one(topic: FakeTopic, tmp_path: Path) -> None:
    LastGood(tmp_path).keep(generation(3, TEN).manifest, generation(3, TEN).assembly())
    worker = following(topic, tmp_path)
    worker.turn(0)
    assert (in_force(worker), worker.state().origin) == (3, Origin.DISK)
    _bad_manifest(topic)
    worker = following(topic, tmp_path)
    worker.turn(0)
    assert (in_force(worker), worker.state().origin) == (3, Origin.DISK)
    assert "manifest" in worker.state().refused


def test_fo3_a_restart_is_no_way_round_the_guards(topic: FakeTopic, tmp_path: Path) -> None:
    first = following(topic, tmp_path)
    topic.publish(generation(4, TEN))
    first.turn(0)
    for harm in (_shrunk, _older):
        topic.make_again()
        harm(topic)
        worker = following(topic, tmp_path)
        worker.turn(0)
        assert (in_force(worker), worker.state().origin) == (4, Origin.DISK)
        assert worker.state().refused


def test_fo6_a_new_machine_is_no_way_round_the_guards(topic: FakeTopic, tmp_path: Path) -> None:
    steps = {1: generation(1, TEN), 2: generation(2, TEN[:1])}  # its publisher has a bug, and tells the store as well
    topic.publish(steps[2])
    worker = following(topic, tmp_path / "new", shelf=FakeShelf(dict(steps)))
    worker.turn(0)
    assert (in_force(worker), worker.state().origin) == (1, Origin.STORE)
    assert "takes away 9" in worker.state().refused
    named = generation(3, TEN[:1], [Accepted(3, 9, 0, "ann", "meant")])
    topic.publish(named)
    worker.turn(0)
    assert (in_force(worker), worker.state().refused) == (3, "")
    topic.away = True
    clock = ManualClock()
    alone = following(topic, tmp_path / "alone", clock=clock, shelf=FakeShelf(dict(steps)))
    clock.advance(10)
    alone.turn(0)
    assert (in_force(alone), "takes away 9" in alone.state().refused) == (1, True)
    topic.away = False
    other = following(topic, tmp_path / "other", shelf=FakeShelf({1: steps[1], 3: named}))
    other.turn(0)
    assert (in_force(other), other.state().origin) == (3, Origin.KAFKA)


def test_fo6_without_anything_to_compare_with_kafkas_is_taken(topic: FakeTopic, tmp_path: Path) -> None:
    one = generation(1, TEN)
    topic.publish(one)
    for name, shelf in (
        ("away", FakeShelf({1: one}, away=True)),
        ("first", FakeShelf({1: one})),
        ("none", None),
    ):
        worker = following(topic, tmp_path / name, shelf=shelf)
        worker.turn(0)
        assert (in_force(worker), worker.state().origin) == (1, Origin.KAFKA)


def test_a_worker_that_was_away_for_long_goes_by_the_generations_in_between(topic: FakeTopic, tmp_path: Path) -> None:
    """Each took a tenth away and is in the store; all of them together are more than the guard lets go at once."""
    steps = {number: generation(number, TEN[: 11 - number]) for number in range(1, 6)}
    topic.publish(steps[1])
    following(topic, tmp_path).turn(0)
    topic.publish(steps[5])
    alone = following(topic, tmp_path)
    alone.turn(0)
    assert in_force(alone) == 1
    shelf = FakeShelf(dict(steps))
    worker = following(topic, tmp_path, shelf=shelf)
    worker.turn(0)
    assert (in_force(worker), worker.state().refused) == (5, "")
    assert shelf.asked == [3, 4]  # what is not needed in between is not read
    del shelf.kept[3], shelf.kept[4]
    stuck = following(topic, tmp_path / "old", shelf=FakeShelf({1: steps[1]}))
    LastGood(tmp_path / "old").keep(steps[1].manifest, steps[1].assembly())
    stuck.begin()
    stuck.turn(0)
    assert in_force(stuck) == 1


def test_the_generations_in_between_are_asked_for_again_when_the_store_was_away(
    topic: FakeTopic, tmp_path: Path
) -> None:
    steps = {number: generation(number, TEN[: 11 - number]) for number in range(1, 6)}
    topic.publish(steps[1])
    following(topic, tmp_path).turn(0)
    topic.publish(steps[5])
    clock, shelf = ManualClock(), FakeShelf(dict(steps), away=True)
    worker = following(topic, tmp_path, clock=clock, shelf=shelf)
    worker.turn(0)
    assert (in_force(worker), "takes away 4" in worker.state().refused) == (1, True)
    shelf.away = False
    worker.turn(0)
    assert not shelf.asked
    clock.advance(10)
    worker.turn(0)
    assert (in_force(worker), worker.state().refused) == (5, "")
    clock.advance(10)
    worker.turn(0)
    assert shelf.asked == [3, 4]


def test_fo5_what_comes_in_force_is_kept_and_an_older_worker_does_not_put_its_own_over_it(tmp_path: Path) -> None:
    disk = LastGood(tmp_path)
    for number in (3, 7, 5):
        found = generation(number, ["acme"])
        disk.keep(found.manifest, found.assembly())
    kept = disk.read()
    assert kept is not None
    assert kept[0] == generation(7, ["acme"]).manifest
    assert kept[1].whole(kept[0]).tenants == {"acme": tenant("acme")}


def test_fo5_a_worker_that_hangs_while_it_writes_holds_up_no_other_on_its_host(
    topic: FakeTopic, tmp_path: Path
) -> None:
    worker = following(topic, tmp_path)
    topic.publish(generation(1, ["acme"]))
    with (tmp_path / NAME).with_suffix(".lock").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        worker.turn(0)
        assert in_force(worker) == 1
        topic.log.append((key_of("forged"), b"x"))  # what comes later is not a part of what is kept
        worker.turn(0)
        assert LastGood(tmp_path).read() is None
    worker.turn(0)
    kept = LastGood(tmp_path).read()
    assert kept is not None
    assert kept[1].whole(kept[0]).pairs == {("acme", "events")}


@pytest.mark.parametrize("at", [0, 5, 40, 90, 120, -1])
def test_lg1_a_file_that_is_not_as_it_was_written_is_none_and_is_replaced(at: int, tmp_path: Path) -> None:
    disk, found = LastGood(tmp_path), generation(7, ["acme"])
    disk.keep(found.manifest, found.assembly())
    data = bytearray(disk.path.read_bytes())
    data[at] ^= 1
    disk.path.write_bytes(data)
    assert disk.read() is None
    older = generation(2, ["acme"])
    disk.keep(older.manifest, older.assembly())
    kept = disk.read()
    assert kept is not None
    assert kept[0].generation == 2


@pytest.mark.parametrize("rubbish", [b"", b"\n", b"logflume-config-1 \n", b"x" * 100_000])
def test_lg1_rubbish_is_none(rubbish: bytes, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(rubbish)
    assert LastGood(tmp_path).read() is None


def test_fo5_a_disk_that_does_not_work_stops_nothing_and_is_told_until_it_works(
    topic: FakeTopic, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("no folder can be made here")
    errors = metrics.CONFIG_DISK_ERRORS.labels("write")._value
    before, clock = errors.get(), ManualClock()
    worker = following(topic, tmp_path / "file" / "config", clock=clock)
    topic.publish(generation(1, ["acme"]))
    for expected in (1, 1, 2):
        worker.turn(0)
        assert in_force(worker) == 1
        assert errors.get() == before + expected
        clock.advance(LastGood.AGAIN_SECONDS / 2)
    (tmp_path / "file").unlink()
    clock.advance(LastGood.AGAIN_SECONDS)
    worker.turn(0)
    kept = LastGood(tmp_path / "file" / "config").read()
    assert kept is not None
    assert kept[0].generation == 1
    assert errors.get() == before + 2


def test_fo5_the_next_generation_does_not_wait_for_a_disk_that_failed(topic: FakeTopic, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder can be made here")
    worker = following(topic, tmp_path / "file")
    topic.publish(generation(1, ["acme"]))
    worker.turn(0)
    (tmp_path / "file").unlink()
    topic.publish(generation(2, ["acme"], principal="User:x"))
    worker.turn(0)
    kept = LastGood(tmp_path / "file").read()
    assert kept is not None
    assert kept[0].generation == 2


def test_each_kafka_and_prefix_has_a_copy_of_its_own_unless_a_folder_is_named(tmp_path: Path) -> None:
    def of(**more: str) -> Path:
        return folder(Settings(state_dir=tmp_path, **({"kafka_bootstrap": "a:1"} | more)))

    assert len({of(), of(kafka_bootstrap="b:1"), of(topic_prefix="other.")}) == 3
    assert of(config_dir=str(tmp_path / "mine")) == tmp_path / "mine"


def test_whatever_fails_in_a_turn_the_last_good_one_stays(topic: FakeTopic, tmp_path: Path) -> None:
    worker = following(topic, tmp_path)
    topic.publish(generation(1, ["acme"]))
    worker.turn(0)
    topic.log.append((KEY, 5))  # type: ignore[arg-type]
    assert not worker.turn(0)
    assert in_force(worker) == 1
    assert "TypeError" in worker.why_not


def test_a_follower_tells_who_waits_and_who_listens(topic: FakeTopic, tmp_path: Path) -> None:
    settings = Settings(kafka_bootstrap="nowhere:1", config_dir=str(tmp_path))
    heard: list[int] = []
    with Follower(settings, SystemClock(), make_feed=topic.feed) as follower:
        follower.listen(lambda configuration: [][1])  # what a listener raises ends nothing
        follower.listen(lambda configuration: heard.append(configuration.generation))
        with pytest.raises(Unconfigured, match="no configuration yet"):
            follower.current()
        with pytest.raises(Unconfigured):
            follower.wait(0.01)
        waiting = threading.Thread(target=follower.wait, args=(30,))
        waiting.start()
        topic.publish(generation(1, ["acme"]))
        waiting.join()
        assert follower.current().generation == 1
        until(lambda: heard == [1], what="the listener")
        said = replace(follower.state(), age_seconds=None)
        assert said == State(1, generation(1, ["acme"]).manifest.hash, 1, Origin.KAFKA)
    assert follower.current().generation == 1
