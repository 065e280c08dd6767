"""Settings of Kafka and its topics."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from logflume.settings.places import OptionalFolder
from logflume.settings.stage import Stage


class Kafka(Stage, title="Kafka"):
    """Where Kafka is, and how the topics there are called and made."""

    kafka_bootstrap: str = Field("", description="Kafka brokers, `host:port[,host:port…]`.")
    kafka_options: dict[str, str] = Field(
        default_factory=dict,
        description='Further librdkafka options, as JSON, such as `{"socket.keepalive.enable": "true"}`. Faust\'s own '
        "client in sorters does not heed them, and sorters refuse TLS and SASL so far.",
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
