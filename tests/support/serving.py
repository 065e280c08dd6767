"""The API on a port, on a loop in a thread of its own, so that a test can be its client."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from logflume import metrics
from logflume.api.app import Api
from logflume.clock import ManualClock
from logflume.explore.engine.engine import Engine
from logflume.settings import Settings
from logflume.table.store import Store
from logflume.web.connection import ConnectionLimits
from logflume.web.listener import Listener, Place
from tests.support.api import Fixed
from tests.support.asking import forks
from tests.support.tables import DAY, NOON, SMALL


class Serving:
    """Started when it is made, for the tenants of ``Fixed``; ``url`` is where."""

    def __init__(self, store: Store, **settings: Any) -> None:
        self.source = Fixed()
        self._store = store
        self._settings = Settings(**settings)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        datasets = {"http_requests": SMALL}
        engine = Engine(self._settings, self._store, datasets, forks=forks())
        await engine.start()
        api = Api(self._settings, datasets, self.source, engine, ManualClock(now_ns=NOON + 3 * DAY))  # type: ignore[arg-type]
        listener = Listener(
            api.application(),
            Place("serve_", "127.0.0.1", 0),
            ConnectionLimits(32_000, 10.0, 100, metrics.EXPLORE_CONNECTIONS),
            idle_seconds=75,
            drain_seconds=5,
        )
        await listener.start()
        self.url = listener.address
        self._ready.set()
        await self._stopping.wait()
        await listener.stop()
        await engine.close()
