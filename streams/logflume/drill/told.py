"""A report told in text: on a terminal with colours, and as a section of docs/drills.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from logflume.drill.chart import draw
from logflume.drill.report import Report


def on(console: Console, report: Report) -> None:
    """Print the charts, the findings and the verdict."""
    console.print()
    for line in draw(report):
        console.print(_coloured(line), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    for name in ("what", "promised", "found"):
        table.add_column(name, justify="right" if name == "found" else "left", overflow="fold")
    for finding in report.verdict.findings:
        mark = Text("✓", "green") if finding.ok else Text("✗", "bold red")
        found = Text(finding.found, "" if finding.ok else "bold red")
        table.add_row(mark, Text(finding.name), Text(finding.promised), found)
    console.print(table)
    counts = ", ".join(f"{name} {count:,}" for name, count in report.counts.items())
    console.print(Text(counts, "dim"), soft_wrap=True)
    if report.examples:
        console.print(Text(report.examples, "red"))
    if report.ok:
        console.print(f"[green]{report.drill} passed[/green]: every promise was kept.")
    else:
        failed = sum(not finding.ok for finding in report.verdict.findings)
        console.print(f"[bold red]{report.drill} failed[/bold red]: {failed} promises were not kept.")


def _coloured(line: str) -> Text:
    text = Text(line)
    text.highlight_regex("▓+", "red")
    text.highlight_regex("░+", "blue")
    text.highlight_regex("[▁▂▃▄▅▆▇█]+", "cyan")
    text.highlight_regex("·", "dim")
    return text


def page(reports: Iterable[Report]) -> str:
    """Return docs/drills.md's generated part: a table of all, then a section a drill."""
    every = list(reports)
    lines = ["| drill | verdict | harm | recovered after | records acknowledged |", "|---|---|---:|---:|---:|"]
    for report in every:
        after = "–" if report.recovered is None else f"{report.recovered - report.repaired:.0f} s"
        word = "passed" if report.ok else "**failed**"
        acknowledged = f"{report.counts.get('acknowledged', 0):,}"
        harm = f"{report.repaired - report.harmed:.0f} s"
        lines.append(f"| [{report.drill}](#{report.drill}) | {word} | {harm} | {after} | {acknowledged} |")
    return "\n".join([*lines, *(line for report in every for line in _section(report)), ""])


def _section(report: Report) -> Iterator[str]:
    yield from ("", f"## {report.drill}", "", report.what, "")
    yield f"`{report.command}`, {report.started}, {report.machine}. **{'Passed' if report.ok else 'Failed'}.**"
    yield from ("", "| at | what was done |", "|---:|---|")
    for event in report.events:
        yield f"| {event.at:.0f} s | {_cell(event.what)} |"
    yield from ("", "| | promised | found | |", "|---|---|---:|---|")
    for finding in report.verdict.findings:
        mark = "✓" if finding.ok else "✗"
        yield f"| {_cell(finding.name)} | {_cell(finding.promised)} | {_cell(finding.found)} | {mark} |"
    yield ""
    yield ", ".join(f"{name}: {count:,}" for name, count in report.counts.items())
    yield from ("", "```text", *(line.rstrip() for line in draw(report)), "```")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
