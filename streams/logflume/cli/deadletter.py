"""``logflume deadletter``: what could not be read, why, and where it came from."""

from __future__ import annotations

import base64
import sys
from collections import deque
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from logflume.cli.listing import AsJson, json_text, printable, show
from logflume.kafka.deadletters.filed import Filed, Selection, read_all, read_one
from logflume.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Records and messages that could not be read.")

_COLUMNS = (
    "at",
    "time",
    "reason",
    "stage",
    "tenant",
    "dataset",
    "topic",
    "partition",
    "offset",
    "row",
    "bytes",
    "detail",
)


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset's.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only those with this reason, such as not-json.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest of those kept.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first; `at` is what `show` wants. Partition, offset and row are where it came in."""
    # Partitions come one after the other, so the newest of each are kept, and of those the newest.
    newest: dict[int, deque[dict[str, Any]]] = {}
    for filed in read_all(Settings(), Selection(tenant, dataset, reason)):
        newest.setdefault(filed.partition, deque(maxlen=limit)).append(_row(filed))
    rows = sorted((row for kept in newest.values() for row in kept), key=lambda row: row["time"])[-limit:]
    show(rows, _COLUMNS, as_json=as_json, empty="no dead letters")


@app.command("show")
def show_(
    at: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `deadletter list` gives it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Write the original bytes, and nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter whole: its coordinates, its headers, its original bytes."""
    partition, _, offset = at.partition(":")
    if not (partition.isdigit() and offset.isdigit()):
        raise typer.BadParameter("PARTITION:OFFSET is wanted, such as 2:17")
    filed = read_one(Settings(), int(partition), int(offset))
    letter = filed.letter
    if raw:
        sys.stdout.buffer.write(letter.raw)
        return
    row = _row(filed) | {
        "topic_id": letter.topic_id,
        "edge": letter.edge,
        "key": _text(letter.key),
        "headers": {name: _text(value) for name, value in letter.headers},
    }
    if as_json:
        content = {"text": _text(letter.raw), "base64": base64.b64encode(letter.raw).decode()}
        print(json_text(row | content))
        return
    for name, value in row.items():
        if value not in (None, "", {}):
            print(f"{name + ':':<11}{printable(str(value))}")
    print()
    print(printable(letter.raw.decode("utf-8", "backslashreplace"), keep="\n\t"))


def _row(filed: Filed) -> dict[str, Any]:
    letter = filed.letter
    time = datetime.fromtimestamp(filed.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "at": filed.address,
        "time": time,
        "reason": letter.reason,
        "stage": letter.stage,
        "tenant": letter.tenant,
        "dataset": letter.dataset,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "row": letter.row,
        "bytes": len(letter.raw),
        "detail": letter.detail,
    }


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
