"""A change to whatever is in force: read, changed, published; and once more when another publisher came first.

For changes that say what they do and not what is to be: an operator's directory says the whole, and is planned again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

from logflume.clock import Clock
from logflume.config import inforce
from logflume.config.inforce import InForce
from logflume.config.library import Library
from logflume.config.manifest import Manifest
from logflume.config.publish import Order, Overtaken, publish
from logflume.errors import Misconfigured, Retryable
from logflume.kafka import client
from logflume.kafka.exclusive import Fenced
from logflume.model.tenant import Tenant
from logflume.settings import Settings

Tenants = Mapping[str, Tenant]
Change = Callable[[Tenants], Tenants]

_TRIES = 10
_LONGEST_PAUSE_SECONDS = 1.0


def present(settings: Settings) -> InForce:
    """Return what is in force. Raises ``Misconfigured`` when nothing was ever applied, or as ``inforce.look``."""
    now = inforce.look(settings, client.admin(settings), Library.from_settings(settings), decided=False)
    if now.configuration is None:
        raise Misconfigured("nothing was applied yet; begin with `logflume config apply DIR`")
    return now


def amend(
    settings: Settings,
    change: Change,
    *,
    who: str,
    why: str,
    clock: Clock,
    look: Callable[[Settings], InForce] = present,
    put: Callable[[Settings, Order, Clock], Manifest] = publish,
    pause: Callable[[float], None] = time.sleep,
) -> Manifest:
    """Put in force what ``change`` makes of the tenants in force, and return the new manifest.

    ``change`` may be called again, for a later generation. Raises what it raises, and as ``publish``.
    """
    for _ in range(_TRIES):
        now = look(settings)
        assert now.configuration is not None
        try:
            return put(settings, Order(now.generation, change(now.configuration.tenants), who, why), clock)
        except (Overtaken, Fenced) as first:
            last = first
        pause(random.uniform(0, _LONGEST_PAUSE_SECONDS))  # else two take the publisher's name from each other for ever
    raise Retryable(f"{_TRIES} times another publisher was first ({last}); try again")
