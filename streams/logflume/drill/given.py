"""A stack that others use: a drill brings an edge and tenants of its own, and takes both away again.

Only load can be harm here: nothing is stopped, killed or written that is not the drill's (G1, G3). The tenants are
owned by the API, so that the operators' next ``config apply`` leaves them alone, and named by number at the guards.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

import pyarrow.fs as pafs
from confluent_kafka.admin import AdminClient

from logflume.clock import SystemClock
from logflume.config import inforce
from logflume.config import publish as publisher
from logflume.config.library import Library
from logflume.drill import gauges
from logflume.drill.ground import Applied, Ground, Say
from logflume.drill.tenant import DATASET, PREFIX, DrillTenant
from logflume.errors import LogflumeError, Misconfigured, Retryable
from logflume.kafka import client, groups
from logflume.local.process import Process, free_ports
from logflume.local.stack import Part
from logflume.model.owner import Owner
from logflume.model.tenant import Tenant, TenantDataset
from logflume.model.token import Token, digest
from logflume.settings import PREFIX as VARIABLES
from logflume.settings import SETTINGS_VARIABLE, Settings
from logflume.table.store import Store

_READY_SECONDS = 120.0
_DRAIN_SECONDS = 90.0
_THROUGH_SECONDS = 90.0
_LOOK_SECONDS = 0.3
_TRIES = 5
_WHO = "logflume drill"


class GivenGround(Ground):
    """The stack that ``settings`` name; ``folder`` takes the drill's edge."""

    ours = False

    def __init__(self, folder: Path, say: Say, settings: Settings) -> None:
        if settings.tenants_dir:
            raise Misconfigured("a given stack takes a drill's tenants from Kafka only: unset LOGFLUME_TENANTS_DIR")
        settings.require("kafka_bootstrap")
        settings.require("store_url")
        super().__init__(folder, settings)
        self._say = say
        self._tenants: dict[str, Tenant] = {}
        self._edge: Process | None = None
        self._ports = free_ports(2)

    def __enter__(self) -> GivenGround:
        try:
            made = self.apply("tenants of a drill")
            self._say(f"On the given stack {made.told}, with {len(self._tenants)} tenants of this drill.")
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not None:  # broken off: nobody has waited for its rows
                self._let_through()
        finally:
            self.close()

    def close(self) -> None:
        """End the edge, and take the tenants, and their tables, away."""
        self._end_edge()
        self._tenants = {}
        try:
            self._publish("the drill is over")
        except LogflumeError as error:
            self._say(f"The drill's tenants, {PREFIX}…, are still in force: {error}")
        _delete_tables(Store.from_settings(self.settings))

    def declare(self, tenants: Iterable[DrillTenant], *, tokens: bool = True) -> None:
        """See ``Ground``."""
        days = self.datasets[DATASET].retention_days
        for each in tenants:
            key = Token(each.token_id, digest(each.token), note="a drill's", owner=Owner.API)
            wanted = {DATASET: TenantDataset(DATASET, days, owner=Owner.API)}
            self._tenants[each.name] = Tenant(each.name, wanted, tokens=(key,) if tokens else (), owner=Owner.API)

    def apply(self, why: str) -> Applied:
        """See ``Ground``."""
        return Applied(0, f"generation {self._publish(why)} is in force")

    def parts(self) -> list[Part]:
        """The drill's own edge: nobody else's process is looked at."""
        if self._edge is None:
            return []
        url, health = (f"http://127.0.0.1:{port}" for port in self._ports)
        state, pid = ("RUNNING", self._edge.pid) if self._edge.alive() else ("EXITED", None)
        return [Part("edge-1", state, pid, 0, 0, url, self._edge.log, health)]

    def _let_through(self) -> None:
        """Wait until what the edge took is at rest: a sink that still has rows of a table makes it again."""
        self._end_edge()
        admin, deadline = client.admin(self.settings), time.monotonic() + _THROUGH_SECONDS
        try:
            for group in (self.settings.sort_group, self.settings.sink_group):
                ends = {(at.topic, at.partition): at.end for at in self._lag(group, admin)}
                while any(at.end - at.lag < ends.get((at.topic, at.partition), 0) for at in self._lag(group, admin)):
                    if time.monotonic() > deadline:
                        raise Retryable(f"{group} has not done in {_THROUGH_SECONDS:.0f} s what was there")
                    time.sleep(_LOOK_SECONDS)
        except LogflumeError as error:
            self._say(f"Rows of the drill may still be on their way, and make tables of {PREFIX}… again: {error}")

    def _lag(self, group: str, admin: AdminClient) -> list[groups.Lag]:
        return [at for at in groups.lag(self.settings, admin) if at.group == group]

    def _end_edge(self) -> None:
        if self._edge is not None:
            self._edge.stop(_DRAIN_SECONDS)

    # --- how --------------------------------------------------------------------------------------------------------

    def _publish(self, why: str) -> int:
        """Put the drill's tenants in force beside all others, whoever publishes meanwhile; returns the generation."""
        library, admin = Library.from_settings(self.settings), client.admin(self.settings)
        for _ in range(_TRIES):
            now = inforce.look(self.settings, admin, library, decided=True)
            if now.configuration is None:
                raise Misconfigured("there is no configuration on this stack yet: `logflume config apply` makes one")
            after = beside(now.configuration.tenants, self._tenants)
            pairs = {(tenant.name, dataset) for tenant in after.values() for dataset in tenant.datasets}
            order = publisher.Order(
                now.generation,
                after,
                _WHO,
                why,
                removal_of=len(now.configuration.pairs - pairs),
                growth_of=len(pairs - now.configuration.pairs),
            )
            with contextlib.suppress(publisher.Overtaken):
                return publisher.publish(self.settings, order, SystemClock()).generation
        raise Retryable(f"{_TRIES} times somebody else published first")

    def _start(self) -> None:
        port, health = self._ports
        clean = {name: value for name, value in os.environ.items() if not name.startswith(VARIABLES)}
        own = {
            "HTTP_PORT": str(health),
            "EDGE_HTTP_PORT": str(port),
            "EDGE_HTTP_HOST": "127.0.0.1",
            "EDGE_ID": f"drill-{os.getpid()}",
            "EDGE_SPOOL_DIR": str(self.folder / "spool"),
            "STATE_DIR": str(self.folder),
        }
        environment = clean | self.settings.environment() | {VARIABLES + name: value for name, value in own.items()}
        environment[SETTINGS_VARIABLE] = os.devnull
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "logflume", "edge", "serve"]
        self._edge = Process.start(command, self.folder / "edge.log", environment, self.folder)
        deadline = time.monotonic() + _READY_SECONDS
        while (reason := gauges.trouble(f"http://127.0.0.1:{health}")) is not None:
            if not self._edge.alive() or time.monotonic() > deadline:
                raise Retryable(f"the drill's edge is not ready: {reason}\n{self._edge.tail()}")
            time.sleep(0.2)


def beside(others: Mapping[str, Tenant], drills: Mapping[str, Tenant]) -> dict[str, Tenant]:
    """Return everybody who is no drill's, as they are, and these tenants of a drill (G3)."""
    return {name: tenant for name, tenant in others.items() if not name.startswith(PREFIX)} | dict(drills)


def _delete_tables(store: Store) -> None:
    """Delete the tables of drills' tenants, and nothing else."""
    tables = pafs.FileSelector(store.full("tables"), allow_not_found=True)
    for tenant in store.filesystem.get_file_info(tables):
        if tenant.base_name.startswith(PREFIX):
            with contextlib.suppress(FileNotFoundError):  # a server may list a folder that nothing is in
                store.filesystem.delete_dir(tenant.path)
