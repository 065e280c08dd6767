"""The files that are generated from code: ``make docs`` writes them, a test compares them."""

from __future__ import annotations

from pathlib import Path

from deploy.grafana import files as dashboards
from logflume import metrics, settings
from logflume.formats import avro_schema
from logflume.kafka.rights import page as rights
from logflume.model import load
from logflume.watch.alerts import alert
from logflume.watch.alerts.catalogue import ALERTS, SERIES

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "topics" / "schemas" / "datasets"
RULES_HEAD = "# Made by `make docs` from streams/logflume/watch/alerts/; with other links: `logflume alerts rules`.\n"


def generated() -> dict[Path, str]:
    """Each generated file and what it must hold."""
    docs = ROOT / "docs"
    secured = docs / "security.md"
    pages = {
        docs / "settings.md": settings.page(),
        docs / "metrics.md": metrics.page(),
        secured: rights.filled(secured.read_text()),
    }
    datasets = load(ROOT / "topics").values()
    pages[ROOT / "deploy" / "prometheus" / "logflume.rules.yml"] = RULES_HEAD + alert.rules(SERIES, ALERTS)
    pages |= dashboards.generated()
    return pages | {SCHEMAS / f"{ds.name}.avsc": avro_schema.of_dataset(ds) for ds in datasets}


def keep(path: Path, text: str) -> None:
    """Before a dataset's schema is replaced, keep it under its fingerprint: some producers still write by it."""
    if path.parent == SCHEMAS and path.exists():
        old, new = (avro_schema.fingerprint(avro_schema.parsed(each)) for each in (path.read_text(), text))
        if old != new:
            path.rename(path.with_name(f"{path.stem}.{old.hex()}.avsc"))


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for path, text in generated().items():
        keep(path, text)
        path.write_text(text)
