"""The ``tokens:`` of a tenant's file: hashes of what its senders show. Each mistake has its file, line and field."""

from __future__ import annotations

from logflume import contract
from logflume.errors import Misconfigured
from logflume.model.token import Token, check_id, check_sha256


def read(root: contract.Section) -> tuple[Token, ...]:
    """Return the tokens in their order. Raises ``Misconfigured``."""
    if "tokens" not in root:
        return ()
    found: dict[str, Token] = {}
    for section in root.sections("tokens"):
        section.only(("id", "sha256", "note"))
        token = Token(section.text("id"), section.text("sha256"), section.text("note", ""))
        for key, check, value in (("id", check_id, token.id), ("sha256", check_sha256, token.sha256)):
            try:
                check(value)
            except ValueError as error:
                raise section.mistake(key, str(error)) from None
        if token.id in found:
            raise section.mistake("id", f"the token {token.id} stands twice")
        found[token.id] = token
    return tuple(found.values())


def check_distinct(owners: dict[str, str], tenant: str, tokens: tuple[Token, ...], path: object) -> None:
    """Enter a tenant's tokens in ``owners`` (id to tenant); ``Misconfigured`` when another tenant has one of them."""
    for token in tokens:
        other = owners.setdefault(token.id, tenant)
        if other != tenant:
            raise Misconfigured(f"{path}:1: tokens: the id {token.id} is a token of {other} too; make a new one")
