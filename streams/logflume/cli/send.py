"""``logflume send FILE``: a file of records through ``edge.Client``; what can't be read is told, and stops nothing."""

from __future__ import annotations

import gzip
import io
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn, cast

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from logflume import contract, model
from logflume.cli.listing import AsJson, json_text, printable
from logflume.clock import SystemClock
from logflume.config.directory import DirectorySource
from logflume.config.follow import Follower
from logflume.edge import BadRecord, Client
from logflume.edge.tables import as_lines
from logflume.errors import LogflumeError, Misconfigured, Poison
from logflume.formats import avro, csv
from logflume.formats.pieces import pieces
from logflume.model import Configuration
from logflume.settings import Settings

_CHUNK_BYTES = 1 << 20
_BATCH_ROWS = 20_000
_SHOWN = 20
_EXCERPT = 100
_PATIENCE_SECONDS = 5.0


class Format(StrEnum):
    """How FILE holds its records."""

    JSON = "json"
    NDJSON = "ndjson"
    COMBINED = "combined"
    CSV = "csv"
    AVRO = "avro"
    PARQUET = "parquet"


@dataclass
class Tally:
    """What became of a file's records; ``add`` is called from the client's thread."""

    bad: int = 0
    shown: list[BadRecord] = field(default_factory=list)

    def add(self, record: BadRecord) -> None:
        """Count a bad record, and keep the first ones to show."""
        self.bad += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(record)


def command(
    file: Annotated[Path, typer.Argument(help="The file; gzip is recognised. `-` is standard input.", allow_dash=True)],
    tenant: Annotated[str, typer.Option(help="Whose records they are.")],
    dataset: Annotated[str, typer.Option(help="Which dataset they belong to, such as http_requests.")],
    format: Annotated[
        Format,
        typer.Option(
            help="json: one document, an object or an array of them; ndjson: an object a line; "
            "combined: an Apache or nginx access log; csv: with a header; avro: an object container file; parquet."
        ),
    ] = Format.NDJSON,
    delimiter: Annotated[str, typer.Option(help="Between the values of CSV; `\\t` is a tab.")] = ",",
    as_json: AsJson = False,
) -> None:
    """Send a file of records; return when Kafka holds them all.

    Bad lines (of csv, avro and parquet: rows) are counted and the first 20 shown with their number; they go to the dead
    letters, the others are sent.
    Exit code 0: every record was good; 1: some were bad (the good ones are sent), or Kafka did not take them in time.
    """
    delimiter = delimiter.replace("\\t", "\t")
    if len(delimiter) != 1:
        raise Misconfigured(f"--delimiter is one character, not {delimiter!r}")
    settings = Settings()
    tally = Tally()
    started = time.monotonic()
    rows = 0
    with Client(settings, on_bad=tally.add) as client:
        _warn_unless_wanted(settings, tenant, dataset)
        with _opened(file) as source, _progress(quiet=as_json) as progress:
            task = progress.add_task(file.name, total=source.size)
            to = _To(client, tenant, dataset, delimiter)
            for sent in to.send(source, format):
                rows += sent
                progress.update(task, completed=source.position())
    seconds = time.monotonic() - started
    _report(rows, tally, seconds, as_json=as_json)
    if tally.bad:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _To:
    """Whose records they are, and the client that takes them."""

    client: Client
    tenant: str
    dataset: str
    delimiter: str

    def send(self, source: _Source, format: Format) -> Iterator[int]:
        """Hand the file over piece by piece; yields the records of each."""
        if format is Format.PARQUET:
            yield from self._rows(source)
            return
        take = self.client.log_combined if format is Format.COMBINED else self.client.log_ndjson
        for first, data in self._lines(source, format):
            yield take(self.tenant, self.dataset, data, first_line=first).rows

    def _lines(self, source: _Source, format: Format) -> Iterator[tuple[int, bytes]]:
        if format is Format.CSV:
            dataset = self.client.datasets.named(self.dataset)
            return pieces(csv.records(source.unpacked(), dataset, self.delimiter))
        if format is Format.AVRO:
            return pieces(avro.records(source.unpacked()))
        return _pieces(source, format)

    def _rows(self, source: _Source) -> Iterator[int]:
        first = 1
        try:
            for batch in pq.ParquetFile(source.seekable()).iter_batches(_BATCH_ROWS):
                try:
                    yield self.client.log_table(self.tenant, self.dataset, batch).rows
                except Poison:  # one by one, so that a bad row costs only itself
                    lines = as_lines(batch)
                    yield self.client.log_ndjson(self.tenant, self.dataset, lines, first_line=first).rows
                first += batch.num_rows
        except (pa.ArrowException, OSError) as failure:
            raise Poison("torn-file", f"the Parquet file can't be read past row {first - 1}: {failure}") from failure


