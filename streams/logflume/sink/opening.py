"""Assigned partitions are opened: what Kafka has and the group stored is looked up, then it is decided where to read.

All partitions of an assignment are opened at once, with one request of each kind. This blocks the poll loop, for
milliseconds as a rule, and at worst until Kafka has aborted the transaction that a killed owner left open
(``sink_transaction_timeout_ms``), which is far below ``max.poll.interval.ms``; heartbeats go on meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import structlog
from confluent_kafka.admin import AdminClient

from logflume.errors import Fatal, Refused, Retryable
from logflume.kafka import cursors, groups, intents, known, parked, topics
from logflume.kafka.cursors import Cursor
from logflume.kafka.intents import JobCursor
from logflume.kafka.parked import ParkedCursor
from logflume.kafka.topics import Present, Topic
from logflume.settings import Settings
from logflume.sink.placing import Found, Start, Stop, place

Place = tuple[str, int]
"""(topic, partition)."""

_OPEN_SECONDS = 120.0
"""Kafka may be away for this long while partitions are opened; then the process ends and begins anew."""

_ABORT_SLACK_SECONDS = 15.0
"""Kafka looks for timed-out transactions every 10 s unless its configuration says otherwise."""

_PAUSE_SECONDS = 0.5

_T = TypeVar("_T")
_Stored = tuple[
    dict[Place, Cursor | Stop | None],
    dict[Place, tuple[JobCursor, ...] | Stop],
    dict[Place, tuple[ParkedCursor, ...] | Stop],
    dict[Place, tuple[str, frozenset[int]] | None],
]
_log = structlog.get_logger(__name__)


class Opening:
    """Finds the places to start at. ``adopt``: topics which the operator says may be made again."""

    def __init__(self, settings: Settings, admin: AdminClient, declared: Mapping[str, Topic], adopt: Collection[str]):
        self._settings = settings
        self._admin = admin
        self._declared = declared
        self._adopt = frozenset(adopt)
        self._codec = cursors.Codec(settings)
        self._job_codec = intents.Codec(settings)
        self._parked_codec = parked.Codec(settings)
        self._known_codec = known.Codec(settings)

    def places(self, assigned: Sequence[Place], generation: int) -> dict[Place, tuple[str, Start | Stop]]:
        """Return for each assigned partition its topic's id and where to start, or why not.

        Raises ``Fatal`` when Kafka does not answer for two minutes, or a transaction stays open past its time-out.
        """
        if not assigned:
            return {}
        present = self._patiently(lambda: topics.present(self._admin, {topic for topic, _ in assigned}))
        # The cursors before the ends of the logs: a position read first can't lie beyond an end looked up later.
        stored, jobs, waiting, whom = self._patiently(lambda: self._stored(assigned))
        starts = self._patiently(lambda: self._by_topic(cursors.starts, assigned, present))
        ends = self._patiently(lambda: self._by_topic(cursors.ends, assigned, present))
        unknown = [at for at in assigned if not isinstance(stored[at], Cursor)]
        committed = self._patiently(lambda: groups.committed(self._settings, self._settings.sink_group, unknown))
        found: dict[Place, tuple[str, Start | Stop]] = {}
        for at in assigned:
            topic = present.get(at[0])
            cursor = stored[at]
            if topic is None:
                found[at] = ("", Stop("topic-gone", "Kafka has no such topic; `logflume topics apply` makes it"))
            elif isinstance(cursor, Stop):
                found[at] = (topic.id, cursor)
            else:
                facts = Found(
                    topic=at[0],
                    partition=at[1],
                    topic_id=topic.id,
                    partitions=topic.partitions,
                    declared_partitions=self._declared[at[0]].partitions,
                    start=starts[at],
                    end=ends[at],
                    stored=cursor,
                    committed=committed.get(at),
                    generation=generation,
                    adopted=at[0] in self._adopt,
                )
                start, of_jobs, of_parked = place(facts), jobs[at], waiting[at]
                if isinstance(start, Start):
                    if isinstance(of_jobs, Stop):
                        start = of_jobs
                    elif isinstance(of_parked, Stop):
                        start = of_parked
                    else:
                        id_, hashes = whom[at] or ("", None)
                        start = replace(start, jobs=of_jobs, parked=of_parked, first=starts[at])
                        start = replace(start, known=hashes if id_ == topic.id else None)
                found[at] = (topic.id, start)
        return found

    def _stored(self, assigned: Sequence[Place]) -> _Stored:
        """Return what the cursors topic has of each partition, of its jobs and of who is parked there; all open
        transactions are decided (K2).
        """
        name = topics.cursors_topic(self._settings)
        there = topics.present(self._admin, [name]).get(name)
        if there is None:
            raise Fatal(f"Kafka has no topic {name}; `logflume topics apply` makes it")
        declared = self._declared[name].partitions
        if there.partitions != declared:
            raise Fatal(
                f"{name} has {there.partitions} partitions, {declared} are declared: positions lie by their number, so "
                "they would not be found. See `logflume topics diff`"
            )
        keys = {at: cursors.key(self._settings.sink_group, *at) for at in assigned}
        patience = self._settings.sink_transaction_timeout_ms / 1000 + _ABORT_SLACK_SECONDS
        homes = {cursors.home(key, declared) for key in keys.values()}
        values = cursors.read_to_end(self._settings, self._admin, homes, patience)
        group = self._settings.sink_group
        of_jobs, of_parked = _by_prefix(values, intents.prefix, group), _by_prefix(values, parked.prefix, group)
        return (
            {at: self._decoded(values.get(key)) for at, key in keys.items()},
            {at: _each(self._job_codec.decode, of_jobs(at)) for at in assigned},
            {at: _each(self._parked_codec.decode, of_parked(at)) for at in assigned},
            {at: self._whom(values.get(known.key(group, *at))) for at in assigned},
        )

    def _whom(self, value: bytes | None) -> tuple[str, frozenset[int]] | None:
        try:
            return None if value is None else self._known_codec.decode(value)
        except Refused as error:
            _log.warning("sink.known-unreadable", error=str(error))  # nothing depends on it but who is taken for new
            return None

    def _decoded(self, value: bytes | None) -> Cursor | Stop | None:
        try:
            return None if value is None else self._codec.decode(value)
        except Refused as error:
            return Stop("position-unreadable", str(error))

    def _by_topic(
        self,
        look_up: Callable[[AdminClient, str, Collection[int]], dict[int, int]],
        assigned: Sequence[Place],
        present: Mapping[str, Present],
    ) -> dict[Place, int]:
        return {
            (topic, number): offset
            for topic in present
            for number, offset in look_up(self._admin, topic, [p for t, p in assigned if t == topic]).items()
        }

    def _patiently(self, call: Callable[[], _T]) -> _T:
        deadline = time.monotonic() + _OPEN_SECONDS
        while True:
            try:
                return call()
            except Retryable as error:
                if time.monotonic() > deadline:
                    raise Fatal(f"partitions could not be opened: {error}") from error
                _log.warning("sink.opening-waits", error=str(error))
                time.sleep(_PAUSE_SECONDS)


def _by_prefix(
    values: Mapping[bytes, bytes], prefix: Callable[[str, str, int], bytes], group: str
) -> Callable[[Place], Sequence[bytes]]:
    """Return what gives the values of a place whose keys are its prefix, a tenant, a slash and a job."""
    found: dict[bytes, list[bytes]] = {}
    for key, value in values.items():
        found.setdefault(b"/".join(key.split(b"/")[:-2]) + b"/", []).append(value)
    return lambda at: found.get(prefix(group, *at), ())


def _each(decode: Callable[[bytes], _T], values: Sequence[bytes]) -> tuple[_T, ...] | Stop:
    try:
        return tuple(decode(value) for value in values)
    except Refused as error:
        return Stop("position-unreadable", str(error))
