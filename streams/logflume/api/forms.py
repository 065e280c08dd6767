"""The forms of an answer: which one a request accepts, and rows written in it as they come."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from starlette.responses import Response

from logflume.api.problem import Problem
from logflume.explore.plain import distinct, harmless, values

_OPTIONS: Final = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


class Writer(Protocol):
    """Writes one answer. Each call returns the bytes that are ready."""

    def begin(self, schema: pa.Schema) -> bytes:
        """What stands before the rows."""
        ...

    def rows(self, batch: pa.RecordBatch) -> bytes:
        """Some rows."""
        ...

    def end(self, about: dict[str, Any]) -> bytes:
        """What stands behind them; ``about`` the query, where the form has a place for it."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """A form of answers, by media type."""

    media: str
    writer: Callable[[], Writer]


def records(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield each row as an object."""
    for row in zip(*(values(column) for column in batch.columns), strict=True):
        yield dict(zip(names, row, strict=True))


def text(value: Any) -> bytes:
    """Return a value as JSON."""
    return orjson.dumps(value, default=_other, option=_OPTIONS)


def response(content: Any) -> Response:
    """Return an answer that is one object of JSON."""
    return Response(text(content), media_type=JSON.media, headers={"Cache-Control": "no-store"})


def _other(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value)


class _Json:
    """One object: ``columns``, ``rows``, and behind them what is known when all are read."""

    def begin(self, schema: pa.Schema) -> bytes:
        self._names = distinct(schema.names)
        self._comma = b""
        columns = [{"name": name, "type": str(f.type)} for name, f in zip(self._names, schema, strict=True)]
        return b'{"columns":' + text(columns) + b',"rows":['

    def rows(self, batch: pa.RecordBatch) -> bytes:
        lines = b",\n".join(text(record) for record in records(batch, self._names))
        comma, self._comma = self._comma, b",\n"
        return comma + lines

    def end(self, about: dict[str, Any]) -> bytes:
        return b"]," + text(about)[1:]


class _Ndjson:
    """A row a line."""

    def begin(self, schema: pa.Schema) -> bytes:
        self._names = distinct(schema.names)
        return b""

    def rows(self, batch: pa.RecordBatch) -> bytes:
        return b"".join(text(record) + b"\n" for record in records(batch, self._names))

    def end(self, about: dict[str, Any]) -> bytes:
        return b""


class _Csv:
    """A head and a line a row; text that a spreadsheet would run gets an apostrophe before it."""

    def begin(self, schema: pa.Schema) -> bytes:
        return self._written([distinct(schema.names)])

    def rows(self, batch: pa.RecordBatch) -> bytes:
        columns = [[_cell(value) for value in values(column)] for column in batch.columns]
        return self._written(zip(*columns, strict=True))

    def end(self, about: dict[str, Any]) -> bytes:
        return b""

    @staticmethod
    def _written(rows: Any) -> bytes:
        file = io.StringIO()
        csv.writer(file, lineterminator="\n").writerows(rows)
        return file.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return harmless(value)
    spelt = text(value).decode()
    return spelt[1:-1] if spelt.startswith('"') else spelt


class _Sink:
    """A file that gives back what was written to it since."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Take bytes."""
        part = bytes(data)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._size

    def flush(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def taken(self) -> bytes:
        """Return what came since the last call."""
        found = b"".join(self._parts)
        self._parts.clear()
        return found


class _Arrow:
    """Arrow's IPC stream."""

    def begin(self, schema: pa.Schema) -> bytes:
        self._file = _Sink()
        self._to = pa.ipc.new_stream(pa.PythonFile(self._file, mode="w"), schema)
        return self._file.taken()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        self._to.write_batch(batch)
        return self._file.taken()

    def end(self, about: dict[str, Any]) -> bytes:
        self._to.close()
        return self._file.taken()


class _Parquet:
    """One Parquet file, a row group some batches."""

    def begin(self, schema: pa.Schema) -> bytes:
        self._file = _Sink()
        self._to = pq.ParquetWriter(pa.PythonFile(self._file, mode="w"), schema, compression="zstd")
        return self._file.taken()

    def rows(self, batch: pa.RecordBatch) -> bytes:
        self._to.write_batch(batch)
        return self._file.taken()

    def end(self, about: dict[str, Any]) -> bytes:
        self._to.close()
        return self._file.taken()


JSON: Final = Form("application/json", _Json)
FORMS: Final = {
    form.media: form
    for form in (
        JSON,
        Form("application/x-ndjson", _Ndjson),
        Form("text/csv", _Csv),
        Form("application/vnd.apache.arrow.stream", _Arrow),
        Form("application/vnd.apache.parquet", _Parquet),
    )
}

FILES: Final = frozenset(FORMS) - {JSON.media, "application/x-ndjson"}
"""Those that somebody takes away."""


def accepted(header: str) -> Form:
    """Return the form that an ``Accept`` header likes best; JSON when it says nothing or anything. 406 for others."""
    best: tuple[float, int, Form] | None = None
    for at, part in enumerate(header.split(",")):
        media, *parameters = (piece.strip() for piece in part.lower().split(";"))
        form = JSON if media in ("", "*/*", "application/*", "application/ndjson") else FORMS.get(media)
        if media == "application/ndjson":
            form = FORMS["application/x-ndjson"]
        weight = next((_weight(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
        if form is not None and weight > 0 and (best is None or (weight, -at) > best[:2]):
            best = (weight, -at, form)
    if best is None:
        raise Problem(406, "not-acceptable", f"answers come as {', '.join(FORMS)}, not as {header[:200]!r}")
    return best[2]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
