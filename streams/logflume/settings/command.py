"""Settings of the command, where it asks a server."""

from __future__ import annotations

from pydantic import Field, SecretStr

from logflume.settings.stage import Stage


class Command(Stage, title="Command"):
    """Whom `logflume query`, `logflume find` and `logflume tail` ask."""

    url: str = Field(
        "",
        description="Address of the `logflume serve` that is asked, such as `https://logs.example:8090`. Empty: they "
        "read the tables themselves.",
    )
    token: SecretStr = Field(SecretStr(""), description="Token that it is shown; it has the scope `query`.")
