"""What a worker's principal lacks, asked of Kafka at its start: a broker's refusal later names no right.

Kafka tells what the asker may do on topics and groups (KIP-430); of transactional ids see ``transactions``. Of the
cluster it tells only those who have more rights there than any stage needs: who lacks one hears so when it uses it
first (``kafka.client.typed`` and ``kafka.quotas`` name the right).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from logflume.errors import Misconfigured, Retryable
from logflume.kafka import client, topics
from logflume.kafka.rights.acl import Acl, acls
from logflume.kafka.rights.table import Kind
from logflume.settings import Settings

_REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}
_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND}
_SECONDS = 5.0
"""An edge that can't ask starts all the same, and must not be long about it."""
_PAUSE_SECONDS = 0.3
_EVERYTHING = frozenset(AclOperation)
log = structlog.get_logger(__name__)


def require(settings: Settings, stage: str) -> None:
    """Raise ``Misconfigured`` when this process may not do what the stage must; the message names each right.

    Only where Kafka is secured. One that does not answer now is no reason: a worker waits for it in its own way.
    """
    if settings.kafka_security_protocol == "PLAINTEXT":
        return
    try:
        missing = lacking(settings, stage)
    except Retryable as error:
        log.warning("whether this worker has its rights in Kafka is not known", stage=stage, error=str(error))
        return
    if missing:
        named = "\n".join(f"  {acl} ({acl.why})" for acl in missing)
        raise Misconfigured(
            f"Kafka does not allow this worker ({_me(settings)}) all that the stage {stage} needs. It lacks\n{named}\n"
            f"`logflume topics acl --stage {stage} --principal User:NAME` prints the commands that allow it"
        )


def lacking(settings: Settings, stage: str, admin: AdminClient | None = None) -> list[Acl]:
    """Return the rights of a stage that this process lacks. Raises ``Retryable`` when Kafka does not answer soon.

    A prefix is judged by the declared topics that begin so. Of topics and groups that are not there nothing is told. Of
    what this process can't even see, all its rights are named.
    """
    admin = client.admin(settings) if admin is None else admin  # an idle one counts as false
    return _patiently(lambda: _lacking(settings, stage, admin))


def _patiently(look: Callable[[], list[Acl]]) -> list[Acl]:
    """A broker that has just started loads its groups first."""
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            return look()
        except Retryable:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_SECONDS)


def _lacking(settings: Settings, stage: str, admin: AdminClient) -> list[Acl]:
    names = sorted(topic.name for topic in topics.declared(settings))
    needed = {acl: _resources(acl, names) for acl in acls(settings, [stage], needed=True)}
    allowed = _allowed(admin, {(acl.kind, name) for acl, resources in needed.items() for name in resources})
    if ids := {acl.name for acl in needed if acl.kind is Kind.TRANSACTIONAL_ID}:
        from logflume.kafka.rights import transactions  # late: few stages have them, and aiokafka takes its time

        allowed |= {(Kind.TRANSACTIONAL_ID, id): set() for id in transactions.refused(settings, ids, _SECONDS)}
    return [
        acl
        for acl, resources in needed.items()
        if any(_operation(acl.operation) not in allowed.get((acl.kind, name), _EVERYTHING) for name in resources)
    ]


def _resources(acl: Acl, names: Sequence[str]) -> list[str]:
    if acl.kind is Kind.TOPIC and acl.prefixed:
        return [name for name in names if name.startswith(acl.name)]
    return [] if acl.kind is Kind.CLUSTER else [acl.name]


def _allowed(admin: AdminClient, asked: Collection[tuple[Kind, str]]) -> dict[tuple[Kind, str], set[AclOperation]]:
    """Return what this process may do; what Kafka does not tell is left out."""
    options: dict[str, Any] = {"include_authorized_operations": True, "request_timeout": _SECONDS}
    of = {kind: [name for each, name in asked if each is kind] for kind in Kind}
    futures: dict[tuple[Kind, str], Any] = {}
    if of[Kind.TOPIC]:
        described = admin.describe_topics(TopicCollection(of[Kind.TOPIC]), **options)
        futures |= {(Kind.TOPIC, name): future for name, future in described.items()}
    if of[Kind.GROUP]:
        described = admin.describe_consumer_groups(of[Kind.GROUP], **options)
        futures |= {(Kind.GROUP, name): future for name, future in described.items()}
    found = {at: _told(future, f"rights on {at[0]} {at[1]}") for at, future in futures.items()}
    return {at: operations for at, operations in found.items() if operations is not None}


def _told(future: Any, about: str) -> set[AclOperation] | None:
    try:
        operations = future.result(2 * _SECONDS).authorized_operations
    except TimeoutError:
        raise Retryable(f"{about}: Kafka's client has not come back") from None
    except KafkaException as error:
        if error.args[0].code() in _REFUSED:
            return set()
        if error.args[0].code() in _GONE:
            return None
        raise Retryable(str(client.typed(error, about))) from error
    return None if operations is None else set(operations)


def _operation(name: str) -> AclOperation:
    return AclOperation["".join(f"_{c}" if c.isupper() else c for c in name).lstrip("_").upper()]


def _me(settings: Settings) -> str:
    return (
        settings.kafka_sasl_username or settings.kafka_oauth_client_id or settings.kafka_tls_certificate or "anonymous"
    )
