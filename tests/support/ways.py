"""Principals of a secured Kafka: a new one for each test and each way in."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from tests.support import secured as support
from tests.support.secured import SecuredKafka, TokenService

WAYS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "SCRAM-SHA-512 without TLS", "mTLS", "OAUTHBEARER")


class Principal:
    """``given`` are its settings, whose files lie in ``folder``."""

    def __init__(self, way: str, kafka: SecuredKafka, tokens: TokenService, folder: Path) -> None:
        self.name = support.PLAIN_USER if way == "PLAIN" else f"u{secrets.token_hex(4)}"
        self.folder = folder
        self.given = self._given(way, kafka, tokens)

    def _given(self, way: str, kafka: SecuredKafka, tokens: TokenService) -> dict[str, Any]:
        if way == "mTLS":
            return kafka.mtls(self.name, self.folder)
        if way == "OAUTHBEARER":
            return tokens.settings(self.name, self.folder)
        if way == "PLAIN":
            (self.folder / "plain").write_text(support.PLAIN_PASSWORD)
            user = {"kafka_sasl_username": self.name, "kafka_sasl_password": f"file:{self.folder}/plain"}
            return kafka.scram("nobody", self.folder) | {"kafka_sasl_mechanism": "PLAIN"} | user
        given = kafka.scram(self.name, self.folder, way.split()[0])
        if way.endswith("without TLS"):
            given.pop("kafka_tls_ca")
            given |= {"kafka_bootstrap": kafka.broker.at("bare"), "kafka_security_protocol": "SASL_PLAINTEXT"}
        return given


def everything(name: str) -> list[AclBinding]:
    """The right to do anything, on topics, groups, transactions and the cluster."""
    kinds = {
        ResourceType.TOPIC: "*",
        ResourceType.GROUP: "*",
        ResourceType.TRANSACTIONAL_ID: "*",
        ResourceType.BROKER: "kafka-cluster",
    }
    literal, allow = ResourcePatternType.LITERAL, AclPermissionType.ALLOW
    return [
        AclBinding(kind, resource, literal, f"User:{name}", "*", AclOperation.ALL, allow)
        for kind, resource in kinds.items()
    ]
