"""The pages in docs/ that are generated from code: ``make docs`` writes them, a test compares them."""

from __future__ import annotations

from pathlib import Path

from logflume import metrics, settings

ROOT = Path(__file__).parents[2]


def generated() -> dict[Path, str]:
    """Each generated page and what it must hold."""
    docs = ROOT / "docs"
    return {docs / "settings.md": settings.page(), docs / "metrics.md": metrics.page()}


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text)
