"""botocore's sessions: whose credentials a destination's requests are signed with."""

from __future__ import annotations

from functools import cache
from typing import Any

import aiobotocore.session
from aiobotocore.credentials import AioAssumeRoleCredentialFetcher, AioCredentials, AioDeferredRefreshableCredentials

from logflume.destinations.credentials import Keys
from logflume.model.job import Target

_SESSION_NAME = "logflume"


def session_of(target: Target, keys: Keys | None) -> Any:
    """Return a session for requests to ``target``: signed as its role, if it has one, assumed with ``keys`` or what
    the environment or the machine gives. Without a role, a client made with keys of its own uses those.
    """
    session = _session()
    if target.role:
        session.register_component("credential_provider", _Role(target, keys))
    return session


def _session() -> Any:
    session = aiobotocore.session.AioSession()
    session.register_component("data_loader", _loader())
    return session


@cache
def _loader() -> Any:
    """What read the descriptions of Amazon's services: 22 ms of CPU for a client, 150 when each reads them itself."""
    return aiobotocore.session.AioSession().get_component("data_loader")


class _Role:
    """What a session asks for credentials, once. They renew themselves before they expire."""

    def __init__(self, target: Target, keys: Keys | None) -> None:
        self._target, self._keys = target, keys

    async def load_credentials(self) -> Any:
        """Return the role's credentials; the first request asks for them."""
        source = _session()
        if self._keys:
            own = AioCredentials(self._keys.access_key, self._keys.secret_key, self._keys.session_token or None)
        else:
            own = await source.get_credentials()
        fetcher = AioAssumeRoleCredentialFetcher(
            client_creator=self._client(source),
            source_credentials=own,
            role_arn=self._target.role,
            extra_args={"RoleSessionName": _SESSION_NAME},
        )
        return AioDeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method="assume-role")

    def _client(self, source: Any) -> Any:
        def create(service: str, **arguments: Any) -> Any:
            return source.create_client(service, region_name=self._target.region or "us-east-1", **arguments)

        return create
