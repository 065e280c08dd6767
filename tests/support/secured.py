"""A real broker that lets in who can prove who they are, and lets them do only what they may; and its token service.

One broker has a listener a way in: SCRAM and PLAIN over TLS, SCRAM without TLS, mTLS, OAUTHBEARER over TLS. A plain one
is the operator's, who may do everything. Who has no ACL may do nothing.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import trustme
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from joserfc import jwt
from joserfc.jwk import RSAKey

from logflume.local.kafka import Broker
from logflume.local.process import free_ports
from logflume.settings import cache_home
from tests.support.services import Kafka, Run

LISTENERS = ("scram", "bare", "mtls", "oauth")
PLAIN_USER, PLAIN_PASSWORD = "plain-user", "plain, secret=1"
AUDIENCE, ISSUER = "logflume-tests", "https://issuer.test"
_HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class SecuredBroker(Broker):
    """See above. ``ports`` are those of ``LISTENERS``."""

    ports: tuple[int, ...] = ()

    def at(self, listener: str) -> str:
        """Where a listener is."""
        return f"127.0.0.1:{self.ports[LISTENERS.index(listener)]}"

    def command(self) -> list[str]:
        """Return the command line; since Kafka 4 a broker takes keys of tokens from nowhere that it is not told."""
        java, *more = super().command()
        return [java, f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={(self.folder / 'jwks.json').as_uri()}", *more]

    def _settings(self) -> dict[str, str]:
        made = super()._settings()
        jaas = "org.apache.kafka.common.security"
        made["listeners"] += "".join(f",{name.upper()}://{self.at(name)}" for name in LISTENERS)
        made["advertised.listeners"] += "".join(f",{name.upper()}://{self.at(name)}" for name in LISTENERS)
        made |= {
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,"
            "BARE:SASL_PLAINTEXT,MTLS:SSL,OAUTH:SASL_SSL",
            "inter.broker.listener.name": "PLAINTEXT",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",  # the plain listener, and the broker itself
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self.folder / "broker.pem"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.folder / "ca.pem"),
            "listener.name.mtls.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512,PLAIN",
            "listener.name.bare.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
            "listener.name.scram.plain.sasl.jaas.config": f"{jaas}.plain.PlainLoginModule required "
            f'user_{PLAIN_USER}="{PLAIN_PASSWORD}";',
            "listener.name.oauth.oauthbearer.sasl.jaas.config": f"{jaas}.oauthbearer.OAuthBearerLoginModule required;",
            "listener.name.oauth.oauthbearer.sasl.server.callback.handler.class": f"{jaas}.oauthbearer."
            "OAuthBearerValidatorCallbackHandler",
            "sasl.oauthbearer.jwks.endpoint.url": (self.folder / "jwks.json").as_uri(),
            "sasl.oauthbearer.expected.audience": AUDIENCE,
            "sasl.oauthbearer.expected.issuer": ISSUER,
        }
        for name in ("scram", "bare"):
            for number in (256, 512):
                made[f"listener.name.{name}.scram-sha-{number}.sasl.jaas.config"] = (
                    f"{jaas}.scram.ScramLoginModule required;"
                )
        return made


class SecuredKafka:
    """The started broker, with what its clients need. Its files lie in ``folder``, so that others find it again."""

    def __init__(self, folder: Path, broker: SecuredBroker) -> None:
        self.folder = folder
        self.broker = broker
        self.bootstrap = broker.bootstrap
        """The operator's."""
        self.ca = folder / "ca.pem"
        self._operator = AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})

    @property
    def authority(self) -> trustme.CA:
        """Who issues the certificates."""
        return trustme.CA.from_pem(self.ca.read_bytes(), (self.folder / "ca.key").read_bytes())

    def tls(self, **more: Any) -> dict[str, Any]:
        """Settings to trust the broker by."""
        return {"kafka_tls_ca": str(self.ca), **more}

    def scram(self, user: str, folder: Path, mechanism: str = "SCRAM-SHA-512") -> dict[str, Any]:
        """Settings of a new user, whose password lies in a file of ``folder``."""
        password = folder / f"{user}.password"
        password.write_text(secrets.token_urlsafe(12) + "\n")
        self.set_password(user, password.read_text().strip(), mechanism)
        return self.tls(
            kafka_bootstrap=self.broker.at("scram"),
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism=mechanism,
            kafka_sasl_username=user,
            kafka_sasl_password=f"file:{password}",
        )

    def set_password(self, user: str, password: str, mechanism: str = "SCRAM-SHA-512") -> None:
        """Give a user a password; it holds when this returns."""
        kind = ScramMechanism.SCRAM_SHA_512 if mechanism.endswith("512") else ScramMechanism.SCRAM_SHA_256
        change = UserScramCredentialUpsertion(user, ScramCredentialInfo(kind, 4096), password.encode())
        self._operator.alter_user_scram_credentials([change])[user].result(30)

    def mtls(self, user: str, folder: Path) -> dict[str, Any]:
        """Settings of a user with a certificate in ``folder``."""
        self.certify(user, folder)
        return self.tls(
            kafka_bootstrap=self.broker.at("mtls"),
            kafka_security_protocol="SSL",
            kafka_tls_certificate=str(folder / f"{user}.crt"),
            kafka_tls_key=str(folder / f"{user}.key"),
        )

    def certify(self, user: str, folder: Path) -> None:
        """Write a new certificate and its key."""
        issued = self.authority.issue_cert("client.test", common_name=user)
        (folder / f"{user}.key").write_bytes(issued.private_key_pem.bytes())
        (folder / f"{user}.crt").write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))

    def allow(self, bindings: Sequence[AclBinding]) -> None:
        """Give rights."""
        for future in self._operator.create_acls(list(bindings)).values():
            future.result(30)

    def take(self, bindings: Sequence[AclBinding]) -> None:
        """Take rights away."""
        filters = [
            AclBindingFilter(
                each.restype,
                each.name,
                each.resource_pattern_type,
                each.principal,
                each.host,
                each.operation,
                each.permission_type,
            )
            for each in bindings
        ]
        for future in self._operator.delete_acls(filters).values():
            assert future.result(30), "there was no such right"

    def denied(self, user: str) -> set[str]:
        """What the broker has refused a user: operation and resource."""
        found = re.finditer(
            rf"Principal = User:{re.escape(user)} is Denied operation = (\w+) .*? on resource = (\S+)",
            self.broker.log.read_text(errors="replace"),
        )
        return {f"{match[1]} {match[2]}" for match in found}

    @contextmanager
    def token_service(self) -> Iterator[TokenService]:
        """A service whose tokens the broker believes."""
        service = TokenService(self)
        thread = threading.Thread(target=service.server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield service
        finally:
            service.server.shutdown()
            thread.join()
            service.server.server_close()


@dataclass
class TokenService:
    """Gives a token by client credentials (RFC 6749, 4.4), over TLS. ``clients``: id and secret."""

    kafka: SecuredKafka
    clients: dict[str, str] = field(default_factory=dict)
    seconds: float = 300.0
    given: int = 0

    def __post_init__(self) -> None:
        service = self
        self.key = RSAKey.import_key((self.kafka.folder / "jwks.key").read_text())

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                status, answer = service.answer(self.headers["Authorization"] or "", asked)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.kafka.authority.issue_cert(*_HOSTS).configure_cert(context)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}/token"

    def answer(self, authorization: str, asked: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        """Status and body for a request."""
        client, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        if self.clients.get(client) != secret or asked.get("grant_type") != ["client_credentials"]:
            return 401, {"error": "invalid_client"}
        self.given += 1
        now = int(time.time())
        claims = {"sub": client, "aud": AUDIENCE, "iss": ISSUER, "iat": now, "exp": now + int(self.seconds)}
        token = jwt.encode({"alg": "RS256", "kid": "tests"}, claims | {"scope": "kafka"}, self.key)
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": self.seconds}

    def settings(self, client: str, folder: Path) -> dict[str, Any]:
        """Settings of a new client, whose secret lies in a file of ``folder``."""
        secret = folder / f"{client}.secret"
        secret.write_text(secrets.token_urlsafe(12))
        self.clients[client] = secret.read_text()
        return self.kafka.tls(
            kafka_bootstrap=self.kafka.broker.at("oauth"),
            kafka_security_protocol="SASL_SSL",
            kafka_sasl_mechanism="OAUTHBEARER",
            kafka_oauth_token_url=self.url,
            kafka_oauth_client_id=client,
            kafka_oauth_client_secret=f"file:{secret}",
            kafka_oauth_scope="kafka",
            kafka_oauth_ca=str(self.kafka.ca),
        )


def secured_kafka(run: Run) -> SecuredKafka:
    """The run's secured broker; the first who asks starts it."""
    folder = run.folder / "secured"
    with run.once("secured") as made:
        if not made.exists():
            ports = free_ports(2 + len(LISTENERS))
            broker = SecuredBroker(folder, ports[0], ports[1], cache_home(), tuple(ports[2:]))
            _write_keys(folder)
            Kafka(run, broker).start()
            made.write_text(json.dumps(ports))
        ports = json.loads(made.read_text())
    return SecuredKafka(folder, SecuredBroker(folder, ports[0], ports[1], cache_home(), tuple(ports[2:])))


def _write_keys(folder: Path) -> None:
    folder.mkdir(parents=True)
    authority = trustme.CA()
    (folder / "ca.pem").write_bytes(authority.cert_pem.bytes())
    (folder / "ca.key").write_bytes(authority.private_key_pem.bytes())
    issued = authority.issue_cert(*_HOSTS, common_name="broker")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())  # Java reads no other
    (folder / "broker.pem").write_bytes(pkcs8 + b"".join(each.bytes() for each in issued.cert_chain_pems))
    signing = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": "tests"})
    (folder / "jwks.key").write_bytes(signing.as_pem(private=True))
    (folder / "jwks.json").write_text(json.dumps({"keys": [signing.as_dict(private=False)]}))
