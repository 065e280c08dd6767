"""``logflume token``: what a tenant's senders show to the edge."""

from __future__ import annotations

import json
import secrets
import sys
from typing import Annotated

import typer

from logflume.errors import Misconfigured
from logflume.model.token import SECRET_BYTES, check_id, digest, text_of

app = typer.Typer(no_args_is_help=True, help="Tokens of the tenants' senders.")


@app.callback()
def _group() -> None:
    """Tokens of the tenants' senders."""


@app.command()
def new(
    id: Annotated[str | None, typer.Option(help="Its id: letters, digits and -; else a random one.")] = None,
    note: Annotated[str, typer.Option(help="What it is for; goes into the line.")] = "",
) -> None:
    """Make a token: print it to stdout, this once, and to stderr the line for `tokens:` in the tenant's file."""
    chosen = secrets.token_hex(4) if id is None else id
    try:
        check_id(chosen)
    except ValueError as error:
        raise Misconfigured(str(error)) from None
    text = text_of(chosen, secrets.token_bytes(SECRET_BYTES))
    kept = f", note: {json.dumps(note)}" if note else ""
    print("In the tenant's file, under `tokens:` (only the hash is kept):", file=sys.stderr)
    print(f'  - {{id: "{chosen}", sha256: "{digest(text)}"{kept}}}', file=sys.stderr)
    print("The token, which nobody can show again:", file=sys.stderr)
    sys.stderr.flush()
    print(text)
