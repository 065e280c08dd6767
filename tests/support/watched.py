"""A local stack with Prometheus, whose alerts take seconds instead of minutes; and somebody who keeps sending."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xmlrpc.client import ServerProxy

from confluent_kafka import Producer

from logflume.kafka import topics
from logflume.local import tenants
from logflume.local.record import Record
from logflume.local.stack import Stack
from logflume.local.supervisor import WORKERS
from logflume.settings import GivenSettings, Settings
from tests.support.contracts import contract_with_partitions
from tests.support.waiting import until

WINDOWS = 0.02
_EACH_SECONDS = 0.1


@contextmanager
def watching(folder: Path, **settings: Any) -> Iterator[Watched]:
    """Have a stack, which is deleted in the end; before, every alert must have resolved that was waited for."""
    made = Watched(folder, **settings)
    try:
        made.up()
        yield made
        made.resolves(*made.fired)
    finally:
        made.down()
        shutil.rmtree(folder, ignore_errors=True)


class Watched:
    """See above. ``fired``: the names of the alerts that somebody waited for, and that fired."""

    def __init__(self, folder: Path, windows: float = WINDOWS, **settings: Any) -> None:
        few = contract_with_partitions(folder.with_name(f"{folder.name}-contract"), coming_in=4, sorted=4)
        given = {"state_dir": str(folder), "alert_windows": windows, "topics_dir": str(few)}
        self.stack = Stack(GivenSettings(**given | settings))
        self.settings: Settings
        self._prometheus = ""
        self.fired: set[str] = set()
        self._stop = threading.Event()
        self._sender = threading.Thread(target=self._send, name="sender", daemon=True)

    def up(self) -> Watched:
        self.settings = self.stack.up(watch=True)
        self._prometheus = self.addresses()["prometheus"]
        self._sender.start()
        until(lambda: self.ask("logflume_status_workers"), 180, "a first scrape")
        return self

    def down(self) -> None:
        self._stop.set()
        self.stack.down()
        self.stack.delete()

    def pid(self, part: str) -> int:
        [found] = [each.pid for each in self.stack.status() if each.name == part]
        assert found
        return found

    def addresses(self) -> dict[str, str]:
        """Where each part is: an edge takes records there, an explorer answers."""
        return {each.name: each.address for each in self.stack.status()}

    @contextmanager
    def hanging(self, *parts: str) -> Iterator[None]:
        """Within the block these hang: they have their connections, and do nothing."""
        pids = [self.pid(part) for part in parts]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def without(self, part: str) -> Iterator[None]:
        """Within the block this is not there, and supervisord leaves it so."""
        record = Record.read(self.stack.folder)
        assert record is not None
        with ServerProxy(f"http://logflume:{record.password}@127.0.0.1:{record.supervisor_port}/RPC2") as supervisor:
            address = f"{WORKERS}:{part}" if part in record.worker_ports else part
            supervisor.supervisor.stopProcess(address)
            try:
                yield
            finally:
                supervisor.supervisor.startProcess(address)

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus has for an expression now."""
        return list(self._get("query", query=expression)["result"])

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        alerts = self._get("alerts")["alerts"]
        return {each["labels"]["alertname"].removeprefix("Logflume") for each in alerts if each["state"] == "firing"}

    def fires(self, *names: str, seconds: float = 180) -> None:
        """Wait until each of them has been seen to fire."""
        lacking = set(names)

        def none_lacks() -> bool:
            found = lacking & self.firing()
            lacking.difference_update(found)
            self.fired.update(found)
            return not lacking

        try:
            until(none_lacks, seconds, pause=0.5)
        except AssertionError as error:
            raise AssertionError(f"{sorted(lacking)} did not fire; now there are {sorted(self.firing())}") from error

    def resolves(self, *names: str, seconds: float = 180) -> None:
        """Wait until none of them fires any more."""
        until(lambda: not self.firing() & set(names), seconds, f"the end of {names}", pause=0.5)

    def pause(self, seconds: float = 1) -> None:
        """Let a scrape pass."""
        self._stop.wait(seconds)

    def _get(self, path: str, **asked: str) -> dict[str, Any]:
        address = f"{self._prometheus}/api/v1/{path}?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(address, timeout=30) as told:
            found: dict[str, Any] = json.load(told)["data"]
        return found

    def _send(self) -> None:
        """Plain records, some each tenth of a second, until the end."""
        producer = Producer({"bootstrap.servers": self.settings.kafka_bootstrap, "message.timeout.ms": 5_000})
        number = 0
        while not self._stop.wait(_EACH_SECONDS):
            for _ in range(5):
                number += 1
                self.produce(producer, json.dumps({"message": f"n{number}"}).encode())
            producer.poll(0)

    def produce(self, producer: Producer, value: bytes, tenant: str = "acme", dataset: str = "events") -> None:
        """Send one message of a tenant."""
        producer.produce(topics.ingest_topic(self.settings, dataset), value, key=tenant.encode())

    def declare(self, files: Mapping[str, str]) -> None:
        """Publish a generation with these files of tenants, and those that there are."""
        folder = tenants.folder_of(self.stack.folder)
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text)
        assert tenants.apply(self.settings, folder, always=True, growing=True), "nothing has changed"

    def declared(self, tenant: str) -> str:
        """The text of a tenant's file."""
        return (tenants.folder_of(self.stack.folder) / f"{tenant}.yaml").read_text()
