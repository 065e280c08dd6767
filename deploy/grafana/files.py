"""Where dashboards lie, and what each file must hold."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy.grafana import edges, explorer, incident, lag, overview, sdk, sinks

BOARDS: Final = (overview.BOARD, lag.BOARD, edges.BOARD, sinks.BOARD, explorer.BOARD, incident.BOARD)
FOLDER: Final = Path(__file__).parent / "dashboards"


def generated() -> dict[Path, str]:
    """Each dashboard's file and its text."""
    return {FOLDER / f"{board.name}.json": sdk.encoded(board) for board in BOARDS}
