"""``make bench``: how fast the main job is and what it costs, beside the in-process limit and the bare loop.

Every figure of a run comes from the same records, the same broker and the same object store, one part after another.
CPU seconds are user and system time of all threads; Kafka and the object store are printed beside, and not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import aims, config, http, parking, records
from benchmarks.aims import ASKED
from benchmarks.measure import ROOT, Own, child
from benchmarks.pipeline import Ran, publish, run, tenants
from benchmarks.services import Services, environment, services
from benchmarks.shown import FILE_COLUMNS, PARKING_COLUMNS, empty, file_rows, parking_rows, show
from logflume.kafka import topics
from logflume.model.job import FileFormat

BUILD = ROOT / "build" / "bench"
RESULT = ROOT / "build" / "bench.json"
PARTITIONS = 8
ROUND_SECONDS = 0.3
"""Between two rounds of the few tenants: several times what their flushes take."""

PARTS = ("limit", "bare", "pipeline", "plain", "http", "tenants", "files", "config", "parking", *ASKED)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run."""

    rows: int
    repeats: int
    """Of the limit and the bare loop, whose medians are taken."""
    many_tenants: int
    few_rounds: int
    rows_a_flush: int
    explored: tuple[int, int]
    """Files and rows of the table that is asked."""
    cared: tuple[int, int]
    """Commits and rows of the tables that are merged."""
    few_tenants: int = 10


FULL = Size(
    400_000,
    repeats=3,
    many_tenants=10_000,
    few_rounds=60,
    rows_a_flush=100,
    explored=(100, 20_000_000),
    cared=(2_000, 1_000_000),
)
QUICK = Size(
    100_000,
    repeats=1,
    many_tenants=1_000,
    few_rounds=20,
    rows_a_flush=100,
    explored=(10, 1_000_000),
    cared=(300, 150_000),
)

THROUGHPUT = {
    # Files of a minute's worth rather than of seconds: the default age suits a reader who waits.
    "sink_flush_age_seconds": 20.0,
}


