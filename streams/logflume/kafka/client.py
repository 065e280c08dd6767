"""What every Kafka client of Logflume is configured with, and what Kafka's errors mean to us."""

from __future__ import annotations

import logging
import re
import time
import uuid
import weakref
from concurrent.futures import Future
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from logflume.errors import Fatal, LogflumeError, Misconfigured, Retryable
from logflume.kafka import lost
from logflume.kafka.admin import Administrator
from logflume.kafka.security import Security
from logflume.settings import Settings

REQUEST_SECONDS = 30.0
"""How long an administrative request may take; a broker that is restarting answers within it."""

ANSWER_SECONDS = 10.0
"""How long a command waits for Kafka's first word."""

_LATE_SECONDS = 15.0
"""After its time a request is over, but for a client that is lost."""

_LOG = logging.getLogger("logflume.kafka")

# Larger than any topic's max.message.bytes: the broker judges a message's size, the client must not be stricter.
_CLIENT_MESSAGE_BYTES = 32 * 1024 * 1024

_IN_FLIGHT = "max.in.flight.requests.per.connection"
_ALIASES = {"max.in.flight": _IN_FLIGHT, "request.required.acks": "acks"}

_WRONG_SETUP = {
    KafkaError._AUTHENTICATION,
    KafkaError._INVALID_ARG,
    KafkaError._SSL,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.INVALID_CONFIG,
    KafkaError.POLICY_VIOLATION,
}
_ACL = "(`logflume topics acl` prints a stage's rights, with `--check` those that this process lacks)"
_RIGHTS = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: f"; a right on that topic is missing {_ACL}",
    KafkaError.GROUP_AUTHORIZATION_FAILED: (
        f"; the right Read on that group is missing, or Describe to look at it {_ACL}"
    ),
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: f"; the right Write on that transactional-id is missing {_ACL}",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: (
        f"; a right on the cluster is missing: a producer's is IdempotentWrite, or Write on any topic instead {_ACL}"
    ),
}
_MISSING_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
_AWAY = {KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT}
_ASK_WHY = (
    "is Kafka up, and is LOGFLUME_KAFKA_BOOTSTRAP its address? "
    """With LOGFLUME_KAFKA_OPTIONS='{"log_level": "4"}' librdkafka says why"""
)
_NOT_LET_IN = {KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED}
_TLS_SAYS = re.compile("SSL handshake failed|SSL alert")
_HEARD_SECONDS = 60.0
_heard = (0.0, "")
_admins: weakref.WeakSet[AdminClient] = weakref.WeakSet()
# What librdkafka reports of itself when brokers are away; it marks few of these as retriable.
_PASSING = {
    KafkaError._TRANSPORT,
    KafkaError._RESOLVE,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._MSG_TIMED_OUT,
    KafkaError._WAIT_COORD,
    KafkaError._WAIT_CACHE,
    KafkaError._IN_PROGRESS,
    KafkaError._PREV_IN_PROGRESS,
    KafkaError._QUEUE_FULL,
    KafkaError._RETRY,
    KafkaError.REQUEST_TIMED_OUT,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.FENCED_LEADER_EPOCH,  # a leader was elected, and this client has not heard of it yet,
    KafkaError.UNKNOWN_LEADER_EPOCH,  # or it has, and the broker has not,
    KafkaError.OFFSET_NOT_AVAILABLE,  # or the leader does not know yet how far the others have come
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.NOT_CONTROLLER,
    KafkaError.NOT_ENOUGH_REPLICAS,
    KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    KafkaError.KAFKA_STORAGE_ERROR,
    KafkaError.CONCURRENT_TRANSACTIONS,
    KafkaError.UNSTABLE_OFFSET_COMMIT,
    KafkaError.THROTTLING_QUOTA_EXCEEDED,
}


def common(settings: Settings, **overrides: Any) -> dict[str, Any]:
    """Return what every client needs: the brokers, who we are there, and the setting ``kafka_options``.

    An override's underscores are librdkafka's dots: ``client_id="x"`` is ``client.id``. It reads secrets and
    certificates; ``Misconfigured`` when they, or what is said of them, can't be used.
    """
    brokers = {"bootstrap.servers": settings.require("kafka_bootstrap")}
    secured = Security.of(settings).librdkafka()
    return {"client.id": "logflume"} | settings.kafka_options | brokers | secured | _dotted(overrides)


def producer_config(settings: Settings, **overrides: Any) -> dict[str, Any]:
    """Return the configuration of a producer that neither loses nor repeats within its session.

    Await every delivery report all the same (``kafka.deliveries``): after one refused message the next may land.
    ``kafka_options`` may tune it, but not take these promises back.
    """
    tunable: dict[str, Any] = {
        "compression.type": "none",  # blocks are compressed inside
        "message.max.bytes": _CLIENT_MESSAGE_BYTES,
        "logger": _LOG,
        "error_cb": hear,
        **lost.heard(),
    }
    promises: dict[str, Any] = {
        "enable.idempotence": True,
        "acks": "all",
        # With several requests in flight librdkafka takes a refused one for stored when the one behind it succeeds; and
        # for a producer that it does not know, Kafka lets it succeed (confluent-kafka-go issue 921; docs/decisions).
        _IN_FLIGHT: 1,
    }
    return _promised(tunable | common(settings), promises) | _dotted(overrides)


