"""How far a long query is, on stderr while people wait: only on a terminal, only after a second, gone at its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

import pyarrow as pa
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner

from logflume.cli.answer import megabytes
from logflume.explore.answers import Seen

AFTER_SECONDS = 1.0
_A_SECOND = 4  # times it is drawn


class Progress:
    """``with Progress(explorer.seen) as progress:`` ask, and read ``progress.until_read(batches)``.

    It is gone when they are read, before anything is printed, and at the end of the block.
    """

    def __init__(
        self, seen: Callable[[], Seen | None], *, console: Console | None = None, after_seconds: float = AFTER_SECONDS
    ) -> None:
        self._seen = seen
        self._console = console or Console(stderr=True)
        self._begun = time.monotonic()
        self._spinner = Spinner("dots")
        self._lock = threading.Lock()
        self._over = False
        self._live: Live | None = None
        self._timer = threading.Timer(after_seconds, self._show)
        self._timer.daemon = True

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def until_read(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Hand batches on; behind the last one it is gone."""
        yield from batches
        self.stop()

    def stop(self) -> None:
        """Be gone. More than once does no harm."""
        self._timer.cancel()
        with self._lock:
            self._over = True
            live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _show(self) -> None:
        with self._lock:
            if self._over:
                return
            self._live = Live(
                console=self._console,
                get_renderable=self._line,
                refresh_per_second=_A_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def _line(self) -> Spinner:
        seconds = f"{time.monotonic() - self._begun:.0f} s"
        seen = self._seen()
        if seen is None:
            self._spinner.update(text=f"waiting, {seconds}")
            return self._spinner
        scanned = seen.scanned
        self._spinner.update(
            text=f"{seconds}: {scanned.files:,} of {scanned.of_files:,} files, "
            f"{megabytes(scanned.bytes)} of {megabytes(scanned.of_bytes)}, {seen.rows:,} rows"
        )
        return self._spinner
