"""Principals of a secured Kafka: a new one for each test and each way in."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, ResourcePatternType, ResourceType

from logflume.kafka.rights import Acl, Kind
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


_KINDS = {
    Kind.TOPIC: ResourceType.TOPIC,
    Kind.GROUP: ResourceType.GROUP,
    Kind.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
    Kind.CLUSTER: ResourceType.BROKER,
}


def allowed(kind: Kind, resource: str, user: str, operation: AclOperation, *, prefixed: bool = False) -> AclBinding:
    """A right of a user."""
    pattern = ResourcePatternType.PREFIXED if prefixed else ResourcePatternType.LITERAL
    return AclBinding(_KINDS[kind], resource, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)


def binding(acl: Acl, user: str) -> AclBinding:
    """A right out of the table, of a user."""
    operation = AclOperation[re.sub(r"(?<!^)(?=[A-Z])", "_", acl.operation).upper()]
    return allowed(acl.kind, acl.name, user, operation, prefixed=acl.prefixed)


def everything(user: str) -> list[AclBinding]:
    """The right to do anything, on topics, groups, transactions and the cluster."""
    names = dict.fromkeys(Kind, "*") | {Kind.CLUSTER: "kafka-cluster"}
    return [allowed(kind, name, user, AclOperation.ALL) for kind, name in names.items()]
