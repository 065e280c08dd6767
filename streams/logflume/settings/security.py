"""What is wrong with the settings of a secured Kafka, as far as they say it themselves; no file is read.

Y1  What is blank or half said is a mistake. It never makes a client speak with less protection than was asked for.
Y2  A password, or a token's secret, never goes over a connection that is not encrypted.
Y3  There is one set of settings: ``kafka_options`` can't say otherwise for librdkafka's clients alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from logflume import references
from logflume.settings.names import variable

if TYPE_CHECKING:
    from logflume.settings.kafka import Kafka

_TLS: Final = ("kafka_tls_ca", "kafka_tls_certificate", "kafka_tls_key", "kafka_tls_key_password")
_USER: Final = ("kafka_sasl_username", "kafka_sasl_password")
_OAUTH_NEEDS: Final = ("kafka_oauth_token_url", "kafka_oauth_client_id", "kafka_oauth_client_secret")
_OAUTH: Final = (*_OAUTH_NEEDS, "kafka_oauth_scope", "kafka_oauth_ca")

FIELDS: Final = (*_TLS, *_USER, *_OAUTH)
"""Texts that are not there unless they say something."""

SECRETS: Final = ("kafka_tls_key_password", "kafka_sasl_password", "kafka_oauth_client_secret")
"""Of these the references."""

_OPTIONS: Final = ("security.", "ssl.", "sasl.", "https.", "enable.ssl.", "enable.sasl.")
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


def mistakes(kafka: Kafka) -> list[str]:
    """Return every mistake, one line each; a secret is in none of them."""
    blank = [name for name in FIELDS if name in kafka.model_fields_set and not getattr(kafka, name).strip()]
    if blank:  # Y1; more would only follow from it
        return [f"{variable(name)} is blank: give it a value, or leave it out" for name in blank]
    return [*_tls(kafka), *_sasl(kafka), *_references(kafka), *_options(kafka)]


def _given(kafka: Kafka, *names: str) -> list[str]:
    return [name for name in names if getattr(kafka, name)]


def _tls(kafka: Kafka) -> Iterator[str]:
    protocol = kafka.kafka_security_protocol
    said = f"{variable('kafka_security_protocol')} is {protocol}"
    if not protocol.endswith("SSL"):
        for name in _given(kafka, *_TLS):
            yield f"{variable(name)} is set, but {said}, which knows no TLS: say SSL or SASL_SSL"
        return
    if bool(kafka.kafka_tls_certificate) != bool(kafka.kafka_tls_key):
        one, other = _given(kafka, "kafka_tls_certificate", "kafka_tls_key")[0], "kafka_tls_key"
        other = "kafka_tls_certificate" if one == other else other
        yield f"{variable(one)} is set and {variable(other)} is not: a client's certificate needs both"
    elif kafka.kafka_tls_key_password and not kafka.kafka_tls_key:
        yield f"{variable('kafka_tls_key_password')} is set, but {variable('kafka_tls_key')} is not"


def _sasl(kafka: Kafka) -> Iterator[str]:
    protocol, mechanism = kafka.kafka_security_protocol, kafka.kafka_sasl_mechanism
    said = f"{variable('kafka_security_protocol')} is {protocol}"
    if not protocol.startswith("SASL"):
        for name in [*(["kafka_sasl_mechanism"] if mechanism != "none" else []), *_given(kafka, *_USER, *_OAUTH)]:
            yield f"{variable(name)} is set, but {said}, which knows no SASL: say SASL_SSL"
        return
    if mechanism == "none":
        yield f"{said}, and {variable('kafka_sasl_mechanism')} is not set"
        return
    needs, strange = (_OAUTH_NEEDS, _USER) if mechanism == "OAUTHBEARER" else (_USER, _OAUTH)
    for name in needs:
        if not getattr(kafka, name):
            yield f"{variable('kafka_sasl_mechanism')} is {mechanism}, and {variable(name)} is not set"
    for name in _given(kafka, *strange):
        yield f"{variable(name)} is set, but {variable('kafka_sasl_mechanism')} is {mechanism}, which has no use for it"
    if protocol == "SASL_PLAINTEXT" and not mechanism.startswith("SCRAM"):  # Y2
        yield f"{said}: {mechanism} would send its secret in the clear; say SASL_SSL"
    if kafka.kafka_oauth_token_url and not _safe(kafka.kafka_oauth_token_url):  # Y2
        yield f"{variable('kafka_oauth_token_url')}: must be an https:// address (http:// on loopback only)"


def _references(kafka: Kafka) -> Iterator[str]:
    for name in _given(kafka, *SECRETS):
        try:
            references.parse(getattr(kafka, name))
        except ValueError as error:
            yield f"{variable(name)} {error}"


def _options(kafka: Kafka) -> Iterator[str]:  # Y3
    for name in kafka.kafka_options:
        if name.strip().lower().startswith(_OPTIONS):
            yield f"{variable('kafka_options')}: {name} has a setting of its own, for all clients"


def _safe(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))
