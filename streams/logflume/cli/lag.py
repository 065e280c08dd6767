"""``logflume lag``: how far the sort and sink groups are behind."""

from __future__ import annotations

from dataclasses import asdict

from logflume.cli.listing import AsJson, show
from logflume.kafka import groups
from logflume.settings import Settings


def command(as_json: AsJson = False) -> None:
    """Show group, topic, partition, committed offset, end and lag; people are shown only partitions with records."""
    rows = [asdict(row) for row in groups.lag(Settings())]
    if not as_json:
        rows = [row for row in rows if row["end"]]
    columns = ["group", "topic", "partition", "offset", "end", "lag"]
    if as_json or any(row["lost"] for row in rows):
        columns.append("lost")
    show(rows, columns, as_json=as_json, empty="no topic has records yet")
