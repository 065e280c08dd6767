"""Kubernetes' container logs: ``2024-05-01T08:00:00.1Z stdout F text``, as containerd and CRI-O write them.

A line of the container longer than 16 kB comes in parts (``P``) and an end (``F``), perhaps with lines of the other
stream in between (Kubernetes, "CRI logging format").
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from logflume.formats.logfmt import ALIASES

_LINE: Final = re.compile(rb"(\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([FP])(?::\S*)?(?: |$)")
_POD: Final = re.compile(r"/pods/([^/_]+)_([^/_]+)_([^/]+)/([^/]+)/[^/]+$")
_CONTAINER: Final = re.compile(r"/([^/_]+)_([^/_]+)_([^/]+)-([0-9a-f]{64})\.log$")
_LONG_NUMBER: Final = re.compile(rb"[0-9]{20}|-[0-9]{19}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a container's file. ``whole``: the record ends here."""

    time: bytes
    stream: bytes
    whole: bool
    text: bytes


def line(raw: bytes) -> Line | None:
    """Return what ``raw`` (without its newline) says; None when it is not in this format."""
    match = _LINE.match(raw)
    if match is None:
        return None
    return Line(match[1], match[2], match[3] == b"F", raw[match.end() :])


def origin(path: str) -> dict[str, str]:
    """Return ``namespace``, ``pod``, ``container`` and ``pod_uid`` or ``container_id`` as a kubelet's path says them.

    Empty for any other path.
    """
    if found := _POD.search(path):
        return dict(zip(("namespace", "pod", "pod_uid", "container"), found.groups(), strict=True))
    if found := _CONTAINER.search(path):
        pod, namespace, container, id = found.groups()
        return {"namespace": namespace, "pod": pod, "container": container, "container_id": id}
    return {}


def record(time: bytes, text: bytes, about: Mapping[str, str], fixed: Mapping[str, Any]) -> bytes:
    """Return one line of JSON (without newline) for a record of a container.

    ``text`` that is a JSON object keeps its fields (``msg`` and the like get the names that ``events`` has); any other
    is the message. ``fixed`` are fields that it may overrule, as it may ``time``; ``about`` stands in ``attributes``,
    or in ``kubernetes`` when the object has attributes of its own.
    """
    defaults: dict[str, Any] = {"time": time.decode(), **fixed}
    found = _object(text)
    if found is None:
        message, whole = decoded(text)
        attributes = about if whole else {**about, "undecoded": "true"}
        return orjson.dumps({**defaults, "message": message, "attributes": attributes})
    defaults["kubernetes" if "attributes" in found else "attributes"] = dict(about)
    renames = {name: alias for name, alias in ALIASES.items() if name in found and alias not in found}
    if len(set(renames.values())) == len(renames) and renames and not _LONG_NUMBER.search(text):
        return orjson.dumps(defaults | {renames.get(name, name): value for name, value in found.items()})
    # Put before the object's own text, so that every number stays as it was written: of a name twice the last counts.
    inner = text.strip()[1:].lstrip()
    return orjson.dumps(defaults)[:-1] + (b"" if inner.startswith(b"}") else b",") + inner


def decoded(text: bytes) -> tuple[str, bool]:
    """Return bytes as text, and whether they are UTF-8; each byte that is not is spelled as ``\\xe4``."""
    try:
        return text.decode(), True
    except UnicodeDecodeError:
        return text.decode("utf-8", "backslashreplace"), False


def _object(text: bytes) -> dict[str, Any] | None:
    if not text.lstrip().startswith(b"{"):
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if type(value) is dict else None
