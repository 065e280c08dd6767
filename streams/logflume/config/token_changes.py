"""What is done to tokens that the API owns: given, taken away, given an end, replaced. Pure.

Those of an operator's file are changed there: else the next ``config apply`` would bring the old ones back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from logflume.errors import Misconfigured
from logflume.model.owner import Owner
from logflume.model.tenant import Tenant
from logflume.model.token import Token, check_id

Tenants = Mapping[str, Tenant]


class Held(NamedTuple):
    """A token, and whose it is."""

    tenant: str
    token: Token


def state(token: Token, now_ns: int) -> str:
    """Say in a word whether it works."""
    return "expired" if token.has_expired(now_ns) else "valid"


def created(tenants: Tenants, tenant: str, token: Token) -> dict[str, Tenant]:
    """Give ``tenant`` a new token."""
    if tenant not in tenants:
        raise Misconfigured(f"there is no tenant {tenant!r} in the configuration in force; see `logflume config show`")
    _check_new(tenants, token)
    return _with(tenants, tenant, (*tenants[tenant].tokens, token))


def revoked(tenants: Tenants, id: str) -> dict[str, Tenant]:
    """Take a token away."""
    held = _changeable(tenants, id)
    return _with(tenants, held.tenant, _without(tenants, held))


def expiring(tenants: Tenants, id: str, at_ns: int, now_ns: int) -> dict[str, Tenant]:
    """Let a token end at ``at_ns``. One that has ended stays so."""
    held = _changeable(tenants, id)
    if held.token.has_expired(now_ns):
        raise Misconfigured(f"the token {id} has expired already; make a new one")
    ending = replace(held.token, expires_ns=at_ns)
    return _with(tenants, held.tenant, (*_without(tenants, held), ending))


def rotated(tenants: Tenants, id: str, new_id: str, sha256: str, now_ns: int, overlap_ns: int) -> dict[str, Tenant]:
    """Give the token's tenant a new one of the same scopes and lifetime; the old one ends after the overlap.

    A lifetime is known of tokens that were given both a beginning and an end.
    """
    held = _changeable(tenants, id)
    old = held.token
    if old.has_expired(now_ns):
        raise Misconfigured(f"the token {id} has expired already; make a new one")
    lifetime_ns = old.expires_ns - old.created_ns if old.expires_ns and old.created_ns else 0
    new = replace(
        old, id=new_id, sha256=sha256, created_ns=now_ns, expires_ns=now_ns + lifetime_ns if lifetime_ns else 0
    )
    _check_new(tenants, new)
    until_ns = min(now_ns + overlap_ns, old.expires_ns or now_ns + overlap_ns)
    return _with(tenants, held.tenant, (*_without(tenants, held), replace(old, expires_ns=until_ns), new))


def find(tenants: Tenants, id: str) -> Held | None:
    """Return the token of that id."""
    for tenant in tenants.values():
        for token in tenant.tokens:
            if token.id == id:
                return Held(tenant.name, token)
    return None


def _changeable(tenants: Tenants, id: str) -> Held:
    try:
        check_id(id)
    except ValueError:  # perhaps the token itself: it is not repeated
        raise Misconfigured("a token is named by its id, the part behind lf_ and before the next _") from None
    held = find(tenants, id)
    if held is None:
        raise Misconfigured(f"there is no token {id}; see `logflume token list`")
    if held.token.owner is not Owner.API:
        raise Misconfigured(
            f"the token {id} stands in the file of tenant {held.tenant}: change it there under `tokens:`, then "
            "`logflume config apply`"
        )
    return held


def _check_new(tenants: Tenants, token: Token) -> None:
    if (other := find(tenants, token.id)) is not None:
        raise Misconfigured(f"the id {token.id} is a token of {other.tenant} already; take another")


def _without(tenants: Tenants, held: Held) -> tuple[Token, ...]:
    return tuple(token for token in tenants[held.tenant].tokens if token.id != held.token.id)


def _with(tenants: Tenants, tenant: str, tokens: tuple[Token, ...]) -> dict[str, Tenant]:
    ordered = tuple(sorted(tokens, key=lambda token: token.id))
    return {**tenants, tenant: replace(tenants[tenant], tokens=ordered)}
