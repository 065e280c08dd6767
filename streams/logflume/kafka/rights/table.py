"""The rights of each stage: the least that its work takes. This table is the only source.

Kafka takes ``Describe`` for given where ``Read``, ``Write`` or ``Alter`` is, ``DescribeConfigs`` with ``AlterConfigs``.
Producers are idempotent by their right to write (Kafka 3.0 on), so none needs ``IdempotentWrite`` on the cluster.
tests/e2e/test_rights.py runs stages with these rights alone, and takes one away at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from logflume.settings import Settings


class Kind(StrEnum):
    """What a right is about, in Kafka's words."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"
    CLUSTER = "cluster"


class Condition(StrEnum):
    """When a right is not needed always: what the settings of the worker say."""

    ALWAYS = ""
    SPOOL = "with `LOGFLUME_EDGE_SPOOL_DIR`"
    FOLLOWS = "without `LOGFLUME_TENANTS_DIR`"
    TELLS = "unless `LOGFLUME_STATUS_SECONDS` is 0"
    AUDIT_SPOOL = "with `LOGFLUME_SERVE_AUDIT_SPOOL_DIR`"
    AUDITS = "unless `LOGFLUME_SERVE_AUDIT` is `off`"

    def holds(self, settings: Settings) -> bool:
        """Whether a worker with these settings needs it."""
        match self:
            case Condition.SPOOL:
                return bool(settings.edge_spool_dir)
            case Condition.FOLLOWS:
                return not settings.tenants_dir
            case Condition.TELLS:
                return settings.status_seconds > 0
            case Condition.AUDIT_SPOOL:
                return settings.serve_audit != "off" and bool(settings.serve_audit_spool_dir)
            case Condition.AUDITS:
                return settings.serve_audit != "off"
            case _:
                return True


@dataclass(frozen=True, slots=True)
class Right:
    """``name`` is filled in with settings; ``prefixed``: it holds for all names that begin so."""

    kind: Kind
    name: str
    operation: str
    why: str
    prefixed: bool = False
    condition: Condition = Condition.ALWAYS


def _topic(name: str, operation: str, why: str, condition: Condition = Condition.ALWAYS) -> Right:
    """``name`` without the prefix of all topics; one that ends in a dot stands for all datasets."""
    return Right(Kind.TOPIC, "{topic_prefix}" + name, operation, why, name.endswith("."), condition)


def _group(setting: str, operation: str, why: str) -> Right:
    return Right(Kind.GROUP, f"{{{setting}}}", operation, why)


_READS = Right(Kind.GROUP, "{topic_prefix}reads-", "Describe", "reads topics without being in a group", prefixed=True)
"""librdkafka looks for a group's coordinator also for a consumer that joins none (``client.reader_group``)."""
_FOLLOWS = _topic("config", "Read", "follows the configuration", Condition.FOLLOWS)
_TELLS = _topic("status", "Write", "tells its status", Condition.TELLS)

_LOOKS = (
    _topic("ingest.", "Describe", "asks how old the first record is that waits, and reads none"),
    _topic("sorted.", "Describe", "likewise"),
    _topic("ingest.", "DescribeConfigs", "knows whose clock stamps records"),
    _topic("sorted.", "DescribeConfigs", "likewise"),
    _group("sort_group", "Describe", "knows how far sorters are"),
    _group("sink_group", "Describe", "knows how far sinks are"),
)
_SEES_WORKERS = _topic("status", "Read", "knows how every worker is")

STAGES: Final[Mapping[str, tuple[Right, ...]]] = {
    "edge": (
        _topic("ingest.", "Write", "publishes blocks"),
        _topic("deadletter", "Write", "sets aside records that can't be read"),
        _topic("ingest.", "Read", "finds out after a crash what had landed", Condition.SPOOL),
        _FOLLOWS,
        _topic("status", "Read", "follows the pressure", Condition.TELLS),
        _TELLS,
        _READS,
    ),
    "sort": (
        _topic("ingest.", "Read", "reads what came in"),
        _group("sort_group", "Read", "shares partitions, commits offsets"),
        _topic("sorted.", "Write", "publishes sorted blocks"),
        _topic("deadletter", "Write", "sets aside what can't be read"),
        _FOLLOWS,
        _TELLS,
        _READS,
    ),
    "sink": (
        _topic("sorted.", "Read", "reads sorted blocks"),
        _topic("sorted.", "DescribeConfigs", "knows how long parked rows have left"),
        _group("sink_group", "Read", "shares partitions, commits offsets"),
        Right(Kind.TRANSACTIONAL_ID, "{sink_group}-", "Write", "commits all it did at once", prefixed=True),
        _topic("cursors", "Read", "finds where it was"),
        _topic("cursors", "Write", "keeps positions, cursors and intents"),
        _topic("deadletter", "Write", "sets aside rows that nobody wants"),
        _FOLLOWS,
        _TELLS,
        _READS,
    ),
    "care": (
        _topic("cursors", "Read", "shares tables as Kafka shares that topic's partitions; it reads nothing"),
        _group("care_group", "Read", "is a member of the carers"),
        _FOLLOWS,
        _TELLS,
        _READS,
    ),
    "serve": (
        _FOLLOWS,
        _topic("sorted.", "Read", "adds what still waits in Kafka to answers, and follows rows as they come"),
        _topic("cursors", "Read", "knows how far the tables reach, for live answers"),
        _topic("deadletter", "Read", "tells a tenant what was rejected"),
        _topic("ingest.audit_logs", "Write", "records who asked what", Condition.AUDITS),
        _topic("ingest.audit_logs", "Read", "finds out after a crash which had landed", Condition.AUDIT_SPOOL),
        _TELLS,
        _READS,
    ),
    "watch": (
        *_LOOKS,
        _SEES_WORKERS,
        _topic("status", "Write", "publishes the pressure"),
        _READS,
    ),
    "lag": _LOOKS,
    "status": (_SEES_WORKERS, _READS),
    "top": (*_LOOKS, _SEES_WORKERS, _READS),
    "config": (
        _topic("config", "Read", "knows what is in force"),
        _topic("config", "Write", "publishes a generation"),
        Right(Kind.TRANSACTIONAL_ID, "{topic_prefix}config", "Write", "publishes it at once, and alone"),
        _topic("ingest.", "Write", "marks where a change of routing begins"),
        _topic("sorted.", "Describe", "checks it against the partitions there are"),
        Right(
            Kind.CLUSTER,
            "kafka-cluster",
            "AlterConfigs",
            "sets quotas of tenants' own producers, where they have rates",
        ),
        _READS,
    ),
    "deadletter": (
        _topic("deadletter", "Read", "lists, shows and exports letters"),
        _topic("deadletter", "Write", "marks those that were put back"),
        _topic("ingest.", "Write", "puts them back"),
        Right(Kind.TRANSACTIONAL_ID, "{topic_prefix}deadletter.replay.", "Write", "does both at once", prefixed=True),
        _READS,
    ),
    "topics": (
        Right(Kind.TOPIC, "{topic_prefix}", "Create", "makes topics that are missing", prefixed=True),
        Right(Kind.TOPIC, "{topic_prefix}", "Alter", "compares partitions, adds some to ingest topics", prefixed=True),
        Right(Kind.TOPIC, "{topic_prefix}", "AlterConfigs", "compares and mends configurations", prefixed=True),
    ),
}
"""In the order of the data's way; from `lag` on they are commands."""
