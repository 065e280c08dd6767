"""Who may change an object of the configuration: the operators' files, or the API."""

from __future__ import annotations

from enum import StrEnum


class Owner(StrEnum):
    """Of a tenant, of one of its datasets, jobs or tokens. Whoever does not own it leaves it as it is."""

    FILE = "file"
    API = "api"
