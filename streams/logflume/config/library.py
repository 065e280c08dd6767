"""Every generation in the object store, whole: to go back to, and for a worker that comes up with nothing.

``_logflume/config/<generation>.avro`` is an Avro object container: its metadata the manifest, its records the tenants'
messages. ``<generation>.published`` beside it says that it was in force.

B1  A generation's number is claimed by making its file, once: of any number of publishers exactly one gets it, and what
    stands under a number never changes.
B2  ``read`` returns what was claimed, whole and with its hash, or refuses.
B3  What was claimed and never published was never in force: its publisher crashed, or was told no by Kafka.
"""

from __future__ import annotations

import base64
import io
import re
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fastavro
import pyarrow.fs as pafs

from logflume.config import manifest as manifests
from logflume.config.assembly import Assembly
from logflume.config.manifest import Manifest
from logflume.config.tenants import Codec
from logflume.errors import Misconfigured, Refused, Retryable
from logflume.model.tenant import Configuration
from logflume.settings import Settings
from logflume.table.store import Store

FOLDER = "_logflume/config"
_NAME = re.compile(r"(\d{10})\.(avro|published)")
_MANIFEST, _CLAIM = "logflume.manifest", "logflume.claim"
_SCHEMA = fastavro.parse_schema(
    {
        "type": "record",
        "name": "Message",
        "namespace": "logflume.config",
        "fields": [{"name": "tenant", "type": "string"}, {"name": "value", "type": "bytes"}],
    }
)
_BLOCK_BYTES = 1 << 20
_UNREADABLE = (ValueError, KeyError, TypeError, EOFError, IndexError, zlib.error, StopIteration)


@dataclass(frozen=True, slots=True)
class Entry:
    """A number that was claimed, and whether it was in force."""

    generation: int
    published: bool


class Library:
    """The generations below a store. Every method raises ``Retryable`` when the store does not answer."""

    def __init__(self, store: Store, topics_dir: str = "") -> None:
        self._store = store
        self._topics_dir = topics_dir
        self._codec = manifests.Codec(topics_dir)

    @classmethod
    def from_settings(cls, settings: Settings) -> Library:
        """Return the one in the store that the settings name; ``Misconfigured`` when they name none."""
        return cls(Store.from_settings(settings), settings.topics_dir)

    def entries(self) -> list[Entry]:
        """Return every number that was claimed, the oldest first."""
        claimed: set[int] = set()
        published: set[int] = set()
        for name in self._names():
            if found := _NAME.fullmatch(name):
                (claimed if found[2] == "avro" else published).add(int(found[1]))
        return [Entry(generation, generation in published) for generation in sorted(claimed)]

    def newest_published(self) -> tuple[Manifest, Configuration] | None:
        """Return the last generation that was in force, as far as the store knows; None: there was none.

        Raises ``Refused`` when it can't be read: an older one would be a step back that nobody asked for.
        """
        published = [entry.generation for entry in self.entries() if entry.published]
        return self.read(published[-1]) if published else None

    def after(self, generation: int) -> Iterator[Configuration]:
        """Yield those that were in force after ``generation``, the newest first, each read as it is asked for."""
        for entry in reversed(self.entries()):
            if entry.published and entry.generation > generation:
                yield self.read(entry.generation)[1]

    def read(self, generation: int) -> tuple[Manifest, Configuration]:
        """Return a generation (B2). Raises ``Misconfigured`` when there is none of that number, or ``Refused``."""
        manifest, messages = self.messages(generation)
        with _readable(generation):
            return manifest, messages.whole(manifest)

    def messages(self, generation: int) -> tuple[Manifest, Assembly]:
        """Return the manifest and the messages as they were stored, not yet proven to be whole."""
        data = self._bytes(generation)
        messages = Assembly(Codec(self._topics_dir))
        with _readable(generation):
            reader = fastavro.reader(io.BytesIO(data))
            manifest = self._manifest(reader)
            record: Any
            for record in reader:
                messages.put(record["tenant"], record["value"])
        return manifest, messages

    def manifest(self, generation: int) -> Manifest:
        """Return the manifest of a generation; its tenants are not read. Raises as ``read``."""
        with self._opened(generation) as file, _readable(generation):
            return self._manifest(fastavro.reader(file))

    def claim(self, manifest: Manifest, messages: Iterable[tuple[str, bytes]]) -> bool:
        """Store a generation whole under its number, durably; False: the number is another's (B1)."""
        claim = uuid.uuid4().hex
        path = _path(manifest.generation, "avro")
        try:
            if self._store.put_if_absent(path, self._container(manifest, messages, claim)) is not None:
                return True
        except Retryable:
            if self._store.tag(path) is None:
                raise
        # It is there: another's, or our own of an attempt whose answer was lost.
        with self._opened(manifest.generation) as file, _readable(manifest.generation):
            return bool(fastavro.reader(file).metadata.get(_CLAIM) == claim)

    def publish(self, manifest: Manifest) -> None:
        """Note that a generation is in force; may be repeated."""
        self._store.put_if_absent(_path(manifest.generation, "published"), f"{manifest.hash}\n".encode())

    def _container(self, manifest: Manifest, messages: Iterable[tuple[str, bytes]], claim: str) -> bytes:
        out = io.BytesIO()
        fastavro.writer(
            out,
            _SCHEMA,
            ({"tenant": tenant, "value": value} for tenant, value in messages),
            codec="deflate",
            codec_compression_level=1,
            sync_interval=_BLOCK_BYTES,
            metadata={_MANIFEST: base64.b64encode(self._codec.encode(manifest)).decode(), _CLAIM: claim},
        )
        return out.getvalue()

    def _manifest(self, reader: Any) -> Manifest:
        return self._codec.decode(base64.b64decode(reader.metadata[_MANIFEST]))

    def _names(self) -> Iterator[str]:
        selector = pafs.FileSelector(self._store.full(FOLDER), allow_not_found=True)
        try:
            yield from (info.base_name for info in self._store.filesystem.get_file_info(selector))
        except OSError as error:
            raise Retryable(f"{self._store.uri(FOLDER)} could not be listed: {error}") from error

    def _bytes(self, generation: int) -> bytes:
        with self._opened(generation) as file:
            return bytes(file.read())

    @contextmanager
    def _opened(self, generation: int) -> Iterator[Any]:
        path = _path(generation, "avro")
        try:
            with self._store.filesystem.open_input_file(self._store.full(path)) as file:
                yield file
        except FileNotFoundError:
            raise Misconfigured(
                f"there is no generation {generation} in {self._store.uri(FOLDER)}; see `logflume config history`"
            ) from None
        except OSError as error:
            raise Retryable(f"{self._store.uri(path)} could not be read: {error}") from error


def _path(generation: int, end: str) -> str:
    return f"{FOLDER}/{generation:010}.{end}"


@contextmanager
def _readable(generation: int) -> Iterator[None]:
    """Foreign bytes under our name: refused by their number, whatever the reader makes of them."""
    try:
        yield
    except Refused as error:
        raise Refused(f"generation {generation} in the object store: {error}") from error
    except _UNREADABLE as error:
        raise Refused(f"generation {generation} in the object store can't be read: {error}") from error