def main() -> None:
    """Run everything, print the tables, write build/bench.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the rows, a tenth of the tenants")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=None)
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    wanted = set(arguments.only or PARTS)
    console = Console()
    started = time.monotonic()
    shutil.rmtree(BUILD, ignore_errors=True)
    folder = BUILD / "records"
    rows, size_bytes = records.write(folder, size.rows, 200)
    console.print(f"{rows:,} records of 200 tenants (Zipf), {size_bytes / rows:.0f} B each")
    found: dict[str, Any] = {"machine": _machine(), "rows": rows, "bytes": size_bytes, "size": asdict(size)}
    if "files" in wanted:
        found["files"] = _files(console, size)
    with services(BUILD / "services") as running:
        if "limit" in wanted:
            found["limit"] = _limit(console, folder, size)
        if wanted & {"bare", "plain"}:
            _bare_and_plain(console, running, folder, size, found, plain="plain" in wanted)
        if "pipeline" in wanted:
            settings = running.settings("pipeline", tenants(folder), **THROUGHPUT)
            ran = run(running, settings, rows, lambda: publish(settings, folder))
            found["pipeline"] = _pipeline(console, "client → sort → Delta", size_bytes, ran)
            budget = int(settings.sink_memory_bytes)
            found["sink_memory_over_budget_bytes"] = found["pipeline"]["used"]["sink"]["peak_bytes"] - budget
        if "http" in wanted:
            found["http"] = _http(console, running, folder)
        if "config" in wanted:
            found["config"] = _config(console, running, size)
        if "parking" in wanted:
            found["parking"] = _parking(console, running, size)
        if "tenants" in wanted:
            found["tenants"] = _tenants(console, running, size)
        asked = {"explore": (BUILD / "explore", *size.explored), "care": size.cared, "freshness": ()}
        for name in [each for each in ASKED if each in wanted]:
            found[name] = ASKED[name].run(running, *asked[name])
            show(console, ASKED[name].tables(found[name]))
    found |= aims.ratios(found)
    found["seconds"] = time.monotonic() - started
    RESULT.write_text(json.dumps(found, indent=2) + "\n")
    show(console, [("Against the aims", ("figure", "measured", "aim", ""), aims.rows(found))])
    console.print(f"Written to {RESULT.relative_to(ROOT)} after {found['seconds']:.0f} s.")


def _machine() -> dict[str, Any]:
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    cpu = names[0].partition(": ")[2] if names else platform.processor()
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()[0]}


# --- parts ------------------------------------------------------------------------------------------------------------


def _median(measure: Callable[[], Own], repeats: int) -> Own:
    """The run of median CPU time."""
    found = sorted((measure() for _ in range(repeats)), key=lambda own: own.cpu_seconds)
    return found[statistics.median_low(range(len(found)))]


def _limit(console: Console, folder: Path, size: Size) -> dict[str, Any]:
    own = _median(lambda: child("limit", str(folder)), size.repeats)
    table = empty("In-process limit, one core, no Kafka", "part", "CPU s", "rows per CPU s")
    for part in ("edge", "sort", "sink"):
        table.add_row(part, f"{own.more[part]:.2f}", f"{size.rows / own.more[part]:,.0f}")
    table.add_row("together", f"{own.cpu_seconds:.2f}", f"{size.rows / own.cpu_seconds:,.0f}")
    console.print(table)
    return {**asdict(own), "rows_per_cpu_second": size.rows / own.cpu_seconds}


def _bare_and_plain(
    console: Console, running: Services, folder: Path, size: Size, found: dict[str, Any], *, plain: bool
) -> None:
    """The same plain records of one topic: by sort and sink as they come in, then drained by the bare loop."""
    settings = running.settings("plain", tenants(folder), **THROUGHPUT)
    topic = topics.ingest_topic(settings, records.DATASET)
    variables = environment(settings)

    def produce() -> None:
        child("plain", str(folder), topic, environment=variables)

    if plain:
        found["plain"] = _pipeline(
            console, "plain records → sort → Delta", found["bytes"], run(running, settings, size.rows, produce)
        )
    else:
        produce()
    rows = str(size.rows)
    own = _median(lambda: child("bare", topic, str(PARTITIONS), rows, environment=variables), size.repeats)
    table = empty("Bare loop: consume, pyarrow.json, Parquet", "", "CPU s", "rows per CPU s", "peak MB")
    peak = f"{own.peak_bytes / 1e6:.0f}"
    table.add_row("one process", f"{own.cpu_seconds:.2f}", f"{size.rows / own.cpu_seconds:,.0f}", peak)
    console.print(table)
    found["bare"] = {**asdict(own), "rows_per_cpu_second": size.rows / own.cpu_seconds}


def _pipeline(console: Console, title: str, size_bytes: int, ran: Ran) -> dict[str, Any]:
    table = empty(title, "process", "CPU s", "rows per CPU s", "peak MB")
    for name, used in {**ran.used, **ran.beside}.items():
        each = f"{ran.rows / used.cpu_seconds:,.0f}" if name in ran.used else "beside"
        table.add_row(name, f"{used.cpu_seconds:.2f}", each, f"{used.peak_bytes / 1e6:.0f}")
    table.add_row("ours together", f"{ran.cpu_seconds:.2f}", f"{ran.rows_per_cpu_second:,.0f}", "")
    console.print(table)
    console.print(
        f"{ran.wall_seconds:.1f} s until at rest: {ran.rows / ran.wall_seconds:,.0f} rows/s, "
        f"{size_bytes / ran.wall_seconds / 1e6:.0f} MB/s; {ran.commits:,} flushes, {ran.files:,} files, "
        f"{ran.bytes_out / 1e6:.0f} MB"
    )
    return {
        **asdict(ran),
        "cpu_seconds": ran.cpu_seconds,
        "rows_per_cpu_second": ran.rows_per_cpu_second,
        "rows_per_second": ran.rows / ran.wall_seconds,
        "mb_per_second": size_bytes / ran.wall_seconds / 1e6,
    }


def _http(console: Console, running: Services, folder: Path) -> dict[str, Any]:
    found = http.run(running, folder)
    table = empty("NDJSON by HTTP, bodies of 1 MB, until Kafka has them", "", "CPU s", "rows per CPU s", "peak MB")
    for name, used in {**found["used"], **found["beside"]}.items():
        each = f"{found['rows'] / used['cpu_seconds']:,.0f}" if name in found["used"] else "beside"
        table.add_row(name, f"{used['cpu_seconds']:.2f}", each, f"{used['peak_bytes'] / 1e6:.0f}")
    table.add_row("pyarrow.json alone", "", f"{found['parse_rows_per_cpu_second']:,.0f}", "")
    console.print(table)
    console.print(f"{found['rows'] / found['wall_seconds']:,.0f} rows/s")
    return found


def _tenants(console: Console, running: Services, size: Size) -> dict[str, Any]:
    """Many tenants and few, at equal rows a flush: what a tenant costs beyond its rows.

    Every flush has ``rows_a_flush`` rows. Each of the many tenants has one, which makes its table too; the few have one
    in every round, with a pause between rounds in which it comes to rest.
    """
    found: dict[str, Any] = {}
    for name, count, rounds in (("few", size.few_tenants, size.few_rounds), ("many", size.many_tenants, 1)):
        folder = BUILD / name
        rows = records.write_even(folder, count, rounds, size.rows_a_flush)
        settings = running.settings(
            name, tenants(folder), sink_flush_rows=size.rows_a_flush, sink_flush_age_seconds=10, stall_seconds=600
        )
        pause = (str(count), str(ROUND_SECONDS)) if rounds > 1 else ()
        ran = run(running, settings, rows, partial(publish, settings, folder, *pause))
        found[name] = {
            **asdict(ran),
            "tenants": count,
            "cpu_us_a_row": ran.cpu_seconds / ran.rows * 1e6,
            "cpu_ms_a_flush": ran.used["sink"].cpu_seconds / max(ran.commits, 1) * 1e3,
            "rows_a_flush": ran.rows / max(ran.commits, 1),
        }
    columns = ("tenants", "rows", "flushes", "rows a flush", "CPU µs a row", "sink's CPU ms a flush")
    table = empty("Tenants, at equal rows a flush", *columns)
    for each in found.values():
        table.add_row(
            f"{each['tenants']:,}",
            f"{each['rows']:,}",
            f"{each['commits']:,}",
            f"{each['rows_a_flush']:.0f}",
            f"{each['cpu_us_a_row']:.0f}",
            f"{each['cpu_ms_a_flush']:.1f}",
        )
    console.print(table)
    return found


def _config(console: Console, running: Services, size: Size) -> dict[str, Any]:
    """Planning, applying and following the configuration of the many tenants."""
    found = config.run(running, size.many_tenants)
    title = f"Configuration of {found['tenants']:,} tenants and {found['jobs']:,} jobs"
    table = empty(title, "", "seconds", "CPU s", "CPU %", "peak MB")
    for name, each in found.items():
        if isinstance(each, dict):
            table.add_row(
                name,
                f"{each['seconds']:.1f}" if "seconds" in each else "",
                f"{each['cpu_seconds']:.1f}" if "cpu_seconds" in each else "",
                f"{each['cpu_percent']:.2f}" if "cpu_percent" in each else "",
                f"{each['peak_bytes'] / 1e6:.0f}" if "peak_bytes" in each else "",
            )
    console.print(table)
    return found


def _parking(console: Console, running: Services, size: Size) -> dict[str, Any]:
    """What parked tables cost while they wait, and a scan for all of them against one for each."""
    found = parking.run(running, BUILD / "parking", size.many_tenants)
    title = f"{found['tenants']:,} parked tables of one partition; they wait for {found['rows']:,} rows"
    show(console, ((title, *each) for each in zip(PARKING_COLUMNS, parking_rows(found), strict=True)))
    return found


def _files(console: Console, size: Size) -> list[dict[str, Any]]:
    """Each format out, beside the compressor or writer alone that it can't do without."""
    more = child("files", str(size.rows // 4)).more
    text = more["text_bytes"] / 1e6
    found = []
    for format in FileFormat:
        bare = more.get(f"{format} alone")
        each = {"format": str(format), "mb_per_second": text / more[f"{format} seconds"]}
        if bare:
            each |= {"alone_mb_per_second": text / bare, "ratio": bare / more[f"{format} seconds"]}
        found.append({**each, "times_smaller": more["text_bytes"] / more[f"{format} bytes"]})
    table = empty("Formats out, MB of NDJSON a CPU second", *FILE_COLUMNS)
    for row in file_rows(found):
        table.add_row(*row)
    console.print(table)
    return found


if __name__ == "__main__":
    main()
