"""What goes back to an ingest topic when a letter is replayed: the record as it came, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from logflume.block import extra, reasons
from logflume.block.wire import is_block
from logflume.errors import LogflumeError
from logflume.kafka.deadletters.letter import FOREIGN, REPLAY_OF, DeadLetter
from logflume.kafka.deadletters.messages import text_bytes
from logflume.kafka.deliveries import Headers

_PREFIX = "replay-"
_TENANT, _DATASET = "tenant", "dataset"


class Stays(LogflumeError):
    """A letter can't go back; the message says why, in words that fit many letters."""


@dataclass(frozen=True, slots=True)
class Correction:
    """Whose the records are, or which dataset's, in place of what their letters say."""

    tenant: str | None = None
    dataset: str | None = None


NO_CORRECTION = Correction()


@dataclass(frozen=True, slots=True)
class Original:
    """A message for the ingest topic of ``dataset``."""

    dataset: str
    key: bytes | None
    value: bytes = field(repr=False)
    headers: Headers

    @property
    def size(self) -> int:
        """Bytes of the message, framing allowed for."""
        head = sum(len(name) + len(value or b"") + 10 for name, value in self.headers)
        return len(self.value) + len(self.key or b"") + head + 200


def originals(letter: DeadLetter, id_: str, correction: Correction = NO_CORRECTION) -> list[Original]:
    """Return the messages that put back what ``letter`` (its id: ``id_``) holds: one, or one for each of its rows.

    A whole message goes back with its own key and headers, a row or an edge's record as a plain record of its tenant.
    All carry the letter's id and the coordinates where the record first came in. Raises ``Stays``.
    """
    if letter.reason == reasons.RETENTION:
        raise Stays("retention: nothing is left to put back")
    if letter.reason == FOREIGN:
        raise Stays("foreign: no dead letter")
    if letter.reason == reasons.UNREADABLE:
        raise Stays("unreadable-batch: messages that nobody can take apart are none to put back")
    if letter.apart:
        raise Stays("key and headers too large to ride along: they lie in a letter of their own")
    dataset = correction.dataset or letter.dataset
    if dataset is None:
        raise Stays("no dataset is known: name one")
    if letter.stage == "sort" and letter.row is None:
        return [_whole(letter, id_, dataset, correction)]
    tenant = correction.tenant or letter.tenant
    if tenant is None:
        raise Stays("no tenant is known: name one")
    key = text_bytes(tenant)
    rows = letter.raw.splitlines() if letter.reason == reasons.UNWANTED else [_record(letter)]
    first = letter.row or 0
    return [Original(dataset, key, row, [*_origin(letter, id_, first + number)]) for number, row in enumerate(rows)]


def _whole(letter: DeadLetter, id_: str, dataset: str, correction: Correction) -> Original:
    changed = {_TENANT} if correction.tenant else set()
    key = letter.key
    if is_block([(name, value or b"") for name, value in letter.headers]):
        if correction.tenant is not None:
            raise Stays("a block names its tenants itself: a tenant can't be named for it")
    else:
        changed |= {_DATASET} if correction.dataset else set()
        key = text_bytes(correction.tenant) if correction.tenant else key
    kept = [(n, v) for n, v in letter.headers if not n.startswith(_PREFIX) and n not in changed]
    return Original(dataset, key, letter.raw, [*kept, *_origin(letter, id_, letter.row)])


def _record(letter: DeadLetter) -> bytes:
    """A row of a block that named an impossible tenant has that name inside; it is no part of the record."""
    if letter.reason != reasons.BAD_TENANT:
        return letter.raw
    try:
        record = extra.loads(letter.raw.decode())
    except ValueError:
        return letter.raw
    record.pop("_tenant", None)
    return extra.dumps(record).encode()


def _origin(letter: DeadLetter, id_: str, row: int | None) -> Iterator[tuple[str, bytes | None]]:
    """The coordinates are those where it came in first, however often it was put back since."""
    yield REPLAY_OF, id_.encode()
    before = [(n, v) for n, v in letter.headers if n.startswith(_PREFIX) and n != REPLAY_OF]
    if before:
        yield from before
        return
    places = {"topic-id": letter.topic_id, "partition": letter.partition, "offset": letter.offset, "row": row}
    for name, value in (places | {"edge": letter.edge}).items():
        if value not in (None, ""):
            yield _PREFIX + name, text_bytes(str(value))
