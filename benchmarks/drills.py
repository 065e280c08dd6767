"""``make drills``: every drill at its real size, one after the other; their reports become docs/drills.md.

``python -m benchmarks.drills NAME …`` runs only these; the others keep the report that they have. Exit code 1 when a
drill failed: its report is kept all the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT
from logflume.drill import told
from logflume.drill.catalogue import DRILLS
from logflume.drill.report import Report

BUILD = ROOT / "build" / "drills"
PAGE = ROOT / "docs" / "drills.md"
MARK = "<!-- From here on this page is made by `make drills`. -->\n"


def run(name: str, scale: str) -> bool:
    """Run one drill as a user would; whether it left a report."""
    page, plain = BUILD / f"{name}.html", BUILD / f"{name}.json"
    command = [
        sys.executable,
        "-m",
        "logflume",
        "drill",
        "run",
        name,
        "--scale",
        scale,
        "--report",
        str(page),
        "--json",
    ]
    print(f"--- {name}", flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout.strip():
        print(f"{name} ended with exit code {done.returncode} and without a report")
        return False
    plain.write_text(done.stdout)
    return True


def reports() -> list[Report]:
    """Every report that there is, in the order of the drills."""
    paths = [BUILD / f"{name}.json" for name in DRILLS]
    return [Report.of(json.loads(path.read_text())) for path in paths if path.exists()]


def write(page: Path, found: list[Report]) -> None:
    """Replace what stands below the mark."""
    head, mark, _ = page.read_text().partition(MARK)
    if not mark:
        raise SystemExit(f"{page} has no line {MARK.strip()}")
    page.write_text(f"{head}{MARK}\n{told.page(found)}")


def main() -> int:
    """Run, and write; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="drills to run; none: all of them")
    parser.add_argument("--scale", default="real", choices=("small", "real"))
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in DRILLS]:
        parser.error(f"no such drill: {', '.join(unknown)}; there are {', '.join(DRILLS)}")
    BUILD.mkdir(parents=True, exist_ok=True)
    names = given.names or list(DRILLS)
    left = [name for name in names if run(name, given.scale)]
    found = reports()
    write(PAGE, found)
    for report in found:
        print(
            f"{report.drill:<16} {'passed' if report.ok else 'FAILED'}  {report.started}  {BUILD / report.drill}.html"
        )
    failed = [report.drill for report in found if not report.ok and report.drill in names]
    return 1 if failed or len(left) < len(names) else 0


if __name__ == "__main__":
    sys.exit(main())
