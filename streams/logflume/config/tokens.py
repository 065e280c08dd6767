"""The ``tokens:`` of a tenant's file: hashes of what its senders show. Each mistake has its file, line and field."""

from __future__ import annotations

from datetime import UTC, datetime

from logflume import contract
from logflume.config.mistakes import Mistakes
from logflume.errors import Misconfigured
from logflume.model.token import Scope, Token, check_id, check_sha256

_DEFAULT = frozenset({Scope.INGEST})


def read(root: contract.Section, mistakes: Mistakes) -> tuple[Token, ...]:
    """Return the tokens in their order. What is wrong is gathered."""
    found: dict[str, Token] = {}
    with mistakes.gathered():
        for section in root.sections("tokens") if "tokens" in root else ():
            with mistakes.gathered():
                token = _token(section)
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


def _token(section: contract.Section) -> Token:
    section.only(("id", "sha256", "note", "scopes", "expires"))
    id, sha256 = section.text("id"), section.text("sha256")
    for key, check, value in (("id", check_id, id), ("sha256", check_sha256, sha256)):
        try:
            check(value)
        except ValueError as error:
            raise section.mistake(key, str(error)) from None
    return Token(id, sha256, section.text("note", ""), _scopes(section), expires_ns=_expires(section))


def _scopes(section: contract.Section) -> frozenset[Scope]:
    if "scopes" not in section:
        return _DEFAULT
    names = section.texts("scopes")
    for name in names:
        if name not in set(Scope):
            raise section.mistake("scopes", f"{name!r} is no scope; the scopes are: {', '.join(Scope)}")
    if not names:
        raise section.mistake("scopes", f"name at least one of {', '.join(Scope)}, or leave it out for ingest")
    return frozenset(map(Scope, names))


def _expires(section: contract.Section) -> int:
    if "expires" not in section:
        return 0
    text = section.written("expires")
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or (at.tzinfo is None and len(text) > len("2027-01-31")) or not 1971 <= at.year < 2262:
        raise section.mistake("expires", f"{text!r} is no time such as 2027-01-31T12:00:00Z, nor a day (in UTC)")
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000
