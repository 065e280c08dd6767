"""Generations in a real Kafka and a real store: published whole or not at all, whoever crashes or comes between."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import NewTopic

from logflume import contract
from logflume.cli.main import DONE, REFUSED, run
from logflume.clock import SystemClock
from logflume.config import inforce, manifest, plan, publish
from logflume.config.inforce import InForce
from logflume.config.library import Library
from logflume.config.publish import Order, Overtaken
from logflume.kafka import client, topics
from logflume.kafka.exclusive import Exclusive, Fenced
from logflume.model import load
from logflume.settings import Settings

KILLED = 137
DATASETS = load(contract.find())
CLOCK = SystemClock()


@pytest.fixture
def place(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose topics are there, and which the command has too."""
    name = topics.config_topic(settings)
    admin = client.admin(settings)
    admin.create_topics([NewTopic(name, 1, 1, config={"cleanup.policy": "compact"})])[name].result()
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    return settings


def look(settings: Settings, *, decided: bool = True) -> InForce:
    return inforce.look(settings, client.admin(settings), Library.from_settings(settings), decided=decided)


def files(settings: Settings, *names: str, text: str = "datasets: {events: }\n") -> Path:
    folder = Path(settings.tenants_dir)
    for path in folder.iterdir():
        path.unlink()
    for name in names:
        (folder / f"{name}.yaml").write_text(f"name: {name}\n{text}")
    return folder


def order(settings: Settings, now: InForce, **more: int) -> Order:
    found = plan.of_folder(now, Path(settings.tenants_dir), DATASETS, publish.limits(settings))
    return Order(found.base, found.tenants, "me", "a test", **more)


def test_what_is_applied_is_in_force_and_stands_in_the_store_and_can_be_gone_back_to(
    place: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    job = "datasets: {events: }\njobs: {copy: {dataset: events, destination: s3://b}}\n"
    folder = files(place, "acme", "globex", text=job)
    assert run(["config", "apply", str(folder), "--yes", "--why", "the first"]) == DONE
    first = look(place)
    assert first.manifest is not None
    assert first.configuration is not None
    assert (first.generation, first.trouble, first.manifest.why) == (1, "", "the first")
    assert [tenant.jobs["copy"].id for tenant in first.configuration.tenants.values()] == [1, 2]
    files(place, "acme", "globex", "hooli", "initech", text=job)
    (folder / "globex.yaml").unlink()
    assert run(["config", "apply", str(folder), "--yes"]) == REFUSED
    assert "--accept-removal-of 1" in capsys.readouterr().err
    assert run(["config", "apply", str(folder), "--yes", "--accept-removal-of", "1"]) == DONE
    second = look(place)
    assert second.manifest is not None
    assert second.configuration is not None
    assert {name: tenant.jobs["copy"].id for name, tenant in second.configuration.tenants.items()} == {
        "acme": 1,
        "hooli": 3,
        "initech": 4,
    }
    assert [(each.generation, each.removal_of) for each in second.manifest.accepted] == [(2, 1)]
    assert run(["config", "rollback", "1", "--yes", "--accept-removal-of", "2"]) == DONE
    third = look(place)
    assert third.configuration is not None
    assert third.configuration.tenants == first.configuration.tenants
    assert (third.generation, third.next_job) == (3, 5)
    library = Library.from_settings(place)
    assert [(entry.generation, entry.published) for entry in library.entries()] == [(1, True), (2, True), (3, True)]
    stored = library.newest_published()
    assert stored == (third.manifest, third.configuration)
    capsys.readouterr()
    assert run(["config", "apply", str(files(place, "acme", "globex", text=job)), "--yes"]) == DONE
    assert "Nothing to do" in capsys.readouterr().out
    assert run(["config", "show", "2", "--tenant", "hooli"]) == DONE
    assert "s3://b" in capsys.readouterr().out
    assert run(["config", "history"]) == DONE
    assert "back to generation 1" in capsys.readouterr().out


def test_p1_of_two_publishers_at_once_one_is_told_to_plan_again(place: Settings) -> None:
    files(place, "acme")
    now = look(place)
    mine, theirs = order(place, now), order(place, now)
    publish.publish(place, mine, CLOCK)
    with pytest.raises(Overtaken, match="generation 1 is in force"):
        publish.publish(place, theirs, CLOCK)


def test_p3_a_publisher_that_was_taken_over_commits_nothing(place: Settings) -> None:
    topic, name = topics.config_topic(place), f"{place.topic_prefix}config"
    with Exclusive(place, name) as zombie:
        zombie.begin()
        zombie.send(topic, 0, b"tenant/zombie", b"x")
        zombie.wait()
        files(place, "acme")
        publish.publish(place, order(place, look(place, decided=False)), CLOCK)
        with pytest.raises(Fenced):
            zombie.commit()
    with Exclusive(place, name) as late, Exclusive(place, name):  # taken over before it has sent anything
        late.begin()
        late.send(topic, 0, b"tenant/late", b"x")
        with pytest.raises(Fenced):
            late.wait()
    assert set(look(place).log.values) == {b"tenant/acme", manifest.KEY}


@pytest.mark.parametrize(
    ("point", "after"), [("config.claimed", 1), ("config.transaction", 1), ("config.committed", 2)]
)
def test_p5_a_crash_leaves_the_old_generation_or_the_new_one_and_the_next_mends_what_lacks(
    place: Settings, point: str, after: int
) -> None:
    folder = files(place, "acme")
    publish.publish(place, order(place, look(place)), CLOCK)
    files(place, "acme", "globex")
    environment = os.environ | {"LOGFLUME_CRASH_AT": point}
    died = subprocess.run(
        [sys.executable, "-m", "logflume", "config", "apply", str(folder), "--yes"], env=environment, check=False
    )
    assert died.returncode == KILLED
    library = Library.from_settings(place)
    assert [(entry.generation, entry.published) for entry in library.entries()] == [(1, True), (2, False)]
    assert look(place, decided=False).generation == after
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    now = look(place)
    assert now.configuration is not None
    assert (now.trouble, now.unpublished, set(now.configuration.tenants)) == ("", False, {"acme", "globex"})
    assert now.generation == (2 if after == 2 else 3)
    assert [entry.published for entry in library.entries()] == ([True, True] if after == 2 else [True, False, True])


def test_what_others_wrote_on_the_topic_is_not_in_force_and_the_next_apply_writes_it_anew(
    place: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = files(place, "acme", "globex")
    made = publish.publish(place, order(place, look(place)), CLOCK)
    producer = Producer(client.producer_config(place))
    topic = topics.config_topic(place)
    for key, value in ((b"tenant/acme", None), (b"tenant/\xff", b"x"), (b"what", b"x")):
        producer.produce(topic, value, key)
    producer.flush()
    broken = look(place)
    assert "has no whole generation" in broken.trouble
    assert broken.configuration is not None
    assert (broken.generation, set(broken.configuration.tenants)) == (1, {"acme", "globex"})
    assert run(["config", "plan", str(folder)]) == DONE
    assert "Attention: the topic" in capsys.readouterr().out
    assert run(["config", "apply", str(folder), "--yes"]) == DONE
    now = look(place)
    assert (now.generation, now.trouble, set(now.log.values)) == (
        2,
        "",
        {b"tenant/acme", b"tenant/globex", manifest.KEY},
    )
    assert now.manifest is not None
    assert now.manifest.hash == made.hash
