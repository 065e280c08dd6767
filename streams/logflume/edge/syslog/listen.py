"""Where syslog is listened for, and whose messages come there: what the setting ``edge_syslog_listen`` says.

A listener serves one tenant (``tcp://0.0.0.0:1514?tenant=acme``), or those whose token stands in each message's
structured data (``?by=token``), or those whom the client's certificate names (``tls://…?by=certificate``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, urlsplit

from logflume.errors import Misconfigured
from logflume.model import check_tenant_name


class Transport(StrEnum):
    """How messages come."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class By(StrEnum):
    """What tells the tenant."""

    LISTENER = "listener"
    TOKEN = "token"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True)
class Listen:
    """One listener. ``tenant`` is empty unless it is told ``by`` the listener."""

    transport: Transport
    host: str
    port: int
    by: By
    tenant: str = ""


def parse(text: str) -> list[Listen]:
    """Read the setting: addresses with commas between; ``Misconfigured`` names the one that is wrong, and why."""
    return [_one(part.strip()) for part in text.split(",") if part.strip()]


def _one(text: str) -> Listen:
    try:
        url = urlsplit(text)
        port = url.port
        asked = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
    except ValueError as error:
        raise _wrong(text, str(error)) from None
    if url.scheme not in set(Transport):
        raise _wrong(text, "it begins with udp://, tcp:// or tls://")
    if not url.hostname or port is None or url.path not in ("", "/") or url.username is not None or url.fragment:
        raise _wrong(text, "behind the scheme stand host and port, then ?tenant=NAME, ?by=token or ?by=certificate")
    transport = Transport(url.scheme)
    if set(asked) == {"tenant"}:
        return Listen(transport, url.hostname, port, By.LISTENER, check_tenant_name(asked["tenant"]))
    if asked == {"by": "token"}:
        return Listen(transport, url.hostname, port, By.TOKEN)
    if asked == {"by": "certificate"}:
        if transport is not Transport.TLS:
            raise _wrong(text, "only a client of tls:// shows a certificate")
        return Listen(transport, url.hostname, port, By.CERTIFICATE)
    raise _wrong(text, "whose messages come there? Say ?tenant=NAME, ?by=token or ?by=certificate")


def _wrong(text: str, why: str) -> Misconfigured:
    return Misconfigured(f"edge_syslog_listen: {text!r}: {why}")
