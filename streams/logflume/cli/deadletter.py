"""``logflume deadletter``: what could not be read, why, and where it came from; and back to where it came from."""

from __future__ import annotations

import base64
import contextlib
import sys
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer

from logflume.cli.listing import AsJson, json_text, printable, show
from logflume.cli.when import milliseconds
from logflume.clock import SystemClock
from logflume.errors import Refused
from logflume.kafka import client, rights
from logflume.kafka.deadletters.filed import Filed, Selection, read_all, read_one
from logflume.kafka.deadletters.original import Correction
from logflume.kafka.deadletters.putting import put_back
from logflume.kafka.deadletters.replay import Outcome
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
    "replayed",
    "detail",
)

_Tenant = Annotated[str | None, typer.Option(help="Only this tenant's.")]
_Dataset = Annotated[str | None, typer.Option(help="Only this dataset's.")]
_Reason = Annotated[str | None, typer.Option(help="Only those with this reason, such as not-json.")]
_Stage = Annotated[str | None, typer.Option(help="Only those that this stage wrote: edge, sort or sink.")]
_Since = Annotated[str | None, typer.Option(help="Only those written since: 90s, 15m, 2h, 3d ago, or ISO 8601 (UTC).")]
_Until = Annotated[str | None, typer.Option(help="Only those written before, likewise.")]


@app.command("list")
def list_(
    tenant: _Tenant = None,
    dataset: _Dataset = None,
    reason: _Reason = None,
    stage: _Stage = None,
    since: _Since = None,
    until: _Until = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest of those kept.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first; `at` is what `show` wants. Partition, offset and row are where it came in.

    `replayed`: whether it was put back by `deadletter replay` (since `--since`).
    """
    selection = _selection(tenant, dataset, reason, stage, since, until)
    # Partitions come one after the other, so the newest of each are kept, and of those the newest.
    newest: dict[int, deque[dict[str, Any]]] = {}
    for filed in read_all(_reached(), selection, bodies=False):
        newest.setdefault(filed.partition, deque(maxlen=limit)).append(_row(filed))
    rows = sorted((row for kept in newest.values() for row in kept), key=lambda row: row["time"])[-limit:]
    show(rows, _COLUMNS, as_json=as_json, empty="no dead letters")


@app.command("show")
def show_(
    at: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET[:NUMBER]", help="As `deadletter list` gives it.")],
    raw: Annotated[bool, typer.Option("--raw", help="Write the original bytes, and nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter whole: its coordinates, its headers, its original bytes."""
    numbers = at.split(":")
    if not (len(numbers) in (2, 3) and all(each.isascii() and each.isdigit() and len(each) < 19 for each in numbers)):
        raise typer.BadParameter("PARTITION:OFFSET or PARTITION:OFFSET:NUMBER is wanted, such as 2:17")
    filed = read_one(_reached(), *(int(each) for each in numbers))
    letter = filed.letter
    if raw:
        sys.stdout.buffer.write(letter.raw)
        return
    row = _row(filed) | _more(filed) | {"key": _text(letter.key)}
    headers = {name: _text(value) for name, value in letter.headers}
    if as_json:
        content = {"text": _text(letter.raw), "base64": base64.b64encode(letter.raw).decode()}
        print(json_text(row | {"headers": headers} | content))
        return
    for name, value in (row | {"headers": headers}).items():
        if value not in (None, "", {}):
            print(f"{name + ':':<11}{printable(str(value))}")
    print()
    print(printable(letter.raw.decode("utf-8", "backslashreplace"), keep="\n\t"))


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="A new file; `-` is standard output.", allow_dash=True)],
    tenant: _Tenant = None,
    dataset: _Dataset = None,
    reason: _Reason = None,
    stage: _Stage = None,
    since: _Since = None,
    until: _Until = None,
    raw: Annotated[bool, typer.Option("--raw", help="The original records alone, each with a line's end.")] = False,
) -> None:
    """Write dead letters to a file, a JSON object a line: all that is known of each, and its original bytes.

    `raw`, `key` and the values of `headers` are text, or `{"base64": …}` where they are not UTF-8.
    """
    selection = _selection(tenant, dataset, reason, stage, since, until)
    count = 0
    with _output(file) as out:
        for count, filed in enumerate(read_all(_reached(), selection), start=1):  # noqa: B007
            if raw:
                out.write(filed.letter.raw)
                out.write(b"" if filed.letter.raw.endswith(b"\n") else b"\n")
            else:
                out.write(json_text(_exported(filed), indent=False).encode("utf-8", "backslashreplace") + b"\n")
    print(f"{count:,} dead letters", file=sys.stderr)


