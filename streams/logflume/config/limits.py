"""``rates:`` and ``principal:`` of a tenant's file: what it may send. Each mistake has its file, line and field."""

from __future__ import annotations

import re

from logflume import contract
from logflume.errors import Misconfigured
from logflume.model.rates import BURST_SECONDS, NO_RATES, Rates

_PRINCIPAL = re.compile(r"(?:User:)?[^\s:,\x00-\x1f][^\x00-\x1f]{0,249}")
_MOST_PRINCIPAL_BYTES = 120
_MOST = 10**12
_MOST_BURST_SECONDS = 3600


def read_rates(root: contract.Section) -> Rates:
    """Return the limits under ``rates``; without them those that the settings give everybody."""
    if "rates" not in root:
        return NO_RATES
    section = root.section("rates")
    section.only(("bytes_per_second", "records_per_second", "burst_seconds"))
    found = Rates(
        section.integer("bytes_per_second", 0, least=1, most=_MOST) if "bytes_per_second" in section else 0,
        section.integer("records_per_second", 0, least=1, most=_MOST) if "records_per_second" in section else 0,
        section.integer("burst_seconds", BURST_SECONDS, least=1, most=_MOST_BURST_SECONDS),
    )
    if not found.bytes_per_second and not found.records_per_second:
        raise root.mistake("rates", "give bytes_per_second, records_per_second or both")
    return found


def read_principal(root: contract.Section) -> str:
    """Return the Kafka user under ``principal``, empty when there is none; ``User:`` before it is left out."""
    if "principal" not in root:
        return ""
    text = root.text("principal")
    if not _PRINCIPAL.fullmatch(text) or len(text.encode()) > _MOST_PRINCIPAL_BYTES:
        raise root.mistake("principal", f"{text[:80]!r} is no Kafka user's name")
    return text.removeprefix("User:")


def check_principal(owners: dict[str, str], tenant: str, principal: str, path: object) -> None:
    """Enter a tenant's principal in ``owners``; ``Misconfigured`` when it is another's too: whose quota would hold?"""
    if principal and owners.setdefault(principal, tenant) != tenant:
        raise Misconfigured(f"{path}:1: principal: {principal} is the principal of {owners[principal]} too")
