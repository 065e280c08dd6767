"""The settings of a secured Kafka: nothing half said passes, and both clients are told the same."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from logflume.errors import Misconfigured
from logflume.kafka import client
from logflume.kafka.security import Security, files, fingerprint
from logflume.settings import Settings

TLS: dict[str, Any] = {"kafka_bootstrap": "127.0.0.1:1", "kafka_security_protocol": "SSL"}
SCRAM: dict[str, Any] = {
    "kafka_bootstrap": "127.0.0.1:1",
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "SCRAM-SHA-512",
    "kafka_sasl_username": "me",
    "kafka_sasl_password": "env:KAFKA_PASSWORD",
}
TOKENS: dict[str, Any] = {
    "kafka_bootstrap": "127.0.0.1:1",
    "kafka_security_protocol": "SASL_SSL",
    "kafka_sasl_mechanism": "OAUTHBEARER",
    "kafka_oauth_token_url": "https://tokens.test/token",
    "kafka_oauth_client_id": "me",
    "kafka_oauth_client_secret": "env:KAFKA_PASSWORD",
}


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """A certificate and its key."""
    issued = trustme.CA().issue_cert("client.test")
    (tmp_path / "crt").write_bytes(issued.cert_chain_pems[0].bytes())
    (tmp_path / "key").write_bytes(issued.private_key_pem.bytes())
    return str(tmp_path / "crt"), str(tmp_path / "key")


def without(given: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key != name}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kafka_security_protocol": ""}, "LOGFLUME_KAFKA_SECURITY_PROTOCOL"),
        ({"kafka_security_protocol": "TLS"}, "LOGFLUME_KAFKA_SECURITY_PROTOCOL"),
        ({"kafka_sasl_mechanism": ""}, "LOGFLUME_KAFKA_SASL_MECHANISM"),
        ({"kafka_tls_ca": "/ca"}, "KAFKA_TLS_CA is set, but .* is PLAINTEXT"),
        ({"kafka_tls_key": "/key"}, "KAFKA_TLS_KEY is set, but .* is PLAINTEXT"),
        ({"kafka_sasl_username": "me"}, "KAFKA_SASL_USERNAME is set, but .* is PLAINTEXT"),
        ({"kafka_sasl_mechanism": "PLAIN"}, "KAFKA_SASL_MECHANISM is set, but .* is PLAINTEXT"),
        ({"kafka_oauth_scope": "x"}, "KAFKA_OAUTH_SCOPE is set, but .* is PLAINTEXT"),
        (TLS | {"kafka_sasl_password": "env:P"}, "KAFKA_SASL_PASSWORD is set, but .* is SSL"),
        (TLS | {"kafka_tls_certificate": "/crt"}, "TLS_CERTIFICATE is set and LOGFLUME_KAFKA_TLS_KEY is not"),
        (TLS | {"kafka_tls_key": "/key"}, "TLS_KEY is set and LOGFLUME_KAFKA_TLS_CERTIFICATE is not"),
        (TLS | {"kafka_tls_key_password": "env:P"}, "TLS_KEY_PASSWORD is set, but LOGFLUME_KAFKA_TLS_KEY is not"),
        (without(SCRAM, "kafka_sasl_mechanism"), "KAFKA_SASL_MECHANISM is not set"),
        (without(SCRAM, "kafka_sasl_username"), "KAFKA_SASL_USERNAME is not set"),
        (without(SCRAM, "kafka_sasl_password"), "KAFKA_SASL_PASSWORD is not set"),
        (SCRAM | {"kafka_oauth_client_id": "x"}, "OAUTH_CLIENT_ID is set, but .* is SCRAM-SHA-512"),
        (SCRAM | {"kafka_sasl_password": "hunter2"}, "KAFKA_SASL_PASSWORD is env:NAME .* or file:/path"),
        (
            SCRAM | {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_tls_ca": "/ca"},
            "TLS_CA is set, but .* knows no",
        ),
        (SCRAM | {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_sasl_mechanism": "PLAIN"}, "in the clear"),
        (TOKENS | {"kafka_security_protocol": "SASL_PLAINTEXT"}, "in the clear"),
        (TOKENS | {"kafka_oauth_token_url": "http://tokens.test/"}, "OAUTH_TOKEN_URL: must be an https"),
        (TOKENS | {"kafka_oauth_token_url": "https://"}, "OAUTH_TOKEN_URL: must be an https"),
        (TOKENS | {"kafka_sasl_username": "me"}, "SASL_USERNAME is set, but .* is OAUTHBEARER"),
        *((without(TOKENS, name), f"{name.upper()} is not set") for name in TOKENS if name.startswith("kafka_oauth")),
        ({"kafka_options": {"ssl.ca.location": "/ca"}}, r"KAFKA_OPTIONS: ssl\.ca\.location has a setting of its own"),
        ({"kafka_options": {"Security.Protocol": "SSL"}}, "KAFKA_OPTIONS: Security"),
        ({"kafka_options": {"enable.ssl.certificate.verification": "false"}}, "KAFKA_OPTIONS: enable"),
    ],
)
def test_what_is_half_said_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(Misconfigured, match=told) as refused:
        Settings(**given)
    assert "hunter2" not in str(refused.value)


BLANKS = [name for name in Settings.model_fields if name.startswith(("kafka_tls", "kafka_sasl", "kafka_oauth"))]


@pytest.mark.parametrize("name", BLANKS)
def test_a_blank_one_is_refused_even_where_nothing_else_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"LOGFLUME_{name.upper()}", "")
    with pytest.raises(Misconfigured, match=f"LOGFLUME_{name.upper()}"):
        Settings()


def test_settings_that_were_changed_after_they_were_checked_are_checked_again() -> None:
    half = Settings(**TLS).model_copy(update={"kafka_security_protocol": "SASL_SSL"})
    with pytest.raises(Misconfigured, match="KAFKA_SASL_MECHANISM is not set"):
        client.common(half)


@pytest.mark.usefixtures("password")
def test_both_clients_are_told_the_same() -> None:
    for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
        made = Security.of(Settings(**SCRAM | {"kafka_sasl_mechanism": mechanism}))
        ours, theirs = made.librdkafka(), made.aiokafka()
        assert ours["security.protocol"] == theirs["security_protocol"] == "SASL_SSL"
        assert ours["sasl.mechanism"] == theirs["sasl_mechanism"] == mechanism
        assert (ours["sasl.username"], ours["sasl.password"]) == ("me", "hunter2")
        assert (theirs["sasl_plain_username"], theirs["sasl_plain_password"]) == ("me", "hunter2")
        assert ours["ssl.endpoint.identification.algorithm"] == "https"
        assert theirs["ssl_context"].check_hostname
        assert theirs["ssl_context"].verify_mode is ssl.CERT_REQUIRED
        assert "hunter2" not in repr(made)


@pytest.mark.usefixtures("password")
def test_every_confluent_client_gets_it() -> None:
    given = Settings(**SCRAM, kafka_options={"client.id": "mine"})
    for config in (client.common(given), client.producer_config(given), client.consumer_config(given, "g")):
        assert (config["security.protocol"], config["sasl.password"]) == ("SASL_SSL", "hunter2")


def test_a_secret_is_read_anew_and_what_is_wrong_with_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    given = Settings(**SCRAM | {"kafka_sasl_password": f"file:{file}"})
    with pytest.raises(Misconfigured, match=r"KAFKA_SASL_PASSWORD: file:.*password: there is no such file"):
        client.common(given)
    file.write_text("one\n")
    assert client.common(given)["sasl.password"] == "one"
    file.write_text("two\r\n")
    assert client.common(given)["sasl.password"] == "two"
    for bad, told in ((" \n", "is blank"), ("a\nb\n", "one line")):
        file.write_text(bad)
        with pytest.raises(Misconfigured, match=f"KAFKA_SASL_PASSWORD: .*{told}"):
            client.common(given)
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    with pytest.raises(Misconfigured, match="KAFKA_SASL_PASSWORD: env:KAFKA_PASSWORD: this process has no such"):
        client.common(Settings(**SCRAM))


def test_certificates_are_looked_at_before_any_broker_is_asked(tmp_path: Path, pair: tuple[str, str]) -> None:
    certificate, key = pair
    own = TLS | {"kafka_tls_certificate": certificate, "kafka_tls_key": key}
    assert client.common(Settings(**own))["ssl.certificate.location"] == certificate
    with pytest.raises(Misconfigured, match="KAFKA_TLS_CA: there is no file /none"):
        client.common(Settings(**TLS, kafka_tls_ca="/none"))
    (tmp_path / "blank").write_text("\n")
    with pytest.raises(Misconfigured, match=r"KAFKA_TLS_CA: .*blank is blank"):
        client.common(Settings(**TLS, kafka_tls_ca=str(tmp_path / "blank")))
    with pytest.raises(Misconfigured, match=r"KAFKA_TLS_CA \(.*no PEM text"):
        client.common(Settings(**TLS, kafka_tls_ca=key))
    (tmp_path / "other").write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())
    with pytest.raises(Misconfigured, match="the key is not that of the certificate"):
        client.common(Settings(**own | {"kafka_tls_key": str(tmp_path / "other")}))


@pytest.mark.usefixtures("password")
def test_an_encrypted_key_wants_its_password(tmp_path: Path, pair: tuple[str, str]) -> None:
    certificate, key = pair
    loaded = load_pem_private_key(Path(key).read_bytes(), None)
    Path(key).write_bytes(loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")))
    own = TLS | {"kafka_tls_certificate": certificate, "kafka_tls_key": key}
    assert client.common(Settings(**own, kafka_tls_key_password="env:KAFKA_PASSWORD"))["ssl.key.password"] == "hunter2"
    with pytest.raises(Misconfigured, match="password"):
        client.common(Settings(**own))


@pytest.mark.usefixtures("password")
def test_the_files_that_may_change_are_known(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("ca")
    (tmp_path / "password").write_text("one")
    given = Settings(**SCRAM | {"kafka_sasl_password": f"file:{tmp_path}/password", "kafka_tls_ca": f"{tmp_path}/ca"})
    assert files(given) == {"kafka_tls_ca": f"{tmp_path}/ca", "kafka_sasl_password": f"{tmp_path}/password"}
    before = fingerprint(given)
    (tmp_path / "password").write_text("two")
    assert fingerprint(given) != before
    assert files(Settings(**SCRAM)) == {}
