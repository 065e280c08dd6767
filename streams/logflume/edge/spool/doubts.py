"""Finding out, after a crash, which of the messages that were being sent stand in Kafka.

DO1  A message is counted as done only when it was seen in its partition; it is given out again only when it was not
     seen between the offset from which it would be there and a barrier that was produced after the crash. So it stands
     there once, as long as nothing that the dead process had sent lands behind the barrier (docs/spool.md).
DO2  Nothing else of the spool goes to such a partition before.
DO3  A partition that nobody answers for is asked again later. What can't be known any more, as retention took where to
     look, is given out again: rather twice than lost. It is logged and counted. So is what was sent to a topic that is
     gone: of its successor everything is read.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence

from logflume import metrics
from logflume.edge.spool.lookup import Lookup
from logflume.edge.spool.records import Sent
from logflume.edge.spool.routes import Partition, Routes
from logflume.edge.spool.spool import Spool
from logflume.errors import LogflumeError, Retryable

_LOG = logging.getLogger("logflume.edge.spool")

Barrier = Callable[[str, int, str], int]
"""``barrier(topic, partition, tag)`` puts a barrier there and returns its offset once Kafka has acknowledged it."""


class Doubts:
    """What of a spool is in doubt since it was opened, by partition; for one thread. See DO1 to DO3."""

    def __init__(self, spool: Spool, routes: Routes, lookup: Lookup) -> None:
        self._spool = spool
        self._routes = routes
        self._lookup = lookup
        self._barriers = 0
        self._open: dict[Partition, list[Sent]] = defaultdict(list)
        for sent in spool.doubts:
            self._open[sent.topic, sent.partition].append(sent)
        routes.block(self._open.keys())  # DO2

    def __bool__(self) -> bool:
        """Whether anything is still in doubt."""
        return bool(self._open)

    def settle(self, barrier: Barrier) -> str:
        """Try to clear every partition up; returns the last trouble, or "" when none is left."""
        trouble = ""
        for where, sent in list(self._open.items()):
            try:
                self._settle(where, sent, barrier)
            except LogflumeError as failure:
                trouble = str(failure)
                _LOG.warning("%d messages of %s[%d] stay in doubt for now: %s", len(sent), *where, failure)
            else:
                del self._open[where]
                self._routes.free(where)
        return trouble

    def _settle(self, where: Partition, sent: Sequence[Sent], barrier: Barrier) -> None:
        topic, partition = where
        present = self._lookup.topic(topic)
        tags: dict[str, int] = {}
        begin = 0
        if partition not in present.ends and (
            partition in present.silent or any(each.topic_id == present.id for each in sent)
        ):
            raise Retryable("what stands there can't be read: it has no leader now")
        if partition in present.ends:
            self._barriers += 1
            upto = barrier(topic, partition, f"{self._spool.direct_tag()}-{self._barriers}")
            # A message whose topic was made again may have gone to the new one, as metadata is never quite fresh.
            start = min(each.look_from if each.topic_id == present.id else 0 for each in sent)
            seen = self._lookup.seen(topic, partition, start, upto, self._spool.tag_prefix)
            if self._lookup.topic(topic).id != present.id:
                raise LogflumeError(f"the topic {topic} was made again meanwhile")
            tags, begin = dict(seen.tags), seen.start
        unknown = 0
        for each in sent:
            if each.tag in tags:
                self._spool.done(each.number, tags[each.tag])
                continue
            unknown += each.topic_id == present.id and each.look_from < begin
            self._spool.again((each.number,))
        found = sum(each.tag in tags for each in sent)
        _LOG.info("of %d messages in doubt, %s[%d] has %d; the others are sent again", len(sent), *where, found)
        if unknown:
            metrics.EDGE_SPOOL_UNKNOWN.labels(topic).inc(unknown)
            _LOG.error(
                "%d messages are sent again to %s though they may be stored: retention deleted up to offset %d of "
                "partition %d meanwhile",
                unknown,
                topic,
                begin,
                partition,
            )
