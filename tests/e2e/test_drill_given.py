"""A drill on a stack of others: they notice nothing, and nothing of it is left, also when it is broken off."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import pyarrow.fs as pafs
import pytest
from confluent_kafka import Producer

from logflume.cli.main import DONE, INTERRUPTED, REFUSED, run
from logflume.clock import SystemClock
from logflume.config import inforce
from logflume.config.directory import read_all
from logflume.config.library import Library
from logflume.config.publish import Order, publish
from logflume.contract import find
from logflume.drill.tenant import PREFIX as DRILLS
from logflume.kafka import client, groups, topics
from logflume.model import Tenant, load
from logflume.settings import Settings
from logflume.table.store import Store
from tests.conftest import StartWorker
from tests.support.sorted_log import few_partitions, stored
from tests.support.waiting import until
from tests.support.worker import LOGFLUME, Worker

pytestmark = pytest.mark.timeout(300)

OTHERS = ("acme", "bell")
PAUSE_SECONDS = 3.0  # less than the sink's session time-out


class Traffic:
    """What the others send meanwhile, by a Kafka client of their own: each message is another one."""

    def __init__(self, settings: Settings) -> None:
        self.sent: dict[str, int] = dict.fromkeys(OTHERS, 0)
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        producer = Producer(client.producer_config(self._settings))
        topic = topics.ingest_topic(self._settings, "events")
        while not self._stop.wait(0.05):
            for tenant in OTHERS:
                self.sent[tenant] += 1
                producer.produce(topic, json.dumps({"message": f"{self.sent[tenant]}"}).encode(), tenant)
            producer.poll(0)
        assert producer.flush(30) == 0


@pytest.fixture
def stack(
    settings: Settings, worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Settings, Worker]:
    """A stack with tenants of its own that follows Kafka, as the command's settings name it; and its sink."""
    made = few_partitions(settings, tmp_path)
    tenants = read_all(Path(made.tenants_dir), load(find(made.topics_dir)))
    publish(made, Order(0, tenants, "me"), SystemClock())
    made = made.model_copy(update={"tenants_dir": ""})
    working = [worker(each, made) for each in ("sort", "sink")]
    for each in working:
        each.wait_ready()
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made, working[1]


def tenants(settings: Settings) -> Mapping[str, Tenant]:
    now = inforce.look(settings, client.admin(settings), Library.from_settings(settings), decided=False)
    assert now.configuration is not None
    return now.configuration.tenants


def tables(settings: Settings) -> set[str]:
    """The tenants who have a table."""
    store = Store.from_settings(settings)
    root = store.full("tables")
    found = store.filesystem.get_file_info(pafs.FileSelector(root, allow_not_found=True, recursive=True))
    # By their objects: the server lists folders that nothing is in any more.
    return {each.path.removeprefix(f"{root}/").partition("/")[0] for each in found if each.is_file}


def at_rest(settings: Settings) -> bool:
    return not any(place.lag for place in groups.lag(settings))


def begun(*arguments: str) -> subprocess.Popen[str]:
    """The command as a process."""
    return subprocess.Popen([LOGFLUME, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_drill_on_a_stack_of_others_touches_nobody_and_leaves_nothing(
    stack: tuple[Settings, Worker], capsys: pytest.CaptureFixture[str]
) -> None:
    given, sink = stack
    before = tenants(given)
    assert set(before) == set(OTHERS)
    with Traffic(given) as traffic:
        assert run(["drill", "run", "whale"]) == REFUSED
        assert "say so: --i-mean-it" in capsys.readouterr().err
        assert run(["drill", "run", "sink-stop", "--i-mean-it"]) == REFUSED
        assert "sink-stop stops or breaks things" in capsys.readouterr().err
        assert tenants(given) == before

        code = run(["drill", "run", "whale", "--seconds", "2", "--i-mean-it"])
        told = capsys.readouterr().out
        assert (code, "whale passed" in told) == (DONE, True), told
        assert tenants(given) == before
        assert not any(name.startswith(DRILLS) for name in tables(given))

        broken_off = begun("drill", "run", "whale", "--seconds", "60", "--i-mean-it")
        until(lambda: any(name.startswith(DRILLS) for name in tables(given)), 60, "rows of the drill at rest")
        sink.pause()  # with rows of the drill; whoever does not wait for them has deleted the tables too early
        broken_off.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            broken_off.wait(PAUSE_SECONDS)
        sink.resume()
        told = broken_off.communicate()[0]
        assert broken_off.returncode == INTERRUPTED, told
        assert tenants(given) == before
    until(lambda: at_rest(given), 60, "everything at rest")
    assert tables(given) == set(OTHERS)
    for tenant in OTHERS:
        assert stored(given, tenant) == Counter({str(n): 1 for n in range(1, traffic.sent[tenant] + 1)})