def consumer_config(settings: Settings, group: str, **overrides: Any) -> dict[str, Any]:
    """Return the configuration of a consumer that never jumps, never commits by itself, and sees no aborted message.

    ``kafka_options`` may tune it, but not take these promises back.
    """
    promises: dict[str, Any] = {
        "group.id": group,
        "auto.offset.reset": "error",  # a jump to either end would be a silent loss or a silent repeat
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "isolation.level": "read_committed",
        "allow.auto.create.topics": False,
    }
    tunable = {"logger": _LOG, "error_cb": hear, **lost.heard()}
    return _promised(tunable | common(settings), promises) | _dotted(overrides)


def reader_group(settings: Settings, who: str) -> str:
    """Return a group's name for a consumer that is assigned by hand and commits nothing: it belongs to none.

    librdkafka looks for the group's coordinator all the same, so its principal must be allowed to (``kafka.rights``).
    """
    return f"{settings.topic_prefix}reads-{who}-{uuid.uuid4().hex}"


def admin(settings: Settings) -> AdminClient:
    """Return a client for topics, configurations and groups: a command's, which ends soon."""
    return _kept(_admin_config(settings))


def lasting_admin(settings: Settings) -> AdminClient:
    """Return one for a worker: an ``Administrator``, which has all its methods."""
    return cast(AdminClient, Administrator(_admin_config(settings), _kept))


def reach(settings: Settings) -> None:
    """Return when Kafka answers; ``Retryable`` after ``ANSWER_SECONDS``: who stands before a screen shall hear it soon.

    A worker waits for Kafka in its own way.
    """
    asking = admin(settings)  # it must live until it was answered
    answer(asking.describe_cluster(request_timeout=ANSWER_SECONDS), f"Kafka at {settings.kafka_bootstrap}")


def renew_admin(lasting: AdminClient, settings: Settings) -> None:
    """Let a ``lasting_admin`` begin its next request with the certificates and passwords that there are now."""
    cast(Administrator, lasting).renew(_admin_config(settings))


def _kept(config: dict[str, Any]) -> AdminClient:
    made = AdminClient(config)
    _admins.add(made)
    return made


def _admin_config(settings: Settings) -> dict[str, Any]:
    # Nothing polls it for logs, so they go to stderr. Of brokers that are away librdkafka says the same twenty times a
    # second as long as a request waits, so it says nothing: ``typed`` tells how to hear it.
    return {"log_level": 2, "error_cb": hear} | common(settings)


def answer(future: Future[Any], about: str) -> Any:
    """Return what an administrative request came to; raises what ``typed`` makes of its error.

    ``Fatal`` when the client has not come back long after: whoever waits would look well and stand still. A new process
    has a new client.
    """
    try:
        return future.result(REQUEST_SECONDS + _LATE_SECONDS)
    except TimeoutError:
        raise Fatal(f"{about}: Kafka's client has not come back for {REQUEST_SECONDS + _LATE_SECONDS:.0f} s") from None
    except KafkaException as error:
        raise typed(error, about) from error


def typed(error: KafkaError | KafkaException, about: str) -> LogflumeError:
    """Return the error that says what to do about Kafka's; ``about`` names the topic, group or partition."""
    cause = error.args[0] if isinstance(error, KafkaException) else error
    if not isinstance(cause, KafkaError):
        return Fatal(f"{about}: {cause}")
    message = f"{about}: {cause.name()}: {cause.str()}"
    if cause.code() in _RIGHTS:  # fatal to a transaction's producer, but not to be mended by a new one
        return Misconfigured(message + _RIGHTS[cause.code()])
    if cause.fatal():
        return Fatal(message)
    if cause.code() in _WRONG_SETUP:
        return Misconfigured(message)
    if cause.code() in _MISSING_TOPIC:
        return Misconfigured(f"{message}; `logflume topics diff` shows what is missing, `topics apply` makes it")
    if cause.code() in _AWAY:
        return Retryable(f"{message}; {_refused() or _ASK_WHY}")
    if cause.retriable() or cause.code() in _PASSING:
        return Retryable(message)
    return Fatal(message)


def hear(error: KafkaError) -> None:
    """Remember that brokers do not let this process in: its requests only time out. An ``error_cb`` of any client."""
    global _heard
    # A broker that wants a certificate says so in the midst of a connection, as if that had broken.
    if error.code() in _NOT_LET_IN or (error.code() == KafkaError._TRANSPORT and _TLS_SAYS.search(error.str())):
        _heard = (time.monotonic(), error.str())


def _refused() -> str:
    """Say why brokers do not let this process in, or nothing."""
    for each in list(_admins):
        each.poll(0)  # nobody else does: what it heard waits there
    since, why = _heard
    if not why or time.monotonic() - since > _HEARD_SECONDS:
        return ""
    return f"brokers do not let this client in: {why} (see LOGFLUME_KAFKA_SECURITY_PROTOCOL and what goes with it)"


def _promised(options: dict[str, Any], promises: dict[str, Any]) -> dict[str, Any]:
    """``promises`` come last, under the names that they have here: librdkafka heeds the last of several aliases."""
    return {name: value for name, value in options.items() if _ALIASES.get(name, name) not in promises} | promises


def _dotted(overrides: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in overrides.items()}
