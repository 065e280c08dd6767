"""A pipeline of one's own for each fault test."""

from __future__ import annotations

from pathlib import Path

import pytest

from logflume.settings import Settings
from tests.support.contracts import contract_of_events
from tests.support.pipeline import pipeline

__all__ = ["pipeline"]


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """Topics of one dataset alone: nothing here sends to another."""
    return settings.model_copy(update={"topics_dir": str(contract_of_events(tmp_path / "contract"))})
