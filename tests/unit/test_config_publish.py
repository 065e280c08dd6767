"""The publisher's rules, on a topic of one's own making and a store in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from logflume.clock import SystemClock
from logflume.config import guard, inforce, manifest, merge, publish
from logflume.config.inforce import InForce
from logflume.config.library import FOLDER, Entry, Library
from logflume.config.publish import Order, Overtaken
from logflume.errors import Misconfigured, Refused, Retryable
from logflume.kafka.exclusive import InDoubt
from logflume.model import FileFormat, Job, Target, Tenant, TenantDataset, Token
from logflume.settings import Settings
from logflume.table.store import Store
from tests.support import config_topic
from tests.support.config_topic import Topic


class Place:
    """A topic and a store; ``apply`` publishes just these tenants."""

    def __init__(self, topic: Topic, settings: Settings) -> None:
        self.topic, self.settings = topic, settings
        self.library = Library.from_settings(settings)

    def look(self) -> InForce:
        return inforce.look(self.settings, None, self.library, decided=True)  # type: ignore[arg-type]

    def apply(self, *tenants: Tenant, base: int | None = None, **more: int) -> manifest.Manifest:
        now = self.look()
        wanted = {tenant.name: tenant for tenant in tenants}
        if now.configuration is not None:  # as a plan does: ids stay
            wanted, _ = merge.merge(now.configuration.tenants, wanted)
        order = Order(now.generation if base is None else base, wanted, "me", "a test", **more)
        return publish.publish(self.settings, order, SystemClock())

    @property
    def entries(self) -> list[Entry]:
        return self.library.entries()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    topic = config_topic.installed(monkeypatch)
    return Place(topic, Settings(kafka_bootstrap="127.0.0.1:1", store_url=f"file://{tmp_path}/store"))


def tenant(name: str, *jobs: str, datasets: tuple[str, ...] = ("events",), tokens: tuple[Token, ...] = ()) -> Tenant:
    return Tenant(
        name,
        MappingProxyType({each: TenantDataset(each, 30) for each in datasets}),
        MappingProxyType({key: Job(key, datasets[0], Target("s3://b"), FileFormat.CSV) for key in jobs}),
        tokens,
    )


def many(count: int, start: int = 0) -> list[Tenant]:
    return [tenant(f"t{number}") for number in range(start, start + count)]


def test_a_generation_is_on_the_topic_with_its_manifest_last_and_in_the_store(place: Place) -> None:
    made = place.apply(tenant("b", "copy"), tenant("a", "copy", "more"))
    assert (made.generation, made.tenants, made.pairs, made.jobs, made.next_job) == (1, 2, 2, 3, 4)
    assert place.topic.wrote == [b"tenant/a", b"tenant/b", manifest.KEY]
    now = place.look()
    assert now.configuration is not None
    assert [job.id for job in now.configuration.tenants["a"].jobs.values()] == [1, 2]
    assert place.library.read(1) == (made, now.configuration)
    assert (place.entries, now.unpublished) == ([Entry(1, published=True)], False)


def test_only_what_differs_is_written(place: Place) -> None:
    place.apply(tenant("a", "copy"), tenant("b"), tenant("c"), tenant("d"), tenant("e"), tenant("f"))
    place.apply(tenant("a", "copy"), tenant("b", "copy"), tenant("d"), tenant("e"), tenant("f"))
    assert place.topic.wrote == [b"tenant/b", b"tenant/c", manifest.KEY]
    assert set(place.topic.values) == {*(b"tenant/" + name for name in (b"a", b"b", b"d", b"e", b"f")), manifest.KEY}
    assert place.look().next_job == 3


def test_p1_an_order_made_from_another_generation_is_refused(place: Place) -> None:
    place.apply(tenant("a"))
    with pytest.raises(Overtaken, match="generation 1 is in force and the change was made from 0"):
        place.apply(tenant("a"), base=0)


def test_p2_a_blank_generation_is_refused(place: Place) -> None:
    with pytest.raises(guard.Blank):
        place.apply(Tenant("a", MappingProxyType({})))
    place.apply(tenant("a"))
    with pytest.raises(guard.Blank):
        place.apply(Tenant("a", MappingProxyType({})), removal_of=1)
    assert place.look().generation == 1


def test_p2_too_many_pairs_that_go_are_refused_unless_their_number_is_named(place: Place) -> None:
    place.apply(*many(10))
    for named in (0, 2, 4):
        with pytest.raises(guard.Shrunk, match="takes away 3 of the 10"):
            place.apply(*many(7), removal_of=named)
    place.apply(*many(7), removal_of=3)
    made = place.apply(*many(6))
    assert [(each.generation, each.removal_of, each.who) for each in made.accepted] == [(2, 3, "me")]


def test_p2_too_many_pairs_that_come_are_refused_unless_their_number_is_named(place: Place) -> None:
    place.apply(*many(4))
    with pytest.raises(guard.Grown, match="adds 5"):
        place.apply(*many(9))
    made = place.apply(*many(9), growth_of=5)
    assert [(each.generation, each.growth_of) for each in made.accepted] == [(2, 5)]


def test_a_number_is_kept_only_when_it_is_right_or_nothing_goes_or_comes(place: Place) -> None:
    place.apply(*many(10))
    assert place.apply(*many(10), removal_of=8).accepted[-1].removal_of == 8  # for a worker that refuses these ten
    before = place.apply(*many(9), removal_of=8, growth_of=3).accepted
    assert [(each.generation, each.removal_of, each.growth_of) for each in before] == [(2, 8, 0)]


def test_p2_the_guards_hold_against_the_stores_generation_when_the_topic_was_emptied(place: Place) -> None:
    place.apply(*many(10))
    place.topic.values.clear()
    now = place.look()
    assert "is empty; generation 1, as the object store has it" in now.trouble
    with pytest.raises(guard.Shrunk):
        place.apply(*many(2))
    assert place.apply(*many(10)).generation == 2
    assert place.look().trouble == ""


def test_p4_a_number_that_was_ever_claimed_is_never_taken_again(place: Place) -> None:
    first = place.apply(tenant("a"))
    assert place.library.claim(replace(first, generation=2), [])
    assert not place.library.claim(replace(first, generation=2), [])
    assert place.apply(tenant("a", "copy")).generation == 3
    assert [entry.published for entry in place.entries] == [True, False, True]


def test_p4_a_number_that_another_claims_at_the_last_moment_is_not_published(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "claim", lambda *_: False)
    with pytest.raises(Overtaken, match="the number 1 was taken"):
        place.apply(tenant("a"))
    assert not place.topic.values


def test_p5_the_next_tells_the_store_what_its_predecessor_could_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Retryable("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(Library, "publish", away)
        with pytest.raises(Retryable, match="generation 1 is in force, but"):
            place.apply(tenant("a"))
    now = place.look()
    assert (now.generation, now.unpublished) == (1, True)
    publish.mend(place.library, now)
    assert place.entries == [Entry(1, published=True)]


def test_p5_a_store_that_lost_the_generation_gets_it_back(place: Place) -> None:
    place.apply(tenant("a"))
    folder = Path(Store.from_settings(place.settings).full(FOLDER))
    for path in folder.iterdir():
        path.unlink()
    publish.mend(place.library, place.look())
    assert place.library.newest_published() == place.library.read(1)


def test_an_older_generation_on_the_topic_is_not_in_force(place: Place) -> None:
    place.apply(tenant("a"))
    old = dict(place.topic.values)
    place.apply(tenant("a"), tenant("b"))
    place.topic.values = old
    now = place.look()
    assert now.generation == 2
    assert "has generation 1, an older one" in now.trouble


@pytest.mark.parametrize("landed", [True, False])
def test_p3_a_commit_of_which_nothing_was_heard_is_looked_up(place: Place, landed: bool) -> None:
    place.topic.fail, place.topic.lands = (lambda: InDoubt("nothing was heard")), landed
    if landed:
        assert place.apply(tenant("a")).generation == 1
        assert place.entries == [Entry(1, published=True)]
    else:
        with pytest.raises(Retryable, match="generation 1 was not published"):
            place.apply(tenant("a"))
        assert place.entries == [Entry(1, published=False)]


def test_a_tenant_whose_message_kafka_would_not_take_is_named(place: Place) -> None:
    token = Token("x", "0" * 64, note="x" * 5_000_000)
    with pytest.raises(Misconfigured, match=r"tenant big is 5,000,\d+ bytes as a message .* tokens \(1\)"):
        place.apply(tenant("a"), tenant("big", tokens=(token,)))
    assert not place.entries


def test_a_token_of_two_tenants_is_refused(place: Place) -> None:
    token = Token("x", "0" * 64)
    with pytest.raises(Misconfigured, match="the token x is one of a and of b"):
        place.apply(tenant("a", tokens=(token,)), tenant("b", tokens=(token,)))


def test_a_principal_of_two_tenants_is_refused(place: Place) -> None:
    with pytest.raises(Misconfigured, match="alice is the principal of a and of b"):
        place.apply(replace(tenant("a"), principal="alice"), replace(tenant("b"), principal="alice"))


def test_what_is_no_generation_in_the_store_is_refused_by_its_number(place: Place) -> None:
    place.apply(tenant("a"))
    path = Path(Store.from_settings(place.settings).full(f"{FOLDER}/0000000001.avro"))
    good = path.read_bytes()
    for bad in (b"", b"Obj\x01", good[:-40], good[:60] + b"\xff" * 20 + good[80:], b"\x00" * 100):
        path.write_bytes(bad)
        with pytest.raises(Refused, match="generation 1 in the object store"):
            place.library.read(1)
    path.write_bytes(good)
    with pytest.raises(Misconfigured, match="there is no generation 7"):
        place.library.read(7)


def test_b2_a_generation_in_the_store_without_one_of_its_tenants_is_refused(place: Place) -> None:
    made = place.apply(tenant("a"), tenant("b"))
    _, messages = place.library.messages(1)
    place.library.claim(replace(made, generation=2), [(name, value) for name, value in messages if name == "a"])
    with pytest.raises(Refused, match="generation 2 in the object store: generation 2 has 2 tenants and 1 are here"):
        place.library.read(2)
