"""What asks a real engine over a folder: the API, the page, the command; without Kafka and S3."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """A file's event loop."""
    with asyncio.Runner() as runner:
        yield runner
