"""The tables of docs/performance.md, from a run's build/bench.json: ``python -m benchmarks.page`` puts them in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.aims import AIMS
from benchmarks.bench import RESULT
from benchmarks.measure import ROOT
from benchmarks.shown import FILE_COLUMNS, file_rows

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def main() -> None:
    """Replace what stands between the marks."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n{tables(json.loads(RESULT.read_text()))}{END}{tail}")


def tables(found: dict[str, Any]) -> str:
    """What a whole run measured, as Markdown."""
    machine = found["machine"]
    return "\n".join(
        [
            f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}, "
            f"load {machine['load']:.1f} before; {found['rows']:,} records of {found['bytes'] / found['rows']:.0f} B, "
            f"{found['size']['repeats']} runs of limit and bare loop.",
            "",
            *_aims(found),
            "",
            *_processes(found),
            "",
            *_tenants(found),
            "",
            "Formats out, MB of NDJSON a CPU second, of HTTP requests with maps, arrays and odd fields:",
            "",
            *_lines(FILE_COLUMNS, file_rows(found["files"])),
            "",
        ]
    )


def _aims(found: dict[str, Any]) -> Iterable[str]:
    rows = []
    for name, (aim, bound) in AIMS.items():
        if name not in found:
            continue
        size = name.endswith("_bytes")
        measured = f"{found[name] / 1e6:.0f} MB" if size else f"{found[name]:.2f}"
        rows.append((f"`{name}`", measured, f"{bound} {aim / 1e6:.0f} MB" if size else f"{bound} {aim}"))
    return _lines(("figure", "measured", "aim"), rows)


def _processes(found: dict[str, Any]) -> Iterable[str]:
    limit, bare = found["limit"], found["bare"]
    rows = [
        ("in-process limit: " + part, limit["more"][part], found["rows"] / limit["more"][part], None)
        for part in ("edge", "sort", "sink")
    ]
    rows.append(("in-process limit, together", limit["cpu_seconds"], limit["rows_per_cpu_second"], limit["peak_bytes"]))
    rows.append(("bare loop", bare["cpu_seconds"], bare["rows_per_cpu_second"], bare["peak_bytes"]))
    for part, title in (("pipeline", "client → sort → Delta"), ("plain", "plain records → sort → Delta")):
        ran = found[part]
        for name, used in ran["used"].items():
            rows.append(
                (f"{title}: {name}", used["cpu_seconds"], ran["rows"] / used["cpu_seconds"], used["peak_bytes"])
            )
        rows.append((f"{title}, together", ran["cpu_seconds"], ran["rows_per_cpu_second"], None))
        for name, used in ran["beside"].items():
            rows.append((f"beside: {name}", used["cpu_seconds"], None, used["peak_bytes"]))
    rows += _http(found["http"]) if "http" in found else []
    yield from _lines(
        ("", "CPU s", "rows per CPU s", "peak MB"),
        [
            (name, f"{cpu:.2f}", "" if rate is None else f"{rate:,.0f}", "" if peak is None else f"{peak / 1e6:.0f}")
            for name, cpu, rate, peak in rows
        ],
    )
    yield ""
    for part, title in (("pipeline", "client → sort → Delta"), ("plain", "plain records → sort → Delta")):
        ran = found[part]
        yield (
            f"{title}: {ran['rows_per_second']:,.0f} rows/s and {ran['mb_per_second']:.0f} MB/s until at rest, with "
            f"Kafka and the store on the same cores; {ran['commits']:,} flushes, {ran['files']:,} files, "
            f"{ran['bytes_out'] / 1e6:.0f} MB.  "
        )


def _http(ran: dict[str, Any]) -> list[tuple[str, float, float | None, int | None]]:
    alone = ran["parse_rows_per_cpu_second"]
    rows: list[tuple[str, float, float | None, int | None]] = [
        ("HTTP, 1 MB bodies: pyarrow.json alone", ran["rows"] / alone, alone, None)
    ]
    for name, used in ran["used"].items():
        rows.append((f"HTTP, 1 MB bodies: {name}", used["cpu_seconds"], ran["rows_per_cpu_second"], used["peak_bytes"]))
    for name, used in ran["beside"].items():
        rows.append((f"beside: {name}", used["cpu_seconds"], None, used["peak_bytes"]))
    return rows


def _tenants(found: dict[str, Any]) -> Iterable[str]:
    rows = [
        (
            f"{each['tenants']:,}",
            f"{each['rows']:,}",
            f"{each['commits']:,}",
            f"{each['rows_a_flush']:.0f}",
            f"{each['cpu_us_a_row']:.0f}",
            f"{each['cpu_ms_a_flush']:.1f}",
        )
        for each in found["tenants"].values()
    ]
    return _lines(("tenants", "rows", "flushes", "rows a flush", "CPU µs a row", "sink's CPU ms a flush"), rows)


def _lines(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


if __name__ == "__main__":
    main()