def _report(rows: int, tally: Tally, seconds: float, *, as_json: bool) -> None:
    bad = sorted(tally.shown, key=lambda record: record.line or 0)
    if as_json:
        lines = [{"line": b.line, "reason": b.reason, "detail": b.detail, "text": _excerpt(b.raw)} for b in bad]
        summary = {"sent": rows - tally.bad, "bad": tally.bad, "seconds": round(seconds, 3), "bad_lines": lines}
        print(json_text(summary))
        return
    for record in bad:
        print(
            f"line {record.line}: {record.reason}: {printable(record.detail)}: {_excerpt(record.raw)}", file=sys.stderr
        )
    if tally.bad > len(bad):
        print(f"… and {tally.bad - len(bad):,} more; `logflume deadletter list` has them all", file=sys.stderr)
    bad_text = f", {tally.bad:,} bad ones to the dead letters" if tally.bad else ""
    print(
        f"{rows - tally.bad:,} records sent{bad_text}, in {seconds:.1f} s ({rows / max(seconds, 1e-3):,.0f} a second)"
    )


def _excerpt(raw: bytes) -> str:
    """The beginning of a record, safe to print on a terminal."""
    text = raw[:_EXCERPT].decode("utf-8", "backslashreplace")
    return printable(text) + ("…" if len(raw) > _EXCERPT else "")


# --- reading ----------------------------------------------------------------------------------------------------------


class _Source:
    """An open file: what is in it, unpacked, and how far the file itself has been read."""

    def __init__(self, file: BinaryIO, size: int | None) -> None:
        self.size = size
        self._file = file
        packed = file.peek(2)[:2] == b"\x1f\x8b" if hasattr(file, "peek") else False
        self._data = cast("BinaryIO", gzip.GzipFile(fileobj=file)) if packed else file

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def position(self) -> int:
        """Bytes read of the file as it lies there."""
        return self._file.tell() if self.size is not None else 0

    def unpacked(self) -> BinaryIO:
        """The content, to be read once from its beginning."""
        return self._data

    def seekable(self) -> BinaryIO:
        """The file as it lies there; all of it in memory when it can't be sought in, as standard input can't."""
        return self._file if self._file.seekable() else io.BytesIO(self._data.read())

    def chunks(self) -> Iterator[bytes]:
        """The content, a piece after the other."""
        try:
            while chunk := self._data.read(_CHUNK_BYTES):
                yield chunk
        except (EOFError, OSError, gzip.BadGzipFile) as failure:
            raise Poison("torn-file", f"the file can't be read to its end: {failure}") from failure


def _opened(path: Path) -> _Source:
    if str(path) == "-":
        return _Source(sys.stdin.buffer, None)
    try:
        return _Source(path.open("rb"), path.stat().st_size)
    except OSError as failure:
        raise Misconfigured(f"{path}: {failure.strerror}") from failure


def _pieces(source: _Source, format: Format) -> Iterator[tuple[int, bytes]]:
    """Give the number of a piece's first line, and its whole lines; the elements of a JSON array count as lines."""
    if format is Format.JSON:
        yield 1, _as_lines(b"".join(source.chunks()))
        return
    first = 1
    rest = [b""]
    for chunk in source.chunks():
        end = chunk.rfind(b"\n") + 1
        if not end:
            rest.append(chunk)
            continue
        lines = b"".join([*rest, chunk[:end]])
        rest = [chunk[end:]]
        yield first, lines
        first += lines.count(b"\n")
    if last := b"".join(rest):
        yield first, last


def _as_lines(document: bytes) -> bytes:
    """One JSON document as NDJSON. Python's own parser: it keeps integers of any size."""
    try:
        content = json.loads(document, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as failure:
        raise Poison("not-json", f"the file is not one JSON document: {failure}; is it --format ndjson?") from failure
    records: list[Any] = content if isinstance(content, list) else [content]
    return b"".join(json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _progress(*, quiet: bool) -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)


def _warn_unless_wanted(settings: Settings, tenant: str, dataset: str) -> None:
    """A mistyped tenant is accepted by Kafka all the same, and its rows are then wanted by nobody."""
    try:
        configuration = _configuration(settings)
    except LogflumeError as error:  # the sinks' trouble, not this command's
        print(f"warning: {error}", file=sys.stderr)
        return
    if not configuration.wants(tenant, dataset):
        here = f"file in {settings.tenants_dir}" if settings.tenants_dir else "configuration in force"
        print(f"warning: no {here} wants {dataset} of {tenant}; a sink would not store it", file=sys.stderr)


def _configuration(settings: Settings) -> Configuration:
    if settings.tenants_dir:
        return DirectorySource(Path(settings.tenants_dir), model.load(contract.find(settings.topics_dir))).current()
    with Follower(settings, SystemClock()) as follower:
        return follower.wait(_PATIENCE_SECONDS)
