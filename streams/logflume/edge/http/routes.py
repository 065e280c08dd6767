"""Every path that the HTTP edge answers: our own protocol's, and those of agents."""

from __future__ import annotations

from typing import Final

from logflume.edge.http import ingest
from logflume.edge.http.exchange import Route
from logflume.edge.http.protocols import routes as protocols

ROUTES: Final[tuple[Route, ...]] = (*ingest.ROUTES, *protocols.ROUTES)
