"""Which transactional ids a process may not use: Kafka tells of no rights there, but not who coordinates one, either.

Nothing is begun by asking that, and nobody is fenced. ``Describe`` is enough to be told: who has that and not ``Write``
hears so by the first transaction. tests/e2e/test_rights.py fails when the request moves.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from aiokafka.protocol.coordination import FindCoordinatorRequest

from logflume.kafka.requests import Send, asked
from logflume.settings import Settings

_TRANSACTION: Final = 1
_REFUSED: Final = 53  # TRANSACTIONAL_ID_AUTHORIZATION_FAILED


def refused(settings: Settings, ids: Collection[str], seconds: float) -> set[str]:
    """Return those of ``ids`` that this process may not even describe. Raises ``Retryable``."""

    async def ask(send: Send) -> set[str]:
        answers = {each: await send(FindCoordinatorRequest(each, _TRANSACTION)) for each in ids}
        return {each for each, answer in answers.items() if answer.error_code == _REFUSED}

    return asked(settings, "transactional ids", ask, seconds)
