"""What the figures of a run are held against: the ratios made of them, and what each should reach."""

from __future__ import annotations

from typing import Any

from benchmarks import care, explore, freshness
from logflume.model.job import FileFormat

AIMS = {
    "pipeline_ratio": (0.5, "at least"),
    "pipeline_vs_bare": (0.66, "at least"),
    "plain_ratio": (0.4, "at least"),
    "http_ratio": (0.5, "at least"),
    "tenants_ratio": (1.5, "at most"),
    "sink_memory_over_budget_bytes": (300e6, "at most"),
    "files_ratio": (0.6, "at least"),
    "find_ratio": (50, "at least"),
    "find_warm_ratio": (50, "at least"),
    "sql_ratio": (1.2, "at most"),
    "sql_local_ratio": (1.2, "at most"),
    "page_p95_seconds": (0.3, "at most"),
    "care_ratio": (2, "at most"),
} | freshness.AIMS

ASKED = {"explore": explore, "care": care, "freshness": freshness}


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """The ratios of what was measured; those of parts that did not run are left out."""
    made = {}
    rate = {
        part: found[part]["rows_per_cpu_second"] for part in ("limit", "bare", "pipeline", "plain") if part in found
    }
    if {"pipeline", "limit"} <= rate.keys():
        made["pipeline_ratio"] = rate["pipeline"] / rate["limit"]
    if {"pipeline", "bare"} <= rate.keys():
        made["pipeline_vs_bare"] = rate["pipeline"] / rate["bare"]
    if {"plain", "bare"} <= rate.keys():
        made["plain_ratio"] = rate["plain"] / rate["bare"]
    if "http" in found:
        made["http_ratio"] = found["http"]["rows_per_cpu_second"] / found["http"]["parse_rows_per_cpu_second"]
    if "files" in found:
        made["files_ratio"] = next(each["ratio"] for each in found["files"] if each["format"] == FileFormat.NDJSON_GZ)
    for name in ASKED.keys() & found.keys():
        made |= ASKED[name].ratios(found[name])
    if "tenants" in found:
        made["tenants_ratio"] = found["tenants"]["many"]["cpu_us_a_row"] / found["tenants"]["few"]["cpu_us_a_row"]
    return made


def rows(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Figure, measured, aim, and whether it is reached."""
    made = []
    for name, (aim, bound) in AIMS.items():
        if name not in found:
            continue
        value = found[name]
        good = value >= aim if bound == "at least" else value <= aim
        shown, wanted = (f"{value / 1e6:.0f} MB", f"{aim / 1e6:.0f} MB") if aim > 1e6 else (f"{value:.2f}", f"{aim}")
        made.append((name, shown, f"{bound} {wanted}", "✓" if good else "short"))
    return made
