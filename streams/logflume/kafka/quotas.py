"""Kafka's client quotas of users: how many bytes a second each broker takes from a principal's producers.

confluent-kafka has no call for them, so the two requests go by ``kafka.requests``: DescribeClientQuotas (48) and
AlterClientQuotas (49), version 0 (KIP-546). The second is declared here, as aiokafka lacks it.
tests/integration/test_quotas.py fails when they move.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from aiokafka.errors import for_code
from aiokafka.protocol.admin import DescribeClientQuotasRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Float64, Int16, Int32, Schema, String

from logflume.errors import Misconfigured, Retryable
from logflume.kafka.requests import Send, asked
from logflume.settings import Settings

PRODUCER_BYTES: Final = "producer_byte_rate"
_USER: Final = "user"
_ANY_NAMED: Final = 2  # match type
_AT_ONCE: Final = 500
_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.05
_CLUSTER_RIGHT: Final = 31
_RIGHTS: Final = frozenset({29, 31, 58})  # topic or cluster authorization failed, SASL authentication failed

_TEXT: Final = String("utf-8")
_ENTITY: Final = Array(("entity_type", _TEXT), ("entity_name", _TEXT))


class _AlterResponse(Response):  # type: ignore[misc]
    API_KEY = 49
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("entries", Array(("error_code", Int16), ("error_message", _TEXT), ("entity", _ENTITY))),
    )


class _AlterStruct(RequestStruct):  # type: ignore[misc]
    API_KEY = 49
    API_VERSION = 0
    RESPONSE_TYPE = _AlterResponse
    SCHEMA = Schema(
        (
            "entries",
            Array(("entity", _ENTITY), ("ops", Array(("key", _TEXT), ("value", Float64), ("remove", Boolean)))),
        ),
        ("validate_only", Boolean),
    )


class _Alter(Request[_AlterStruct]):  # type: ignore[misc]
    API_KEY = 49

    def __init__(self, entries: list[Any]) -> None:
        self._entries = entries

    def build(self, request_struct_class: type[_AlterStruct]) -> _AlterStruct:
        return request_struct_class(self._entries, False)


class Quotas:
    """The users' quotas of one Kafka. Raises ``Retryable`` when it does not answer, ``Misconfigured`` without rights.

    Not to be called on an event loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def producers(self) -> dict[str, float]:
        """Return the bytes a second of each user that has such a quota, whoever set it."""

        async def ask(send: Send) -> dict[str, float]:
            answer = await send(DescribeClientQuotasRequest([(_USER, _ANY_NAMED, None)], True))
            _check(answer.error_code, answer.error_message)
            found = {}
            for entity, values in answer.entries or []:
                rates = dict(values)
                if len(entity) == 1 and PRODUCER_BYTES in rates:
                    found[entity[0][1]] = rates[PRODUCER_BYTES]
            return found

        return asked(self._settings, "client quotas", ask, _SECONDS)

    def set_producers(self, rates: Mapping[str, float | None]) -> None:
        """Give each user its bytes a second; None: the brokers' default. Returns when a broker has heard of it."""

        async def ask(send: Send) -> None:
            for part in _parts(rates):
                entries = [
                    ([(_USER, user)], [(PRODUCER_BYTES, 0.0 if rate is None else float(rate), rate is None)])
                    for user, rate in part.items()
                ]
                answer = await send(_Alter(entries))
                for code, message, entity in answer.entries:
                    _check(code, message, " of user " + entity[0][1])

        if rates:
            asked(self._settings, "client quotas", ask, _SECONDS)
            self._await(rates)

    def _await(self, rates: Mapping[str, float | None]) -> None:
        """Wait until a broker tells the new quotas: the controller answers before the brokers have heard of them."""
        deadline = time.monotonic() + _SECONDS
        while True:
            present = self.producers()
            if all(present.get(user) == rate for user, rate in rates.items()):
                return
            if time.monotonic() > deadline:
                raise Retryable("Kafka has taken the client quotas, but its brokers do not tell of them")
            time.sleep(_PAUSE_SECONDS)


def _parts(rates: Mapping[str, float | None]) -> Iterator[dict[str, float | None]]:
    items = sorted(rates.items())
    for at in range(0, len(items), _AT_ONCE):
        yield dict(items[at : at + _AT_ONCE])


def _check(code: int, message: str | None, about: str = "") -> None:
    if not code:
        return
    told = f"Kafka's client quotas{about}: {for_code(code).__name__}: {message or 'no more is said'}"
    if code == _CLUSTER_RIGHT:
        told += "; the right AlterConfigs on the cluster is missing (`logflume topics acl --stage config` prints it)"
    raise Misconfigured(told) if code in _RIGHTS else Retryable(told)
