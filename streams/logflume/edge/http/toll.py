"""What a request costs of its tenant's rate: paid as a whole before anything is taken, or nothing is.

T1  A request that the rate has no room for is refused, 429, with the seconds after which there may be; nothing of it
    is taken, and it costs nothing.
T2  One that is more than the tenant's burst is refused for good, 413: the same would never fit.
T3  One that came to nothing for another reason is given back.
T4  When the Content-Length alone is too much, the body is not received.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from types import TracebackType

from logflume.edge.http.refusal import Refusal
from logflume.edge.rates import Pacing
from logflume.edge.receipt import Piece

_WAY = "http"
_LENGTH = re.compile(r"[0-9]{1,18}")


class Toll:
    """See T1 to T4."""

    def __init__(self, pacing: Pacing) -> None:
        self._pacing = pacing

    def look_ahead(self, tenant: str, content_length: str) -> None:
        """Refuse a body that is too much as it is sent; it only grows when it is unpacked (T4)."""
        allowances = self._pacing.allowances
        length = int(content_length) if _LENGTH.fullmatch(content_length) else 0
        if seconds := allowances.wait(tenant, length, 1):
            self._pacing.note(tenant, "", _WAY, 1)
            raise _later(tenant, seconds)

    def pay(self, pieces: Sequence[Piece]) -> Paid:
        """Take what ``pieces``, of one tenant, cost; ``Refusal`` 429 or 413. In a ``with``: given back by T3."""
        size = sum(piece.size for piece in pieces)
        records = sum(len(piece.content) for piece in pieces)
        if not records:
            return Paid(self._pacing, "", 0, 0)
        tenant, allowances = pieces[0].tenant, self._pacing.allowances
        most = allowances.most(tenant)
        if size > most.size or records > most.records:
            raise Refusal(
                413,
                f"{records} records of {size} bytes, and at its rate tenant {tenant} may send {most.records:g} records "
                f"of {most.size:g} bytes at once; send smaller batches",
            )
        if seconds := allowances.take(tenant, size, records):
            self._pacing.note(tenant, pieces[0].dataset, _WAY, records)
            raise _later(tenant, seconds)
        return Paid(self._pacing, tenant, size, records)


class Paid:
    """What a request has paid."""

    def __init__(self, pacing: Pacing, tenant: str, size: int, records: int) -> None:
        self._pacing = pacing
        self._tenant, self._size, self._records = tenant, size, records

    def __enter__(self) -> None:
        """The records are about to be taken."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._records and isinstance(error, Refusal) and not error.in_doubt:
            self._pacing.allowances.refund(self._tenant, self._size, self._records)


def _later(tenant: str, seconds: float) -> Refusal:
    again = max(1, math.ceil(seconds))
    return Refusal(
        429, f"tenant {tenant} sends more than its rate allows; there may be room in {again} s", retry_seconds=again
    )
