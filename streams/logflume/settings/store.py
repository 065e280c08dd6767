"""Settings of the object store that tables lie in."""

from __future__ import annotations

from pydantic import Field, SecretStr

from logflume.settings.stage import Stage


class Store(Stage, title="Object store"):
    """Where the tenants' tables lie, and by whose leave they are written."""

    store_url: str = Field("", description="Where tables come to rest: `s3://bucket/prefix` or `file:///folder`.")
    store_endpoint: str = Field(
        "", description="URL of an S3 service other than Amazon's, such as `http://127.0.0.1:8333`."
    )
    store_region: str = Field("us-east-1", description="Region of the bucket.")
    store_access_key: str = Field(
        "", description="Access key id; empty: `AWS_*` variables, or the container's or instance's role (no profiles)."
    )
    store_secret_key: SecretStr = Field(SecretStr(""), description="Secret access key.")
