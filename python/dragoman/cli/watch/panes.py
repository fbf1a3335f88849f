"""Widgets of the live screen. They are given rows, compare them with what they show, and touch what differs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from rich.text import Text
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Static

from dragoman.cli.watch.cells import Cell, Column, listed

_PADDING: Final = 1
_LEAST_FLEX: Final = 20


class Listing(DataTable[Text]):
    """A table of rows that keeps its cursor on the same row, and drops columns where there is no room for all.

    Parameters
    ----------
    title : str
    columns : list of Column
    empty : str
        Shown in the title while there are no rows.
    detail : callable
        Returns what the lower border says of the row under the cursor: what no column has room for.
    newest_first : bool
        Rows come in on top, and a cursor there stays there.
    """

    def __init__(
        self,
        title: str,
        columns: list[Column[Any]],
        *,
        id: str,
        empty: str = "",
        detail: Callable[[Any], str] = lambda row: "",
        newest_first: bool = False,
    ) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=_PADDING, cursor_foreground_priority="renderable")
        self.title, self._empty, self._detail, self._newest_first = title, empty, detail, newest_first
        self.words = self._told = ""
        self.every = columns
        self.titled: Widget | None = None
        """What has the title, where that is not this table."""
        self.rows_shown: list[Any] = []
        self._keys: list[Hashable] = []
        self._cells: list[tuple[Cell, ...]] = []
        self._widths: dict[int, int] = {}
        self._fit: tuple[int, ...] = ()
        self._room = 0
        self._given: Hashable = None

    def show(self, rows: Sequence[Any], keys: Sequence[Hashable], words: str = "", given: Hashable = None) -> None:
        """Show `rows`; the cursor stays on the row with the same key.

        A row that is equal to the one its key had before keeps its text, unless `given`, whatever else the text hangs
        on, is another one.
        """
        known = dict(zip(self._keys, zip(self.rows_shown, self._cells, strict=True), strict=True))
        if given != self._given:
            self._given = given
            known.clear()
        cells = []
        for key, row in zip(keys, rows, strict=True):
            before = known.get(key)
            cells.append(before[1] if before is not None and before[0] == row else listed(self.every, row))
        frame = self if self.titled is None else self.titled
        title = f"{self.title} · {words or self._empty}" if words or not rows else self.title
        if title != self.words:
            # As content: a string would be read as markup, and may hold words of others.
            self.words, frame.border_title = title, Content(title)
        room = self.scrollable_content_region.width
        if list(keys) == self._keys and room == self._room and self._fits(cells):
            self._change(cells)
        elif room > 0:
            self._rebuild(cells, list(keys), room)
        else:
            return  # nowhere to show it yet
        self.rows_shown = list(rows)
        self.tell()

    def tell(self) -> None:
        """Say in the lower border what there is to say of the selected row."""
        row = self.selected
        text = "" if row is None else self._detail(row)
        if text != self._told:
            frame = self if self.titled is None else self.titled
            self._told, frame.border_subtitle = text, Content(text) if text else None

    @property
    def selected(self) -> Any:
        """The row under the cursor; None where there is none."""
        at = self.cursor_row
        return self.rows_shown[at] if 0 <= at < len(self.rows_shown) else None

    def text_of(self, row: int) -> dict[str, str]:
        """Return what one row shows, by the names of the columns that there is room for."""
        return {self.every[at].name: self._cells[row][at].text for at in self._fit}

    def _fits(self, cells: Sequence[tuple[Cell, ...]]) -> bool:
        return all(
            len(new[at].text) <= self._widths[at]
            for new, old in zip(cells, self._cells, strict=True)
            if new is not old
            for at in self._fit
            if not self.every[at].flex
        )

    def _change(self, cells: list[tuple[Cell, ...]]) -> None:
        for number, (new, old) in enumerate(zip(cells, self._cells, strict=True)):
            if new is old or new == old:
                continue
            for place, at in enumerate(self._fit):
                if new[at] != old[at]:
                    self.update_cell_at((number, place), self._text(at, new[at]))  # type: ignore[arg-type]
        self._cells = cells

    def _rebuild(self, cells: list[tuple[Cell, ...]], keys: list[Hashable], room: int) -> None:
        """Lay all rows out anew: other rows, another width, or text that has become longer."""
        chosen = self._keys[self.cursor_row] if 0 <= self.cursor_row < len(self._keys) else None
        offset, at_top = self.scroll_y, self.cursor_row == 0
        self._lay_out(cells, room)
        self.clear(columns=True)
        for at in self._fit:
            column = self.every[at]
            label = Text(column.name, justify="right" if column.right else "left", style="dim")
            self.add_column(label, width=self._widths[at])
        for row in cells:
            self.add_row(*(self._text(at, row[at]) for at in self._fit))
        self._keys, self._cells, self._room = keys, cells, room
        if chosen in keys and not (self._newest_first and at_top):
            self.move_cursor(row=keys.index(chosen), scroll=False)
        self.scroll_to(y=offset, animate=False)

    def _lay_out(self, cells: Sequence[tuple[Cell, ...]], room: int) -> None:
        """Choose the columns: those that say nothing go, then those of the highest rank until the rest fits."""
        every = self.every
        said = [at for at, one in enumerate(every) if one.rank == 0 or not cells or any(row[at].text for row in cells)]
        need = {at: max((len(row[at].text) for row in cells), default=0) for at in said}
        self._widths = {at: max(need[at], len(every[at].name), 1) for at in said}
        for at in said:
            if every[at].flex:
                self._widths[at] = max(_LEAST_FLEX, len(every[at].name))

        def used() -> int:
            return sum(self._widths[at] + 2 * _PADDING for at in said)

        while used() > room and any(every[at].rank for at in said):
            said.remove(max(reversed(said), key=lambda at: every[at].rank))
        for at in said:
            if every[at].flex:
                self._widths[at] = max(_LEAST_FLEX, self._widths[at] + room - used())
        self._fit = tuple(said)

    def _text(self, at: int, cell: Cell) -> Text:
        column = self.every[at]
        text = Text(cell.text, cell.style, no_wrap=True, overflow="ellipsis", justify="right" if column.right else None)
        if column.flex:
            text.truncate(self._widths[at], overflow="ellipsis")
        return text


class Drawing(Static):
    """Text that is drawn anew only when it differs."""

    def __init__(self, title: str = "", *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self.words = ""
        self.shown = Text()
        self.entitle(title)

    def entitle(self, words: str) -> None:
        """Write on the upper border."""
        if words != self.words:
            self.words, self.border_title = words, Content(words)

    def draw(self, text: Text) -> None:
        """Show a text."""
        if text != self.shown or text.spans != self.shown.spans:
            self.shown = text
            self.update(text)

    @property
    def plain(self) -> str:
        """What it shows, without styles."""
        return self.shown.plain
