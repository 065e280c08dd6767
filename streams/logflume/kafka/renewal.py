"""New certificates and passwords: a worker that sees its files changed ends in order, and is started again with them.

An application is not ended: its ``edge.Client``, and a command that goes on and on, make their clients anew instead.

N1  What counts is what the files hold, not when they were written: a renewed mount with the same bytes is no change.
N2  Nothing is done for files that can't be used, such as a certificate whose key is not there yet: the worker goes on
    with the connections that it has, says so, and looks again.
N3  Workers that share files do not all end at once: each waits for a random part of ``SPREAD`` looks.
N4  What could not be done about a change is tried again at the next look.

Why not change them in the living clients: docs/decisions/a-renewed-certificate-is-taken-by-a-restart.md.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable
from typing import Final

import structlog

from logflume.errors import Misconfigured
from logflume.kafka.security import Security, files, fingerprint
from logflume.settings import Settings

SPREAD: Final = 4

log = structlog.get_logger(__name__)


def end_in_order() -> None:
    """Do as an operator who stops this worker."""
    os.kill(os.getpid(), signal.SIGTERM)


class Renewal:
    """Looks after the files of one process. Make it before its clients, so that no change falls in between."""

    def __init__(
        self,
        settings: Settings,
        changed: Callable[[], None] = end_in_order,
        seed: int | None = None,
        *,
        spread: float = SPREAD,
    ) -> None:
        """``changed`` is called from a thread; it may raise ``Misconfigured``. ``spread``: in looks, see N3."""
        self._settings = settings
        self._changed = changed
        self._spread = spread
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self._every = settings.kafka_reload_seconds
        self._known = self._seen = fingerprint(settings)
        self._said = ""
        self._thread = threading.Thread(target=self._run, name="kafka-renewal", daemon=True)

    def start(self) -> Renewal:
        """Look, in a thread of its own, until there is a change; not where no file is named, or never was asked for."""
        if self._every and files(self._settings):
            self._thread.start()
        return self

    def close(self) -> None:
        """Look no more; ``changed`` is not called afterwards."""
        self._stop.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def look(self) -> bool:
        """Whether the files have changed, and what they hold can be used (N1, N2)."""
        try:
            self._seen = fingerprint(self._settings)
            if self._seen == self._known:
                self._said = ""
                return False
            Security.of(self._settings)
        except Misconfigured as error:
            if str(error) != self._said:
                self._said = str(error)
                log.error("changed certificates or passwords can't be used yet; going on as before", error=str(error))
            return False
        return True

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            if self.look():
                seen, pause = self._seen, self._chance.uniform(0, self._spread * self._every)  # N3
                log.warning("certificates or passwords of Kafka have changed: beginning anew with them", seconds=pause)
                if not self._stop.wait(pause):
                    self._change(seen)

    def _change(self, seen: str) -> None:
        try:
            self._changed()
        except Misconfigured as error:  # they have changed again meanwhile (N4)
            log.error("changed certificates or passwords can't be used yet; going on as before", error=str(error))
        else:
            self._known = seen
