"""What Elasticsearch's clients and agents ask before they send: who is there, and is all in place."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from logflume.edge.http.protocols.elastic import HEADERS
from logflume.edge.http.refusal import json_response

VERSION: Final = "9.2.0"
"""Which Elasticsearch's bulk API this speaks; agents refuse a server older than themselves."""

_ABOUT: Final = {
    "name": "logflume",
    "cluster_name": "logflume",
    "cluster_uuid": "logflume",
    "version": {
        "number": VERSION,
        "build_flavor": "default",
        "build_type": "unknown",
        "build_hash": "unknown",
        "build_date": "1970-01-01T00:00:00Z",
        "build_snapshot": False,
        "lucene_version": "10.3.1",
        "minimum_wire_compatibility_version": "8.19.0",
        "minimum_index_compatibility_version": "8.0.0",
    },
    "tagline": "Logflume takes _bulk and nothing else of Elasticsearch.",
}
_LICENSE: Final = {"license": {"uid": "logflume", "type": "basic", "status": "active", "mode": "basic"}}
_XPACK: Final = {
    "build": {},
    "license": {"uid": "logflume", "type": "basic", "mode": "basic", "status": "active"},
    "features": {"ilm": {"available": False, "enabled": False}, "security": {"available": True, "enabled": True}},
    "tagline": "",
}
_HEALTH: Final = {"cluster_name": "logflume", "status": "green", "timed_out": False, "number_of_nodes": 1}


def about() -> Response:
    """``GET /``, ``HEAD /``."""
    return _say(_ABOUT)


def license() -> Response:
    """``GET /_license``."""
    return _say(_LICENSE)


def xpack() -> Response:
    """``GET /_xpack``: no index lifecycle here; retention is the tenant's file's."""
    return _say(_XPACK)


def health() -> Response:
    """``GET /_cluster/health``: this edge answers. Whether Kafka does is ``/ready``'s to say."""
    return _say(_HEALTH)


def in_place() -> Response:
    """What agents set up before they send (templates, policies, pipelines): nothing is needed, so all is there."""
    return _say({"acknowledged": True})


def _say(content: dict[str, Any]) -> Response:
    return json_response(200, content, HEADERS)
