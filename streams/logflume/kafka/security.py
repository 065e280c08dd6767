"""Who a client is to Kafka, and how their connection is protected: one meaning of the settings, in two clients' words.

``librdkafka`` and ``aiokafka`` give the same to both. Secrets and certificates are read when a client is made, and
checked then: what is wrong is named, with its setting and its file, before any broker is asked.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logflume import references
from logflume.errors import Misconfigured
from logflume.settings import Settings, security, variable

if TYPE_CHECKING:
    from logflume.kafka.oauth import TokenService

_FILES = ("kafka_tls_ca", "kafka_tls_certificate", "kafka_tls_key", "kafka_oauth_ca")
_MOST_BYTES = 4 << 20


@dataclass(frozen=True)
class Security:
    """The settings with what they refer to. Paths are texts, empty where none is set; ``None``: no TLS."""

    protocol: str
    mechanism: str = "none"
    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""
    key_password: str = field(default="", repr=False)
    tokens: TokenService | None = None

    @classmethod
    def of(cls, settings: Settings) -> Security:
        """Read secrets and files. Raises ``Misconfigured``, which names the setting and never holds a secret."""
        if wrong := security.mistakes(settings):
            raise Misconfigured("\n".join(wrong))
        return cls(
            protocol=settings.kafka_security_protocol,
            mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_sasl_username,
            password=_secret(settings, "kafka_sasl_password"),
            ca=_file(settings, "kafka_tls_ca"),
            certificate=_file(settings, "kafka_tls_certificate"),
            key=_file(settings, "kafka_tls_key"),
            key_password=_secret(settings, "kafka_tls_key_password"),
            tokens=_tokens(settings),
        ).checked()

    @property
    def encrypted(self) -> bool:
        """Whether connections are TLS."""
        return self.protocol.endswith("SSL")

    def checked(self) -> Security:
        """Return itself when its certificates can be used; ``Misconfigured`` names those that can't."""
        if self.encrypted:
            self.tls()
        if self.tokens:
            self.tokens.tls()
        return self

    def tls(self) -> ssl.SSLContext:
        """Return a context that asks for a broker's certificate and its name, and shows ours."""
        context = authorities(self.ca, "kafka_tls_ca")
        if self.certificate:
            try:
                # A password that is not needed is not asked for; None would ask at the terminal.
                context.load_cert_chain(self.certificate, self.key, lambda: self.key_password)
            except (ssl.SSLError, OSError, ValueError) as error:
                both = f"{variable('kafka_tls_certificate')} ({self.certificate}), {variable('kafka_tls_key')}"
                raise Misconfigured(f"{both} ({self.key}): {_why(error)}") from None
        return context

    def librdkafka(self) -> dict[str, Any]:
        """Return the options of confluent-kafka's clients."""
        options = {
            "security.protocol": self.protocol,
            "ssl.ca.location": self.ca,
            "ssl.certificate.location": self.certificate,
            "ssl.key.location": self.key,
            "ssl.key.password": self.key_password,
            "sasl.username": self.username,
            "sasl.password": self.password,
        }
        if self.mechanism != "none":
            options["sasl.mechanism"] = self.mechanism
        if self.encrypted:
            options["ssl.endpoint.identification.algorithm"] = "https"
        if self.tokens:
            options |= {
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": self.tokens.url,
                "sasl.oauthbearer.client.id": self.tokens.client_id,
                "sasl.oauthbearer.client.secret": self.tokens.secret,
                "sasl.oauthbearer.scope": self.tokens.scope,
                "https.ca.location": self.tokens.ca,
            }
        return {name: value for name, value in options.items() if value}

    def aiokafka(self) -> dict[str, Any]:
        """Return the arguments of aiokafka's clients."""
        found: dict[str, Any] = {"security_protocol": self.protocol}
        if self.encrypted:
            found["ssl_context"] = self.tls()
        if self.mechanism != "none":
            found["sasl_mechanism"] = self.mechanism
        if self.username:
            found |= {"sasl_plain_username": self.username, "sasl_plain_password": self.password}
        if self.tokens:
            from logflume.kafka.token_provider import Provider  # late: few have tokens, and aiokafka takes its time

            found["sasl_oauth_token_provider"] = Provider(self.tokens)
        return found


def authorities(path: str, name: str) -> ssl.SSLContext:
    """Return a client's context that trusts those of a file; no path: the machine's. ``name``: the setting's."""
    try:
        return ssl.create_default_context(cafile=path or None)
    except (ssl.SSLError, OSError) as error:
        raise Misconfigured(f"{variable(name)} ({path}): {_why(error)}") from None


def files(settings: Settings) -> dict[str, str]:
    """Return the file of each setting that names one, certificates and secrets alike."""
    found = {name: getattr(settings, name) for name in _FILES if getattr(settings, name)}
    for name in security.SECRETS:
        if text := getattr(settings, name):
            reference = references.parse(text)
            if reference.kind is references.Kind.FILE:
                found[name] = reference.place
    return found


def fingerprint(settings: Settings) -> str:
    """Return a hash of all these files' bytes; raises ``Misconfigured`` when one can't be read."""
    digest = hashlib.sha256()
    for name, path in files(settings).items():
        digest.update(f"{name} {hashlib.sha256(_bytes(path, name)).hexdigest()}\n".encode())
    return digest.hexdigest()


def _tokens(settings: Settings) -> TokenService | None:
    if settings.kafka_sasl_mechanism != "OAUTHBEARER":
        return None
    from logflume.kafka.oauth import TokenService  # late: few have tokens

    return TokenService(
        url=settings.kafka_oauth_token_url,
        client_id=settings.kafka_oauth_client_id,
        secret=_secret(settings, "kafka_oauth_client_secret"),
        scope=settings.kafka_oauth_scope,
        ca=_file(settings, "kafka_oauth_ca"),
        trust=authorities,
    )


def _secret(settings: Settings, name: str) -> str:
    text = getattr(settings, name)
    return references.read(references.parse(text), variable(name)) if text else ""


def _file(settings: Settings, name: str) -> str:
    path: str = getattr(settings, name)
    if path and not _bytes(path, name).strip():
        raise Misconfigured(f"{variable(name)}: {path} is blank")
    return path


def _bytes(path: str, name: str) -> bytes:
    try:
        if not Path(path).is_file():  # a pipe would never end
            raise Misconfigured(f"{variable(name)}: there is no file {path}")
        with Path(path).open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise Misconfigured(f"{variable(name)}: {path} can't be read ({error.strerror})") from None


def _why(error: Exception) -> str:
    """Say what is wrong in words that a person can act on; OpenSSL's are not."""
    text = str(error)
    if "KEY_VALUES_MISMATCH" in text:
        return "the key is not that of the certificate"
    if "NO_CERTIFICATE_OR_CRL_FOUND" in text or "NO_START_LINE" in text or "PEM lib" in text:
        return f"no PEM text of the kind that is needed, or the key's password is wrong ({text})"
    return text
