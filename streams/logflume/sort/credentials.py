"""Who the sort stage is to Kafka, in Faust's words: the same that librdkafka's clients are told."""

from __future__ import annotations

from faust import auth

from logflume.kafka.security import Security
from logflume.settings import Settings


def of(settings: Settings) -> auth.Credentials | None:
    """Return the credentials of Faust's client; None: a broker without TLS and SASL. Raises ``Misconfigured``."""
    secured = Security.of(settings)
    said = secured.aiokafka()
    context = said.get("ssl_context")
    if secured.protocol == "PLAINTEXT":
        return None
    if secured.protocol == "SSL":
        return auth.SSLCredentials(context)
    if provider := said.get("sasl_oauth_token_provider"):
        return auth.OAuthCredentials(oauth_cb=provider, ssl_context=context)
    return auth.SASLCredentials(
        username=secured.username, password=secured.password, mechanism=secured.mechanism, ssl_context=context
    )
