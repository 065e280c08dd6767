"""``make pictures``: the dashboards' pictures in docs/pictures, of a real stack whose sink hangs for a while."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from deploy.grafana import draw, files
from tests.support.people import people
from tests.support.watched import Watched

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"
MOST_BYTES: Final = 150_000
GOOD_SECONDS: Final = 35
HANGING_SECONDS: Final = 60
RATE_SECONDS: Final = 20
ROWS: Final = {
    "overview": (),
    "lag": ("Now", "By stage, topic and partition", "By tenant"),
    "edges": ("Now", "What comes in", "HTTP"),
    "sinks": ("Now", "Sinks", "Until a row can be found"),
    "explorer": (),
    "incident": ("Configuration", "Pressure", "Workers"),
}
"""The main rows of each."""


def main(folder: Path = FOLDER) -> int:
    """Make them all; exit code 1 when one is too large to be kept."""
    folder.mkdir(parents=True, exist_ok=True)
    code = 0
    with tempfile.TemporaryDirectory() as own:
        watched = Watched(Path(own) / "stack", local_edges=1, care_idle_seconds=1.0)
        try:
            watched.up()
            begun = time.time()
            with people(watched):
                time.sleep(GOOD_SECONDS)
                with watched.hanging("sink-1"):
                    time.sleep(HANGING_SECONDS)
                time.sleep(GOOD_SECONDS)
                span = draw.Span(begun, time.time() - 1)
                [server] = [part.address for part in watched.stack.status() if part.name == "prometheus"]
                for board in files.BOARDS:
                    file = folder / f"grafana-{board.name}.png"
                    source = draw.Source(server, RATE_SECONDS / 4)
                    draw.save(draw.picture(board, source, span, ROWS[board.name]), file)
                    size = file.stat().st_size
                    print(f"{file.name}: {size / 1000:.0f} kB")
                    code |= size > MOST_BYTES
        finally:
            watched.down()
    return code


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
