"""Settings of Kafka and its topics."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from logflume.settings import security
from logflume.settings.places import OptionalFolder
from logflume.settings.stage import Stage


class Kafka(Stage, title="Kafka"):
    """Where Kafka is, who we are there, and how the topics are called and made.

    One set of settings is for all clients: librdkafka's and Faust's. What is half said or blank is refused, never taken
    for less protection. See [security.md](security.md).
    """

    kafka_bootstrap: str = Field("", description="Kafka brokers, `host:port[,host:port…]`.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT",
        description="How brokers are spoken to, in Kafka's words: `SSL` is TLS, with a client's certificate mTLS.",
    )
    kafka_tls_ca: str = Field(
        "", description="PEM file of the authorities that a broker's certificate may come from; unset: the machine's."
    )
    kafka_tls_certificate: str = Field(
        "", description="PEM file of this client's certificate and the chain behind it, for mTLS."
    )
    kafka_tls_key: str = Field("", description="PEM file of its key.")
    kafka_tls_key_password: str = Field(
        "", description="What the key is encrypted with: `env:NAME` or `file:/path`, never the password itself."
    )
    kafka_sasl_mechanism: Literal["none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "none", description="How this client proves who it is, where the protocol begins with `SASL`."
    )
    kafka_sasl_username: str = Field("", description="User of PLAIN and SCRAM.")
    kafka_sasl_password: str = Field("", description="Its password: `env:NAME` or `file:/path`.")
    kafka_oauth_token_url: str = Field(
        "", description="Where OAUTHBEARER gets tokens for client credentials; `https://`, or a service on loopback."
    )
    kafka_oauth_client_id: str = Field("", description="This client's id there.")
    kafka_oauth_client_secret: str = Field("", description="Its secret: `env:NAME` or `file:/path`.")
    kafka_oauth_scope: str = Field("", description="Scope to ask for, if any.")
    kafka_oauth_ca: str = Field(
        "", description="PEM file of the authorities that the token service's certificate may come from."
    )
    kafka_reload_seconds: float = Field(
        30.0,
        ge=0,
        description="How often a worker looks whether these files have changed; it then ends in order, to be started "
        "again with the new ones. 0: never.",
    )
    kafka_options: dict[str, str] = Field(
        default_factory=dict,
        description='Further librdkafka options, as JSON, such as `{"socket.keepalive.enable": "true"}`. Faust\'s own '
        "client in sorters does not heed them. Those about security are refused: the settings above hold for all.",
    )
    topic_prefix: str = Field("logflume.", description="What the names of all topics begin with.")
    topics_profile: Literal["local", "real"] = Field(
        "real",
        description="Which partition counts and replication the topics have: `real` needs three brokers; "
        "`logflume local up` takes `local` for its own Kafka.",
    )
    topics_dir: OptionalFolder = Field(
        "",
        description="Folder of the contract (topics, schemas, datasets); empty: the checkout's, else the package's.",
    )

    @model_validator(mode="after")
    def _check_security(self) -> Self:
        if mistakes := security.mistakes(self):
            raise ValueError("\n".join(mistakes))
        return self
