"""Contracts for tests: smaller ones, since a broker, and everybody who asks it, takes time for each partition."""

from __future__ import annotations

import shutil
from pathlib import Path

from logflume import contract


def contract_of_events(folder: Path) -> Path:
    """A contract of one dataset: Kafka makes and deletes a fifth of the topics for a test."""
    topics_dir = folder / "topics"
    shutil.copytree(contract.find(), topics_dir)
    for other in (topics_dir / "datasets").glob("*.yaml"):
        if other.stem != "events":
            other.unlink()
    return topics_dir


def contract_with_partitions(folder: Path, coming_in: int, sorted: int) -> Path:
    """The contract with other numbers of partitions of what comes in, of cursors, and of sorted topics."""
    topics_dir = Path(shutil.copytree(contract.find(), folder / "topics"))
    with_partitions(topics_dir, coming_in, sorted)
    return topics_dir


def with_partitions(topics_dir: Path, coming_in: int, sorted: int) -> None:
    """Change the contract in ``topics_dir``: see ``contract_with_partitions``."""
    file = topics_dir / "topics.yaml"
    declared = file.read_text()
    for real, wanted in ((8, coming_in), (16, sorted)):
        assert f"{{local: {real}," in declared
        declared = declared.replace(f"{{local: {real},", f"{{local: {wanted},")
    file.write_text(declared)
