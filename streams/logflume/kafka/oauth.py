"""Tokens for OAUTHBEARER: where they come from. librdkafka asks by itself; ``token_provider`` asks for aiokafka.

The grant is that of client credentials (RFC 6749, 4.4), the client's id and secret in a Basic header as librdkafka
sends them. A token is used until four fifths of its life are over, by all connections.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus, urlencode

from logflume.errors import Misconfigured, Retryable

_SECONDS = 10.0
_MOST_BYTES = 1 << 20
_USED = 0.8
_LEAST_SECONDS = 1.0
_UNSAID_SECONDS = 60.0
"""How long a token is used whose service does not say how long it lives."""


@dataclass(frozen=True)
class Token:
    """``until``: when to ask for another, on the monotonic clock."""

    text: str = field(repr=False)
    until: float


@dataclass(frozen=True)
class TokenService:
    """A service that gives tokens to this client. ``trust``: how a path of authorities becomes a context."""

    url: str
    client_id: str
    secret: str = field(repr=False)
    scope: str
    ca: str
    trust: Callable[[str, str], ssl.SSLContext] = field(repr=False)

    def tls(self) -> ssl.SSLContext | None:
        """Return how the service is trusted; ``Misconfigured`` when its authorities can't be read."""
        return self.trust(self.ca, "kafka_oauth_ca") if self.url.startswith("https:") else None

    def ask(self) -> Token:
        """Return a new token; blocks. Raises ``Retryable``, or ``Misconfigured`` when the service refuses us."""
        form = {"grant_type": "client_credentials"} | ({"scope": self.scope} if self.scope else {})
        who = f"{quote_plus(self.client_id)}:{quote_plus(self.secret)}".encode()
        request = urllib.request.Request(
            self.url,
            urlencode(form).encode(),
            {
                "Authorization": f"Basic {base64.b64encode(who).decode()}",
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
        )
        asked = time.monotonic()
        try:
            with _opener(self.tls()).open(request, timeout=_SECONDS) as answer:
                return _token(json.loads(answer.read(_MOST_BYTES)), asked)
        except urllib.error.HTTPError as error:
            with error:
                told = f"the token service {self.url} answers {error.code} to client {self.client_id}"
            raise (Misconfigured(told) if error.code in (400, 401, 403) else Retryable(told)) from None
        except OSError as error:
            raise Retryable(f"the token service {self.url}: {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Retryable(f"the token service {self.url} gives no token of the kind Bearer") from None


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: it would carry the secret to whom the settings do not name."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener(context: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
    https = [urllib.request.HTTPSHandler(context=context)] if context else []
    return urllib.request.build_opener(_Stay(), *https)


def _token(answer: Any, asked: float) -> Token:
    text = answer["access_token"]
    if not isinstance(text, str) or not text.isascii() or not text.isprintable() or not text:
        raise ValueError("no token")
    life = float(answer.get("expires_in", _UNSAID_SECONDS))
    return Token(text, asked + max(_LEAST_SECONDS, life * _USED))
