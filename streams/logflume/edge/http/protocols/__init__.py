"""The protocols that agents speak, a file each: pure decoding and answering on the gateway's ``Exchange``."""

from __future__ import annotations

from logflume.edge.http.exchange import Route

ROUTES: tuple[Route, ...] = ()
"""Every foreign protocol's routes; the server adds its own."""
