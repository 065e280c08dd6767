"""docs/metrics.md, as the declarations give it."""

from __future__ import annotations

from logflume.metrics.metric import DECLARED, STAGES


def page() -> str:
    """Return docs/metrics.md as the declarations give it."""
    lines = [
        "# Metrics",
        "",
        "Generated from `streams/logflume/metrics/` by `make docs`; a test keeps it current.",
        "",
        "Every worker serves these on `/metrics` at `LOGFLUME_HTTP_PORT`, beside `process_*` and `python_*`.",
        "Those of another stage than the worker's stand at zero.",
    ]
    for stage in STAGES:
        lines += ["", f"## {stage}", "", "| metric | kind, unit | labels | meaning | when it is off |"]
        lines.append("|---|---|---|---|---|")
        for metric in DECLARED:
            if metric.name.split("_")[1] == stage:
                labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
                kind = f"{metric.kind}, {metric.unit}"
                lines.append(f"| `{metric.name}` | {kind} | {labels} | {metric.meaning} | {metric.remedy} |")
    return "\n".join(lines) + "\n"
