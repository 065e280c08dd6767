"""Whether a client of librdkafka's has lost every broker for good.

librdkafka forgets the brokers that an answer about the cluster does not name. The last broker that shuts down in order
names none, and so may one that its controllers have fenced. Then the client should begin again at
``bootstrap.servers``; but the same answer, once it is read, stops the timer of that and leaves its mark standing
(``rk_rebootstrap_in_progress`` in ``rdkafka.c``; since 2.10.0, and still in 2.16.0): the client has no broker left,
never asks for any again, and waits for ever, with Kafka up. Nothing in its API ends that. See
docs/decisions/who-has-lost-every-broker-ends.md.

LB1  Two reports in a row without a broker are a loss: who begins again has one before the next report.
LB2  Whoever polls the client hears of it, by ``Fatal``, and again with each further report; nobody hears before.
"""

from __future__ import annotations

from typing import Any, Final

from logflume.errors import Fatal

REPORT_SECONDS: Final = 15.0
"""How often a client reports on itself: a loss is found after one to two of these."""

_BROKER: Final = ('"source":"learned"', '"source":"configured"')
"""How a broker stands in a report. Of the other kinds, internal and logical (a coordinator), none asks for brokers."""
_LOST: Final = (
    "this client of librdkafka's has lost every broker and will never connect again: Kafka named none when it was "
    "asked, as the last broker does that shuts down. Whoever starts anew finds them"
)


class Brokers:
    """What one client reports of its brokers; see LB1 and LB2."""

    def __init__(self) -> None:
        self._without = 0

    def told(self, report: str) -> None:
        """Take librdkafka's statistics (https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md)."""
        # It may have megabytes: it is not parsed.
        self._without = 0 if any(broker in report for broker in _BROKER) else self._without + 1
        if self._without > 1:
            raise Fatal(_LOST)


def heard() -> dict[str, Any]:
    """Return what the configuration of one client needs for that; ``kafka_options`` may have it report otherwise."""
    return {"statistics.interval.ms": int(REPORT_SECONDS * 1000), "stats_cb": Brokers().told}
