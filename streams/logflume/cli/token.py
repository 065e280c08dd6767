"""``logflume token``: what a tenant's senders show to the edge."""

from __future__ import annotations

import json
import secrets
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from logflume.cli import when
from logflume.cli.listing import AsJson, show
from logflume.clock import SystemClock
from logflume.errors import Misconfigured, Retryable
from logflume.model.owner import Owner
from logflume.model.token import SECRET_BYTES, Scope, Token, check_id, digest, text_of
from logflume.settings import Settings

if TYPE_CHECKING:
    from logflume.config.amend import Change

app = typer.Typer(no_args_is_help=True, help="Tokens of the tenants' senders.")

Id = Annotated[str, typer.Argument(help="The token's id: the part behind lf_ and before the next _.")]
NewId = Annotated[str | None, typer.Option(help="Its id: letters, digits and -; else a random one.")]

_COLUMNS = ("id", "tenant", "scopes", "state", "created", "expires", "owner", "note")


@app.callback()
def _group() -> None:
    """Tokens of the tenants' senders."""


@app.command()
def new(id: NewId = None, note: Annotated[str, typer.Option(help="What it is for; goes into the line.")] = "") -> None:
    """Make a token: print it to stdout, this once, and to stderr the line for `tokens:` in the tenant's file."""
    chosen, text = _made(id)
    kept = f", note: {json.dumps(note)}" if note else ""
    print("In the tenant's file, under `tokens:` (only the hash is kept):", file=sys.stderr)
    print(f'  - {{id: "{chosen}", sha256: "{digest(text)}"{kept}}}', file=sys.stderr)
    print("The token, which nobody can show again:", file=sys.stderr)
    sys.stderr.flush()
    print(text)


@app.command()
def create(
    tenant: Annotated[str, typer.Option(help="Whose it is.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="What it allows, once or more: ingest if not said.")] = None,
    expires_in: Annotated[str, typer.Option(metavar="90d", help="When it ends: 90d, 12h, 30m; else never.")] = "",
    id: NewId = None,
    note: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Make a token and put it in force: print it to stdout, this once. No file has it, and none takes it away."""
    from logflume.config import token_changes

    chosen, text = _made(id)
    clock = SystemClock()
    now = clock.now_ns()
    ends = now + when.nanoseconds(expires_in) if expires_in else 0
    scopes = frozenset(scope or [Scope.INGEST])
    token = Token(chosen, digest(text), note, scopes, now, ends, Owner.API)
    _amend(lambda tenants: token_changes.created(tenants, tenant, token), f"token {chosen} for {tenant}", text)


@app.command("list")
def list_(
    tenant: Annotated[str, typer.Option(help="Only this one's.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the tokens in force, never a secret: no part of this system has them."""
    from logflume.config import token_changes
    from logflume.config.amend import present

    now = SystemClock().now_ns()
    configuration = present(Settings()).configuration
    assert configuration is not None
    rows = [
        {
            "id": token.id,
            "tenant": each.name,
            "scopes": ", ".join(sorted(token.scopes)),
            "state": token_changes.state(token, now),
            "created": _time(token.created_ns),
            "expires": _time(token.expires_ns),
            "owner": str(token.owner),
            "note": token.note,
        }
        for each in configuration.tenants.values()
        if tenant in ("", each.name)
        for token in each.tokens
    ]
    show(rows, _COLUMNS, as_json=as_json, empty="there are no tokens")


@app.command()
def expire(
    id: Id, in_: Annotated[str, typer.Option("--in", metavar="1h", help="When it ends: 30s, 15m, 1h, 7d.")]
) -> None:
    """Let a token end."""
    from logflume.config import token_changes

    now = SystemClock().now_ns()
    at = now + when.nanoseconds(in_)
    _amend(lambda tenants: token_changes.expiring(tenants, id, at, now), f"token {id} ends at {_time(at)}")


@app.command()
def rotate(
    id: Id,
    overlap: Annotated[str, typer.Option(metavar="24h", help="For so long the old one works beside the new one.")],
    new_id: Annotated[str | None, typer.Option(help="The new one's id; else a random one.")] = None,
) -> None:
    """Replace a token by a new one with the same scopes: print that to stdout, this once."""
    from logflume.config import token_changes

    chosen, text = _made(new_id)
    now, span = SystemClock().now_ns(), when.nanoseconds(overlap)
    _amend(
        lambda tenants: token_changes.rotated(tenants, id, chosen, digest(text), now, span),
        f"token {chosen} instead of {id}",
        text,
    )


@app.command()
def revoke(id: Id) -> None:
    """Take a token away: within seconds nothing is taken with it any more."""
    from logflume.config import token_changes

    _amend(lambda tenants: token_changes.revoked(tenants, id), f"token {id} revoked")


def _amend(change: Change, why: str, text: str = "") -> None:
    """Publish the change; then print the token's ``text``."""
    from logflume.config.amend import amend
    from logflume.config.author import author

    try:
        made = amend(Settings(), change, who=author(), why=why, clock=SystemClock())
    except Retryable:
        if text:  # the change may be in force: nobody could use the token that it brought
            print(text)
        raise
    print(f"Generation {made.generation} is in force: {why}.", file=sys.stderr)
    if text:
        print("The token, which nobody can show again:", file=sys.stderr)
        sys.stderr.flush()
        print(text)


def _made(id: str | None) -> tuple[str, str]:
    """Return the id and the text of a new token."""
    chosen = secrets.token_hex(4) if id is None else id
    try:
        check_id(chosen)
    except ValueError as error:
        raise Misconfigured(str(error)) from None
    return chosen, text_of(chosen, secrets.token_bytes(SECRET_BYTES))


def _time(ns: int) -> str | None:
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if ns else None
