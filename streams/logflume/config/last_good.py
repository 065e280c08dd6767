"""The last good generation of this host, in a file: what its workers begin with while Kafka is away.

LG1 The file is a whole generation with a hash over all of it, or is taken for none: then it is replaced by the next
    good one.
LG2 It is replaced in one step and durably; a process or machine that dies leaves the one before or the new one.
LG3 Workers of one host share it, and none puts an older generation over a newer one.

A line of ASCII (a name, the SHA-256 of the rest), then Avro: the manifest and the tenants' messages as on the topic.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import fastavro
import structlog

from logflume import crash, metrics
from logflume.config import manifest as manifests
from logflume.config.assembly import Assembly
from logflume.config.manifest import Manifest
from logflume.config.tenants import Codec
from logflume.durable import make_folder, sync_folder
from logflume.errors import Refused
from logflume.settings import Settings

NAME: Final = "last-good.avro"
_HEAD: Final = b"logflume-config-1 "
_LONGEST_HEAD: Final = len(_HEAD) + 65
_SCHEMA: Final = fastavro.parse_schema(
    {
        "type": "record",
        "name": "LastGood",
        "namespace": "logflume.config",
        "fields": [
            {"name": "manifest", "type": "bytes"},
            {
                "name": "messages",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Message",
                        "fields": [{"name": "tenant", "type": "string"}, {"name": "value", "type": "bytes"}],
                    },
                },
            },
        ],
    }
)

_log = structlog.get_logger(__name__)


def folder(settings: Settings) -> Path:
    """Return where the file lies: ``config_dir``, or a folder of the state folder that is this Kafka's and prefix's."""
    if settings.config_dir:
        return Path(settings.config_dir)
    # Another Kafka's configuration must never be taken for this one's; brokers that are named otherwise only cost
    # a start without Kafka its copy.
    of = f"{settings.kafka_bootstrap}\0{settings.topic_prefix}".encode()
    return settings.state_dir / "config" / hashlib.sha256(of).hexdigest()[:16]


class LastGood:
    """See LG1 to LG3. Neither call raises, or waits for another worker: following goes on without a disk, too."""

    AGAIN_SECONDS: Final = 10.0
    """After which a disk that failed is tried again."""

    def __init__(self, folder: Path, topics_dir: str = "") -> None:
        self._path = folder / NAME
        self._topics_dir = topics_dir
        self._manifests = manifests.Codec(topics_dir)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def read(self) -> tuple[Manifest, Assembly] | None:
        """Return what is kept, its messages not yet read; None: nothing, or nothing that can be trusted (LG1)."""
        try:
            body = self._body()
        except FileNotFoundError:
            return None
        except (OSError, Refused) as failure:
            self._complain("read", failure)
            return None
        messages = Assembly(Codec(self._topics_dir))
        try:
            record: Any = fastavro.schemaless_reader(io.BytesIO(body), _SCHEMA, None)
            told = self._manifests.decode(record["manifest"])
            for message in record["messages"]:
                messages.put(message["tenant"], message["value"])
        except (Refused, EOFError, ValueError, IndexError) as failure:
            self._complain("read", failure)
            return None
        return told, messages

    def keep(self, manifest: Manifest, messages: Iterable[tuple[str, bytes]]) -> float | None:
        """Keep a generation that came in force, unless a newer one is there.

        Returns ``None`` when that is done, or after how many seconds to try again: at once when another worker is at
        it now.
        """
        try:
            make_folder(self._path.parent)
            with self._locked():
                if self._present() < manifest.generation:
                    self._replace(manifest, messages)
        except BlockingIOError:
            return 0.0
        except OSError as failure:
            self._complain("write", failure)
            return self.AGAIN_SECONDS
        return None

    def _present(self) -> int:
        """The generation in the file; 0: none that can be trusted."""
        try:
            record: Any = fastavro.schemaless_reader(io.BytesIO(self._body()), _SCHEMA, None)
            return self._manifests.decode(record["manifest"]).generation
        except (OSError, Refused, EOFError, ValueError, IndexError):
            return 0

    def _body(self) -> bytes:
        with self._path.open("rb") as file:
            head, body = file.readline(_LONGEST_HEAD), file.read()
        if head != _head(body):
            raise Refused("it is not what was written: its hash is another")
        return body

    def _replace(self, manifest: Manifest, messages: Iterable[tuple[str, bytes]]) -> None:
        out = io.BytesIO()
        record = {
            "manifest": self._manifests.encode(manifest),
            "messages": [{"tenant": tenant, "value": value} for tenant, value in messages],
        }
        fastavro.schemaless_writer(out, _SCHEMA, record)
        body = out.getvalue()
        # A name of its own: what a killed process has left there is only rubbish to be written over by its like.
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(_head(body))
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        crash.point("config.kept")
        new.replace(self._path)
        sync_folder(self._path.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time on this host (LG3); ``BlockingIOError`` when there is another."""
        with self._path.with_suffix(".lock").open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # closing it lets go
            yield

    def _complain(self, doing: str, failure: Exception) -> None:
        metrics.CONFIG_DISK_ERRORS.labels(doing).inc()
        _log.error(f"config.last-good-not-{doing}", file=str(self._path), error=str(failure))


def _head(body: bytes) -> bytes:
    return _HEAD + hashlib.sha256(body).hexdigest().encode() + b"\n"
