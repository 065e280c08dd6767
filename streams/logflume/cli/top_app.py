"""The terminal view of a pipeline: one look after the other, in lists that can be sorted and opened."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Static
from textual.worker import get_current_worker

from logflume.cli.listing import printable
from logflume.cli.top_rows import STAGE_COLUMNS, VIEWS, History, Row, View, ordered, stages
from logflume.errors import LogflumeError
from logflume.kafka.status import Level
from logflume.watch.causes import Limits
from logflume.watch.look import Look

_WAIT_SECONDS = 0.1


class Opened(ModalScreen[None]):
    """A row with everything that is known of it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "Back")]

    def __init__(self, row: Row) -> None:
        super().__init__()
        self._row = row

    def compose(self) -> ComposeResult:
        """A line for each value."""
        with VerticalScroll(id="opened"):
            yield Static(_details(self._row))
        yield Footer()


class Top(App[None]):
    """See the module. ``look`` is called by a thread of its own, again and again."""

    CSS = """
    #said { height: auto; padding: 0 1; }
    #stages { height: 5; }
    #title { height: 1; padding: 0 1; text-style: bold; }
    #rows { height: 1fr; }
    #opened { margin: 2 4; border: round $primary; background: $surface; padding: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"view({number})", view.name.capitalize()) for number, view in enumerate(VIEWS, 1)),
        Binding("s", "sort", "Sort by the next column"),
        Binding("r", "reverse", "Reverse"),
        Binding("escape", "out", "Back"),
        Binding("p", "pause", "Pause"),
        Binding("q", "quit", "Quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, look: Callable[[], Look], limits: Limits, every_seconds: float) -> None:
        super().__init__()
        self._look = look
        self._every_seconds = every_seconds
        self._history = History(limits)
        self._seen: Look | None = None
        self._trouble = ""
        self._paused = False
        self._view = VIEWS[0]
        self._order: dict[str, tuple[str, bool]] = {view.name: (view.order, True) for view in VIEWS}
        self._only: Mapping[str, Any] = {}
        """What a list is narrowed to, by column: a group's topic that was opened."""
        self._shown: list[Row] = []

    def compose(self) -> ComposeResult:
        """What is said on top, the stages, and a list."""
        yield Static("looking at Kafka …", id="said")
        yield DataTable(id="stages", cursor_type="none", show_cursor=False)
        yield Static(id="title")
        yield DataTable(id="rows", cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one("#stages", DataTable).can_focus = False
        self.query_one("#rows", DataTable).focus()
        self._watch()

    @work(thread=True, exclusive=True)
    def _watch(self) -> None:
        worker = get_current_worker()
        while not worker.is_cancelled:
            began = time.monotonic()
            if not self._paused:
                try:
                    seen, trouble = self._look(), ""
                except LogflumeError as error:
                    seen, trouble = None, str(error)
                if not worker.is_cancelled:
                    self.call_from_thread(self._take, seen, trouble)
            while not worker.is_cancelled and time.monotonic() < began + self._every_seconds:
                time.sleep(_WAIT_SECONDS)

    def _take(self, seen: Look | None, trouble: str) -> None:
        if not self.query("#said"):
            return  # it is about to end
        self._trouble = trouble
        if seen is not None:
            self._seen = seen
            self._history.take(seen)
        self._show()

    # --- keys ---------------------------------------------------------------------------------------------------------

    def action_view(self, number: int) -> None:
        """Another list."""
        self._view, self._only = VIEWS[number - 1], {}
        self._show()

    def action_sort(self) -> None:
        """By the column after the one that it is sorted by."""
        column, descending = self._order[self._view.name]
        columns = self._view.columns
        self._order[self._view.name] = columns[(columns.index(column) + 1) % len(columns)], descending
        self._show()

    def action_reverse(self) -> None:
        """The other way round."""
        column, descending = self._order[self._view.name]
        self._order[self._view.name] = column, not descending
        self._show()

    def action_out(self) -> None:
        """From a group's partitions to the groups."""
        if self._only:
            self.action_view(1)

    def action_pause(self) -> None:
        """Look no more, or again."""
        self._paused = not self._paused
        self._show()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """A group opens to its partitions, anything else to all that is known of it."""
        row = next((row for row in self._shown if row["key"] == event.row_key.value), None)
        if row is None:
            return
        if self._view.name == "groups":
            self._view, self._only = VIEWS[1], {"group": row["group"], "topic": row["topic"]}
            self._show()
        else:
            self.push_screen(Opened(row))

    # --- showing ------------------------------------------------------------------------------------------------------

    def _show(self) -> None:
        self.query_one("#said", Static).update(self._said())
        if self._seen is None:
            return
        _fill(self.query_one("#stages", DataTable), STAGE_COLUMNS, stages(self._seen, self._history), "")
        rows = [row for row in self._view.rows(self._seen, self._history) if self._wanted(row)]
        column, descending = self._order[self._view.name]
        self._shown = ordered(rows, column, descending=descending)
        only = f" of {self._only['group']} on {self._only['topic']}" if self._only else ""
        mark = "▼" if descending else "▲"
        title = f"{self._view.name.capitalize()}{only}, by {column.replace('_', ' ')} {mark}"
        self.query_one("#title", Static).update(Text(printable(title)))
        _fill(self.query_one("#rows", DataTable), self._view.columns, self._shown, column)

    def _wanted(self, row: Row) -> bool:
        return all(row.get(name) == value for name, value in self._only.items())

    def _said(self) -> Text:
        if self._seen is None:
            return Text(printable(self._trouble) or "looking at Kafka …", style="red" if self._trouble else "")
        at = time.strftime("%H:%M:%S", time.localtime(self._seen.at_ms / 1000))
        level = self._seen.pressure.level
        said = Text(f"{at}  ")
        said.append(
            printable(self._seen.pressure.because) or "no pressure",
            {Level.NONE: "green", Level.SLOW: "yellow", Level.STOP: "red"}[level],
        )
        if found := len(self._seen.findings):
            said.append(f"  {found} found of groups: press 5", "red")
        if self._paused:
            said.append("  paused", "yellow")
        if self._trouble:
            said.append(f"\nnot looked at since: {printable(self._trouble)}", "red")
        return said


def _fill(table: DataTable[Text], columns: tuple[str, ...], rows: list[Row], order: str) -> None:
    """Show rows; the cursor stays on the row that it was on, wherever that is now."""
    before = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value if table.row_count else None
    labels = [Text(column.replace("_", " "), "bold underline" if column == order else "bold") for column in columns]
    if [str(column.label) for column in table.columns.values()] != [str(label) for label in labels]:
        table.clear(columns=True)
    else:
        table.clear()
    if not table.columns:
        table.add_columns(*labels)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in columns), key=row["key"])
    at = next((number for number, row in enumerate(rows) if row["key"] == before), 0)
    table.move_cursor(row=at)


def _cell(value: Any) -> Text:
    if value is None:
        return Text("–", justify="right")
    if isinstance(value, int | float):
        return Text(f"{value:,}", justify="right", style="red" if value == float("inf") else "")
    return Text(printable(str(value)))


def _details(row: Row) -> Text:
    shown = {name: value for name, value in row.items() if name not in ("key", "more", "curve")}
    shown |= row.get("more", {})
    said = Text()
    for name, value in shown.items():
        if value not in (None, ""):
            said.append(f"{name.replace('_', ' ')}: ", "bold")
            said.append(printable(str(value), keep="\n") + "\n")
    return said


__all__ = ["Opened", "Top", "View"]
