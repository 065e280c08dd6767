"""Reading a worker's ``/metrics`` and ``/ready``, as Prometheus and whoever runs it would."""

from __future__ import annotations

import contextlib
import re
import urllib.error
import urllib.request
from http.client import HTTPException

_ANSWER_SECONDS = 2.0
_LINE = re.compile(r"^(logflume_\w+)(?:\{[^}]*\})? (\S+)$", re.MULTILINE)


def read(health: str) -> dict[str, float]:
    """Return each metric's value over all its labels, ratios the greatest and others the sum; empty: no answer."""
    try:
        with urllib.request.urlopen(f"{health}/metrics", timeout=_ANSWER_SECONDS) as answer:
            text = answer.read().decode()
    except (OSError, HTTPException):  # the latter of one that was killed while it answered
        return {}
    found: dict[str, float] = {}
    for name, value in _LINE.findall(text):
        known = found.get(name, 0.0)
        found[name] = max(known, float(value)) if name.endswith("_ratio") else known + float(value)
    return found


def trouble(health: str) -> str | None:
    """Return why a worker is not ready; None: it is."""
    try:
        urllib.request.urlopen(f"{health}/ready", timeout=_ANSWER_SECONDS).close()
    except urllib.error.HTTPError as error:
        with error, contextlib.suppress(OSError, HTTPException):
            return error.read().decode(errors="replace").strip() or str(error)
        return str(error)
    except (OSError, HTTPException) as error:
        return str(error)
    return None
