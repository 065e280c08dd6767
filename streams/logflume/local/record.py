"""What is on disk of a stack: its record (ports, keys, token) and ``stack.toml``, both readable by the user only."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from logflume.settings import STACK_FILE, Settings, security, variable

_SHARED_PREFIXES = ("kafka_", "store_", "topic", "tenants_")
_SPOKEN_PREFIXES = ("kafka_", "store_", "topic_prefix")
_SHARED = ("sort_group", "sink_group")


@dataclass(frozen=True)
class Record:
    """What a stack is made of; kept over ``down``, so that its data find their addresses and keys again.

    ``kafka_ports`` (clients, controller) and ``store_ports`` are empty when Kafka or the store is not ours.
    ``fingerprints``: how Kafka and the store are spoken to, a hash for each setting, since some hold secrets.
    """

    token: str
    password: str
    supervisor_port: int
    kafka_ports: tuple[int, ...]
    store_ports: tuple[int, ...]
    worker_ports: dict[str, int]
    access_key: str
    secret_key: str
    given: dict[str, str]
    fingerprints: dict[str, str] = field(default_factory=dict)
    edge_ports: dict[str, int] = field(default_factory=dict)
    """Where edges take records; ``worker_ports`` has those of every worker's metrics."""
    explore_ports: dict[str, int] = field(default_factory=dict)
    """Where explorers answer."""
    prometheus_port: int = 0
    """Where Prometheus is, or would be; 0 when it was not installed."""

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """The record in ``folder``, or None when no stack was ever made there."""
        try:
            values = json.loads(_place(folder).read_text())
        except FileNotFoundError:
            return None
        values["kafka_ports"] = tuple(values["kafka_ports"])
        values["store_ports"] = tuple(values["store_ports"])
        return cls(**values)

    def write(self, folder: Path) -> None:
        """Keep it in ``folder``; durable when this returns, as far as the file system is."""
        write_private(_place(folder), json.dumps(asdict(self), indent=1))


def write_toml(folder: Path, settings: Settings) -> None:
    """Leave what another command must know to use the stack; values are JSON strings, which are TOML strings too."""
    lines = ["# Written by `logflume local up`: the addresses of the running stack."]
    for name in Settings.model_fields:
        if not name.startswith(_SHARED_PREFIXES) and name not in _SHARED:
            continue
        value = getattr(settings, name)
        if name in security.FIELDS and not value:
            continue
        if name == "store_secret_key":
            value = value.get_secret_value()
        if isinstance(value, dict):
            pairs = (f"{_quoted(key)} = {_quoted(each)}" for key, each in value.items())
            lines.append(f"{name} = {{{', '.join(pairs)}}}")
        else:
            lines.append(f"{name} = {_quoted(value)}")
    write_private(folder / STACK_FILE, "\n".join(lines) + "\n")


def fingerprints(settings: Settings, token: str) -> dict[str, str]:
    """A hash of every setting that says where Kafka and the store are and how they are spoken to, by name.

    The token is hashed with it, so that a weak secret can't be looked up in a list of hashes.
    """
    values = settings.environment()
    names = [name for name in Settings.model_fields if name.startswith(_SPOKEN_PREFIXES)]
    return {name: hashlib.sha256(f"{token} {values.get(variable(name), '')}".encode()).hexdigest() for name in names}


def write_private(path: Path, text: str) -> None:
    """Whole or not at all, and readable by the user only: there are keys in it."""
    fresh = path.with_name(path.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _place(folder: Path) -> Path:
    return folder / "stack.json"