@app.command("replay")
def replay(
    tenant: _Tenant = None,
    dataset: _Dataset = None,
    reason: _Reason = None,
    stage: _Stage = None,
    since: _Since = None,
    until: _Until = None,
    to_tenant: Annotated[str | None, typer.Option(help="Put them back as this tenant's.")] = None,
    to_dataset: Annotated[str | None, typer.Option(help="Put them back into this dataset.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be put back.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put the originals of dead letters back on their ingest topics, each at most once, however often this is run.

    What can't be read again becomes a new dead letter, which may be replayed in turn.
    """
    settings = _reached()
    rights.require(settings, "deadletter")
    selection = _selection(tenant, dataset, reason, stage, since, until)
    correction = Correction(to_tenant, to_dataset)
    if dry_run or not yes:
        outcome = put_back(settings, selection, correction, dry_run=True)
        if dry_run:
            _report(outcome, "would be put back", as_json=as_json)
            return
        _report(outcome, "are to be put back", as_json=False, err=True)
        if not outcome.letters or not typer.confirm("Put them back?", err=True):
            raise typer.Exit(0 if not outcome.letters else 1)
    _report(put_back(settings, selection, correction), "put back", as_json=as_json)


def _reached() -> Settings:
    settings = Settings()
    client.reach(settings)
    return settings


def _report(outcome: Outcome, done: str, *, as_json: bool, err: bool = False) -> None:
    if as_json:
        found = {"letters": outcome.letters, "records": outcome.records, "already": outcome.already}
        print(json_text(found | {"stay": dict(outcome.stay)}))
        return
    out = sys.stderr if err else sys.stdout
    print(f"{outcome.letters:,} dead letters ({outcome.records:,} records) {done}", file=out)
    if outcome.already:
        print(f"{outcome.already:,} were put back before", file=out)
    for why, count in outcome.stay.most_common():
        print(f"{count:,} stay: {printable(why)}", file=out)


def _selection(
    tenant: str | None, dataset: str | None, reason: str | None, stage: str | None, since: str | None, until: str | None
) -> Selection:
    now_ns = SystemClock().now_ns()
    return Selection(tenant, dataset, reason, stage, milliseconds(since, now_ns), milliseconds(until, now_ns))


@contextlib.contextmanager
def _output(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        with file.open("xb") as out:
            yield out
    except FileExistsError:
        raise Refused(f"{file} is there already; name another file, or remove it") from None


def _row(filed: Filed) -> dict[str, Any]:
    letter = filed.letter
    when = datetime.fromtimestamp(filed.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return {
        "at": filed.address,
        "time": when,
        "reason": letter.reason,
        "stage": letter.stage,
        "tenant": letter.tenant,
        "dataset": letter.dataset,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "row": letter.row,
        "bytes": filed.size,
        "replayed": filed.replayed,
        "detail": letter.detail,
    }


def _more(filed: Filed) -> dict[str, Any]:
    letter = filed.letter
    return {"id": filed.id, "topic_id": letter.topic_id, "edge": letter.edge, "replay_of": letter.replay_of}


def _exported(filed: Filed) -> dict[str, Any]:
    letter = filed.letter
    bytes_ = {
        "key": _exactly(letter.key),
        "headers": [[name, _exactly(value)] for name, value in letter.headers],
        "raw": _exactly(letter.raw),
    }
    return _row(filed) | _more(filed) | bytes_


def _exactly(value: bytes | None) -> str | dict[Literal["base64"], str] | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
